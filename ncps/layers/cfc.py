"""Closed-form continuous-time networks."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

from ncps import activations, ops
from ncps.initializers import GlorotUniform
from ncps.layers.cell import Cell, HoistingCell, Tree, zeros_beside
from ncps.layers.containers import List
from ncps.layers.dense import Dense, check_features
from ncps.layers.layer import Activation, Shape, Tensor, check_rate, check_size
from ncps.layers.rnn import CellSequence
from ncps.layers.wired import WiredCell
from ncps.naming import nearest
from ncps.wirings import Wiring

STATE_ORDERS = ("neurons", "layers")
# Linear maps of a mode, side by side in one matrix.
HEADS = {"default": ("ff1", "ff2", "time_a", "time_b"), "no_gate": ("ff1", "ff2", "time_a", "time_b"), "pure": ("ff1",)}
FOLDED_HEADS = 3  # where time_a and time_b have become one


class CfCCell(HoistingCell):
    r"""One time step of a closed-form continuous-time network.

    From z = backbone([x, h]), with the elapsed time t and the gate $s = \sigma(a(z)\,t + b(z))$,

    $$h' = (1 - s) \odot \tanh f(z) + s \odot \tanh g(z) \quad \text{(default)}, \qquad
      h' = \tanh f(z) + s \odot \tanh g(z) \quad \text{(no\_gate)},$$
    $$h' = A - A \odot e^{-t (|w_\tau| + |f(z)|)} \odot f(z) \quad \text{(pure)}.$$

    The heads f, g, a, b stand side by side in one matrix, `heads_kernel`.

    Args:
        units: number of neurons.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        backbone_units: width of the backbone's layers.
        backbone_layers: their number; 0 for none.
        backbone_activation: name or function.
        backbone_dropout: rate of dropout after every layer of the backbone, the first too.
        head_activation: of f and g; not used by the mode pure.
        sparsity_mask: (F + H, H), not 0 where an input (the first F rows) or a neuron reaches a neuron; None for
            everywhere. A cell with a mask has no backbone.
        masked_gates: whether a mask holds for the gates a and b too, or only for f and g as in ncps 1.0.1.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: an argument is out of its range, or a mask is given with a backbone.

    Source: Hasani et al., Nature Machine Intelligence 2022 (arXiv 2106.13898), eq. 3 (pure) and 4; the sign of the time
    is that of the reference implementation.

    Example:
        >>> cell = CfCCell(8, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape
        (5, 8)
    """

    sequence_op = "cfc_sequence"

    def __init__(
        self,
        units: int,
        mode: str = "default",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_activation: Activation = "lecun_tanh",
        backbone_dropout: float = 0.0,
        head_activation: Activation = "tanh",
        sparsity_mask: Any = None,
        masked_gates: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = check_size("units", units)
        self.mode = check_mode(mode)
        self.backbone_units = check_size("backbone_units", backbone_units)
        self.backbone_layers = check_size("backbone_layers", backbone_layers) if backbone_layers != 0 else 0
        activations.get(backbone_activation)
        activations.get(head_activation)
        self.backbone_activation = backbone_activation
        self.backbone_dropout = check_rate("backbone_dropout", backbone_dropout)
        self.head_activation = head_activation
        self.sparsity_mask = None if sparsity_mask is None else check_mask(sparsity_mask, self.units)
        self.masked_gates = masked_gates
        self.masked = self.sparsity_mask is not None
        if self.masked and self.backbone_layers > 0:
            raise ValueError(
                f"Expected backbone_layers=0 with a sparsity_mask, which tells what reaches the heads. Received: "
                f"backbone_layers={self.backbone_layers}. Give backbone_layers=0, or leave the mask out."
            )
        dtype = options.get("dtype")
        self.backbone = List([Dense(self.backbone_units, dtype=dtype) for _ in range(self.backbone_layers)])
        if self.backbone_dropout > 0:
            self.add_seed_generator(None)

    def build(self, input_shape: Shape) -> None:
        """Makes the backbone and the heads for F features."""
        self.features = check_size("the number of features", input_shape[-1])
        size = self.features + self.units
        if self.sparsity_mask is not None:
            self.take_mask(np.array(self.sparsity_mask), size)
        for layer in self.backbone:
            layer.ensure_built((None, size))
            size = self.backbone_units
        heads = len(HEADS[self.mode])
        self.heads_kernel = self.add_weight("heads_kernel", (size, heads * self.units), GlorotUniform(blocks=heads))
        self.heads_bias = self.add_weight("heads_bias", (heads * self.units,), "zeros")
        if self.mode == "pure":
            self.w_tau = self.add_weight("w_tau", (self.units,), "zeros")
            self.A = self.add_weight("A", (self.units,), "ones")

    def build_masked(self, mask: np.ndarray) -> None:
        """Builds the cell without backbone for the synapses of `mask` (F + H, H)."""
        self.masked = True
        self.take_mask(mask, mask.shape[0])
        self.ensure_built((None, mask.shape[0] - self.units))

    def take_mask(self, mask: np.ndarray, size: int) -> None:
        """Keeps where a mask lets the kernel of the heads, which has `size` rows, have weights.

        Raises:
            ValueError: it has another number of rows.
        """
        if len(mask) != size:
            raise ValueError(
                f"Expected a sparsity_mask of {size} rows, one for each input and then for each neuron. Received: "
                f"{len(mask)} rows. Make the mask for {size - self.units} inputs."
            )
        everywhere = np.ones_like(mask)
        heads = [mask if self.masked_gates or name.startswith("ff") else everywhere for name in HEADS[self.mode]]
        self._mask = self.make_buffer(np.concatenate(heads, axis=1) != 0)

    # -- for sequences

    def whole_sequence(
        self, inputs: Tensor, state: Tree, times: Tensor, valid: Any, resets: Any, every: bool
    ) -> tuple[Tensor, Tree]:
        """The run as `ncps.ops.cfc_sequence`."""
        check_features(self, inputs, self.features)
        outputs, (state,) = self.sequence_of([self], inputs, (state,), times, valid, resets, every)
        return outputs, state

    def fits_op(self) -> bool:
        """It drops nothing out, and has some activations."""
        return is_of_op(self.backbone_activation) and is_of_op(self.head_activation) and not self.drops_out()

    def sequence_of(
        self, cells: Any, inputs: Tensor, states: Any, times: Tensor, valid: Any, resets: Any, every: bool
    ) -> tuple[Tensor, Any]:
        """The run of cells like this one, each driven by the one before."""
        layers = tuple([cell.layer_of_sequence() for cell in cells])
        backbone: Any = self.backbone_activation
        head: Any = self.head_activation
        return ops.cfc_sequence(inputs, states, times, valid, resets, layers, self.mode, backbone, head, every)

    def layer_of_sequence(self) -> ops.CfCLayer:
        """The weights as the op for whole sequences wants them."""
        maps = *[(layer.kernel, layer.bias) for layer in self.backbone], (self.heads_kernel, self.heads_bias)
        w_tau, a = (self.w_tau, self.A) if self.mode == "pure" else (None, None)
        return ops.CfCLayer(maps, w_tau, a, self._mask if self.masked else None)

    def constants(self, timespan: Tensor | None) -> Tree:
        """The first map for inputs and for states, and the other maps."""
        (kernel, bias), *others = self.maps(timespan)
        return (kernel[: self.features], bias), kernel[self.features :], others

    def constants_of_step(self, timespan: Tensor) -> Tree:
        """Those of a single step, whose first map is one product of inputs and states.

        The elapsed time is not folded into the weights: that would take longer than the step.
        """
        (kernel, bias), *others = self.maps(None)
        return (None, bias), kernel, others

    def maps(self, timespan: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Kernels and biases of the backbone and the heads; the mask and a common elapsed time are folded in."""
        maps = [(ops.convert_to_tensor(layer.kernel), ops.convert_to_tensor(layer.bias)) for layer in self.backbone]
        kernel = self.masked_kernel() if self.masked else ops.convert_to_tensor(self.heads_kernel)
        bias = ops.convert_to_tensor(self.heads_bias)
        if timespan is not None and self.mode != "pure":
            kernel, bias = (self.with_gate(x, timespan) for x in (kernel, bias))
        return [*maps, (kernel, bias)]

    def masked_kernel(self) -> Tensor:
        """The kernel of the heads, with zeros where there is no synapse."""
        return ops.where(ops.convert_to_tensor(self._mask), ops.convert_to_tensor(self.heads_kernel), 0.0)

    def with_gate(self, heads: Tensor, timespan: Tensor) -> Tensor:
        """f, g, a, b as f, g and the gate a t + b, which is linear where t is known."""
        n = self.units
        return ops.concatenate([heads[..., : 2 * n], heads[..., 2 * n : 3 * n] * timespan + heads[..., 3 * n :]], -1)

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """The first linear map of all inputs, in one product, and what dropout keeps."""
        check_features(self, inputs, self.features)
        kernel, bias = constants[0]
        projected = ops.matmul(inputs, kernel) + bias
        return projected, self.dropout_factors(projected)

    def drive_of_step(self, inputs: Tensor, constants: Tree) -> Tree:
        """The inputs, where the step does the first map as a whole."""
        (kernel, bias), *_ = constants
        if kernel is not None:
            return super().drive_of_step(inputs, constants)
        check_features(self, inputs, self.features)
        return inputs, self.dropout_factors(zeros_beside(inputs, bias.shape[0])) if self.drops_out() else None

    def drops_out(self) -> bool:
        """Whether the backbone drops out."""
        return self.backbone_dropout > 0 and len(self.backbone) > 0 and self.is_training(None)

    def dropout_factors(self, projected: Tensor) -> list[Tensor] | None:
        """What each layer of the backbone is multiplied with at each step, drawn before the loop; None for 1."""
        if not self.drops_out():
            return None
        ones = ops.ones_like(projected)
        return [ops.random.dropout(ones, self.backbone_dropout, self.seed_generator) for _ in self.backbone]

    def step(self, packed: Tensor, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """The state (B, H) after one step."""
        return self.solution(self.heads(packed, drive, constants), timespan)

    def heads(self, packed: Tensor, drive: Tree, constants: Tree) -> Tensor:
        """The heads side by side, before their activations."""
        (of_inputs, first_bias), recurrent, others = constants
        z, factors = drive
        if of_inputs is None:
            z = ops.matmul(ops.concatenate([z, packed], axis=-1), recurrent) + first_bias
        else:
            z = z + ops.matmul(packed, recurrent)
        for i, (kernel, bias) in enumerate(others):
            z = activations.get(self.backbone_activation)(z)
            z = z if factors is None else z * factors[i]
            z = ops.matmul(z, kernel) + bias
        return z

    def solution(self, heads: Tensor, timespan: Tensor) -> Tensor:
        """The state that the heads describe; where a common elapsed time is folded in, they have no rate."""
        n, activation = self.units, activations.get(self.head_activation)
        if self.mode == "pure":
            return self.A - self.A * ops.exp(-timespan * (ops.absolute(self.w_tau) + ops.absolute(heads))) * heads
        f, g = activation(heads[..., :n]), activation(heads[..., n : 2 * n])
        gate, folded = heads[..., 2 * n : 3 * n], heads.shape[-1] == FOLDED_HEADS * n
        s = ops.sigmoid(gate if folded else gate * timespan + heads[..., 3 * n :])
        return f + s * g if self.mode == "no_gate" else f + s * (g - f)

    def effective_time_constants(self, packed: Tensor, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """1 / |a|, in which the gate moves by 1 before its sigmoid; 1 / (|w_tau| + |f|) in the mode pure."""
        heads = self.heads(packed, drive, constants)
        if self.mode == "pure":
            return 1 / (ops.absolute(self.w_tau) + ops.absolute(heads))
        return 1 / ops.absolute(heads[..., 2 * self.units : 3 * self.units])


class WiredCfCCell(WiredCell):
    """One time step of a closed-form network whose layers and synapses a wiring gives.

    Each layer of the wiring (NCP: inter, command, motor neurons) is a `CfCCell` without backbone, driven by the layer
    before; the first by the inputs. The wiring's synapses mask all heads.

    Args:
        units: number of fully connected neurons, or a wiring.
        mode: see `CfCCell`.
        head_activation: see there.
        fully_recurrent: all neurons of a layer see one another, as in ncps 1.0.1, or only along the wiring's
            synapses.
        masked_gates: whether the synapses mask the gates too, or only f and g as in ncps 1.0.1.
        state_order: of the neurons in the state: ``"neurons"``, by their ids as in every other cell, or ``"layers"``,
            from the layer next to the inputs to the motor neurons as in ncps 1.0.1.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: there is no such mode or order.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> cell = WiredCfCCell(AutoNCP(8, 2), input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5))
        >>> output.shape, state.shape
        ((5, 2), (5, 8))
    """

    sequence_op = "cfc_sequence"

    def __init__(
        self,
        units: int | Wiring,
        mode: str = "default",
        head_activation: Activation = "tanh",
        fully_recurrent: bool = True,
        masked_gates: bool = True,
        state_order: str = "neurons",
        **options: Any,
    ) -> None:
        super().__init__(units, **options)
        self.mode = check_mode(mode)
        self.head_activation = head_activation
        self.fully_recurrent = fully_recurrent
        self.masked_gates = masked_gates
        if state_order not in STATE_ORDERS:
            raise ValueError(
                f"Expected a state_order out of {', '.join(STATE_ORDERS)}. Received: {state_order!r}. "
                f"{nearest(state_order, STATE_ORDERS)}"
            )
        self.state_order = state_order
        inner: dict[str, Any] = {
            "backbone_layers": 0,
            "head_activation": head_activation,
            "masked_gates": masked_gates,
            "dtype": options.get("dtype"),
        }
        self.cells = List([CfCCell(len(neurons), mode, **inner) for neurons in self.wiring.layers])

    def build(self, input_shape: Shape) -> None:
        """Takes a frozen copy of the wiring and builds the layers with the masks of its synapses."""
        wiring = self.freeze_wiring(input_shape)
        layers = [list(neurons) for neurons in wiring.layers]
        warn_of_skipped(wiring, layers)
        for cell, mask in zip(self.cells, layer_masks(wiring, layers, self.fully_recurrent), strict=True):
            cell.build_masked(mask)
        # In the packed state, where all layers but the last end.
        self._ends = tuple(itertools.accumulate(map(len, layers[:-1])))
        order = np.concatenate(layers)
        self._order = self.make_buffer(order.astype(np.int32))
        self._position = self.make_buffer(np.argsort(order).astype(np.int32))
        motor = list(range(wiring.output_dim))
        self._motors_first = layers[-1][: len(motor)] == motor  # whether the last layer begins with them

    # -- for sequences; the packed state is a tuple with the state of each layer

    def whole_sequence(
        self, inputs: Tensor, state: Tree, times: Tensor, valid: Any, resets: Any, every: bool
    ) -> tuple[Tensor, Tree]:
        """The run as `ncps.ops.cfc_sequence`."""
        check_features(self, inputs, self.wiring.input_dim)
        packed = self.pack_state(state, inputs[0])
        outputs, packed = self.cells[0].sequence_of(self.cells, inputs, packed, times, valid, resets, every)
        return outputs[..., : self.wiring.output_dim], self.unpack_state(packed)

    def fits_op(self) -> bool:
        """It has some activations, and outputs of the first neurons."""
        return self.cells[0].fits_op() and self._motors_first

    def pack_state(self, states: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
        """The states of the layers."""
        states = states if self.state_order == "layers" else ops.take(states, self._order, axis=-1)
        return tuple(ops.split(states, self._ends, axis=-1))

    def unpack_state(self, packed: tuple[Tensor, ...]) -> Tensor:
        """(B, N) in the order that was asked for."""
        return ops.concatenate(list(packed), axis=-1) if self.state_order == "layers" else self.neurons_of(packed)

    def neurons_of(self, packed: tuple[Tensor, ...]) -> Tensor:
        """(B, N) in the order of the neurons' ids."""
        return ops.take(ops.concatenate(list(packed), axis=-1), self._position, axis=-1)

    def emit(self, packed: tuple[Tensor, ...]) -> Tensor:
        """The motor neurons, whose ids come first."""
        motors = packed[-1] if self._motors_first else self.neurons_of(packed)
        return motors[..., : self.wiring.output_dim]

    def constants(self, timespan: Tensor | None) -> Tree:
        """Those of the first layer, the linear maps of the others."""
        first, *others = self.cells
        return [first.constants(timespan), *(cell.maps(timespan)[0] for cell in others)]

    def constants_of_step(self, timespan: Tensor) -> Tree:
        """Those of a single step, see `CfCCell`."""
        first, *others = self.cells
        return [first.constants_of_step(timespan), *(cell.maps(None)[0] for cell in others)]

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs contribute to the first layer."""
        check_features(self, inputs, self.wiring.input_dim)
        return self.cells[0].drive(inputs, constants[0])

    def drive_of_step(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs contribute to the first layer in a single step."""
        check_features(self, inputs, self.wiring.input_dim)
        return self.cells[0].drive_of_step(inputs, constants[0])

    def step(self, packed: tuple[Tensor, ...], drive: Tree, timespan: Tensor, constants: Tree) -> tuple[Tensor, ...]:
        """The states of the layers, each driven by the new state of the one before."""
        states = [self.cells[0].step(packed[0], drive, timespan, constants[0])]
        for cell, state, (kernel, bias) in zip(self.cells[1:], packed[1:], constants[1:], strict=True):
            heads = ops.matmul(ops.concatenate([states[-1], state], axis=-1), kernel) + bias
            states.append(cell.solution(heads, timespan))
        return tuple(states)

    def effective_time_constants(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """Those of the layers, see `CfCCell`."""
        own = [cell.constants(None) for cell in self.cells]
        after = self.step(packed, drive, timespan, constants)
        inner = zip(self.cells[1:], after[:-1], own[1:], strict=True)
        drives = [drive, *(cell.drive_of_step(state, constants) for cell, state, constants in inner)]
        each = zip(self.cells, packed, drives, own, strict=True)
        return self.neurons_of(tuple(cell.effective_time_constants(p, d, timespan, c) for cell, p, d, c in each))


def warn_of_skipped(wiring: Wiring, layers: list[list[int]]) -> None:
    """Warns of synapses that lead neither to a neuron of their own layer nor to one of the next."""
    synapses, sensory = wiring.adjacency_matrix, np.asarray(wiring.sensory_adjacency_matrix)
    kept = np.count_nonzero(sensory[:, layers[0]]) + sum(
        np.count_nonzero(synapses[np.ix_(source, own)])
        for i, own in enumerate(layers)
        for source in layers[max(i - 1, 0) : i + 1]
    )
    skipped = np.count_nonzero(synapses) + np.count_nonzero(sensory) - kept
    if skipped:
        warnings.warn(
            "Expected synapses within a layer of the wiring or to the next one, which are those that a CfC has. "
            f"Received: {skipped} others, which it leaves out. Give a wiring without them, or use an LTC, which has "
            "them all.",
            stacklevel=2,
        )


def layer_masks(wiring: Wiring, layers: list[list[int]], fully_recurrent: bool) -> list[np.ndarray]:
    """For each layer, the polarities towards its neurons: from those of the layer before (or inputs), then its own."""
    synapses, sensory = wiring.adjacency_matrix, np.asarray(wiring.sensory_adjacency_matrix)
    masks = []
    for i, own in enumerate(layers):
        before = sensory[:, own] if i == 0 else synapses[np.ix_(layers[i - 1], own)]
        recurrent = np.ones((len(own), len(own)), np.int32) if fully_recurrent else synapses[np.ix_(own, own)]
        masks.append(np.concatenate([before, recurrent]))
    return masks


def cfc_cell(
    units: int | Wiring,
    mode: str = "default",
    backbone_units: int | None = None,
    backbone_layers: int | None = None,
    backbone_activation: Activation = "lecun_tanh",
    backbone_dropout: float | None = None,
    head_activation: Activation = "tanh",
    fully_recurrent: bool | None = None,
    masked_gates: bool = True,
    state_order: str | None = None,
    sparsity_mask: Any = None,
    **options: Any,
) -> Cell:
    """The cell of a `CfC`: a `CfCCell`, or for a wiring a `WiredCfCCell`.

    Raises:
        ValueError: an argument belongs to the other one.
    """
    backbone: dict[str, Any] = {
        "backbone_units": backbone_units,
        "backbone_layers": backbone_layers,
        "backbone_dropout": backbone_dropout,
    }
    given = {name: value for name, value in backbone.items() if value is not None}
    if backbone_activation != "lecun_tanh":  # None is linear
        given["backbone_activation"] = backbone_activation
    if isinstance(units, Wiring):
        if given or sparsity_mask is not None:
            raise ValueError(
                f"A wired CfC has no backbone, and the masks of its wiring. Received: "
                f"{', '.join(given) or 'sparsity_mask'} with a wiring. Leave them out, or give a number of units."
            )
        options |= {"masked_gates": masked_gates, "state_order": state_order or "neurons"}
        return WiredCfCCell(units, mode, head_activation, fully_recurrent is not False, **options)
    if fully_recurrent is False:
        raise ValueError(
            "Expected a wiring for fully_recurrent=False, whose recurrences it follows. Received: units. Give a "
            "wiring, such as ncps.wirings.AutoNCP(units, output_size), or leave fully_recurrent out."
        )
    if state_order is not None:
        raise ValueError(
            f"Expected a wiring for state_order={state_order!r}. Received: units, which have one order. Leave "
            "state_order out."
        )
    options |= {"sparsity_mask": sparsity_mask, "masked_gates": masked_gates}
    return CfCCell(units, mode, head_activation=head_activation, **given, **options)


class CfC(CellSequence):
    """A closed-form continuous-time network over sequences: `RNN` of a `CfCCell` or, for a wiring, a `WiredCfCCell`.

    Args:
        units: number of neurons, or a wiring.
        options: of `RNN` (`return_sequences`, `return_state`, `go_backwards`, `stateful`, `unroll`,
            `zero_output_for_mask`); of the cell: `mode`, `head_activation`; for a number of units `backbone_units` (128
            by default), `backbone_layers` (1), `backbone_activation` (``"lecun_tanh"``), `backbone_dropout` (0),
            `sparsity_mask`; for a wiring, which has no backbone, `fully_recurrent` and `state_order`; for a mask or a
            wiring `masked_gates`; `input_size`, `name`, `dtype`.

    Raises:
        ValueError: a wiring is given with arguments of the backbone.

    Example:
        >>> CfC(8)(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    make_cell = staticmethod(cfc_cell)


def is_of_op(activation: Activation) -> bool:
    """Whether `ops.cfc_sequence` has an activation."""
    return activation is None or (isinstance(activation, str) and activation in ops.ACTIVATIONS)


def check_mode(mode: str) -> str:
    """`mode` if there is one of that name.

    Raises:
        ValueError: there is none.
    """
    if mode not in HEADS:
        raise ValueError(f"Expected a mode out of {', '.join(HEADS)}. Received: {mode!r}. {nearest(mode, HEADS)}")
    return mode


def check_mask(mask: Any, units: int) -> tuple[tuple[float, ...], ...]:
    """`mask` as numbers row by row, if it has a column for each neuron and holds -1, 0 and 1 only.

    Raises:
        ValueError: it does not.
    """
    values = np.asarray(mask)
    if values.ndim != 2 or values.shape[1] != units or not np.isin(values, (-1, 0, 1)).all():
        raise ValueError(
            f"Expected a sparsity_mask (F + H, H) of -1, 0 and 1, with H = {units}. Received: shape {values.shape}, "
            f"values {np.unique(values).tolist()[:5]}. Stack the masks of the F inputs and of the H neurons, each with "
            "a column per neuron."
        )
    return tuple(map(tuple, values.tolist()))
