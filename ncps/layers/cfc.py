"""Closed-form continuous-time networks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ncps import activations, ops
from ncps.initializers import GlorotUniform
from ncps.layers.containers import List
from ncps.layers.dense import Dense, check_features
from ncps.layers.layer import Activation, Shape, Tensor, check_rate, check_size
from ncps.layers.rnn import CellSequence, HoistingCell, Tree
from ncps.layers.wired import WiredCell
from ncps.wirings import Wiring

# Linear maps of a mode, side by side in one matrix.
HEADS = {"default": ("ff1", "ff2", "time_a", "time_b"), "no_gate": ("ff1", "ff2", "time_a", "time_b"), "pure": ("ff1",)}


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
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: an argument is out of its range.

    Source: Hasani et al., Nature Machine Intelligence 2022 (arXiv 2106.13898), eq. 3 (pure) and 4; the sign of the time
    is that of the reference implementation.

    Example:
        >>> cell = CfCCell(8, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape
        (5, 8)
    """

    def __init__(
        self,
        units: int,
        mode: str = "default",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_activation: Activation = "lecun_tanh",
        backbone_dropout: float = 0.0,
        head_activation: Activation = "tanh",
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
        self.masked = False
        dtype = options.get("dtype")
        self.backbone = List([Dense(self.backbone_units, dtype=dtype) for _ in range(self.backbone_layers)])
        if self.backbone_dropout > 0:
            self.add_seed_generator(None)

    @property
    def state_size(self) -> int:
        """Number of neurons."""
        return self.units

    @property
    def output_size(self) -> int:
        """Number of neurons: the state is the output."""
        return self.units

    def build(self, input_shape: Shape) -> None:
        """Makes the backbone and the heads for F features."""
        self.features = check_size("the number of features", input_shape[-1])
        size = self.features + self.units
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
        """Builds the cell without backbone for the synapses of `mask` (F + H, H), which all heads share."""
        heads = len(HEADS[self.mode])
        self._mask = self.make_buffer(np.tile(mask, (1, heads)).astype(bool))
        self.masked = True
        self.ensure_built((None, mask.shape[0] - self.units))

    # -- for sequences

    def pack_state(self, states: Tensor, inputs: Tensor) -> Tensor:
        """The state as it is."""
        return states

    def unpack_state(self, packed: Tensor) -> Tensor:
        """The state as it is."""
        return packed

    def emit(self, packed: Tensor) -> Tensor:
        """The state."""
        return packed

    def prepare(self, inputs: Tensor, timespans: Tensor, training: bool | None) -> tuple[Tree, Tree]:
        """The first linear map of all inputs, in one product; the other maps; what dropout keeps."""
        check_features(self, inputs, self.features)
        scalar = len(timespans.shape) == 0
        (kernel, bias), *rest = self.linear_maps(timespans if scalar else None)
        projected = ops.matmul(inputs, kernel[: self.features]) + bias
        constants = (kernel[self.features :], rest, timespans if scalar else None)
        return constants, (projected, None if scalar else timespans, self.dropout_factors(projected, training))

    def linear_maps(self, timespan: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Kernels and biases of the backbone and the heads; the mask and a common elapsed time are folded in."""
        maps = [(ops.convert_to_tensor(layer.kernel), ops.convert_to_tensor(layer.bias)) for layer in self.backbone]
        kernel, bias = ops.convert_to_tensor(self.heads_kernel), ops.convert_to_tensor(self.heads_bias)
        if self.masked:
            kernel = ops.where(ops.convert_to_tensor(self._mask), kernel, ops.zeros_like(kernel))
        if timespan is not None and self.mode != "pure":
            kernel, bias = (self.with_gate(x, timespan) for x in (kernel, bias))
        return [*maps, (kernel, bias)]

    def with_gate(self, heads: Tensor, timespan: Tensor) -> Tensor:
        """f, g, a, b as f, g and the gate a t + b, which is linear where t is known."""
        n = self.units
        return ops.concatenate([heads[..., : 2 * n], heads[..., 2 * n : 3 * n] * timespan + heads[..., 3 * n :]], -1)

    def dropout_factors(self, projected: Tensor, training: bool | None) -> list[Tensor] | None:
        """What each layer of the backbone is multiplied with at each step, drawn before the loop; None for 1."""
        if self.backbone_dropout == 0 or not self.backbone or not self.is_training(training):
            return None
        ones = ops.ones_like(projected)
        return [ops.random.dropout(ones, self.backbone_dropout, self.seed_generator) for _ in self.backbone]

    def step(self, constants: Tree, drive: Tree, packed: Tensor) -> Tensor:
        """The state (B, H) after one step."""
        kernel, rest, timespan = constants
        z, own_timespan, factors = drive
        z = z + ops.matmul(packed, kernel)
        for i, (kernel, bias) in enumerate(rest):
            z = activations.get(self.backbone_activation)(z)
            z = z if factors is None else z * factors[i]
            z = ops.matmul(z, kernel) + bias
        return self.solution(z, timespan, own_timespan)

    def solution(self, heads: Tensor, timespan: Tensor | None, own_timespan: Tensor | None) -> Tensor:
        """The state that the heads describe."""
        n, activation = self.units, activations.get(self.head_activation)
        if self.mode == "pure":
            t: Any = timespan if own_timespan is None else own_timespan
            return self.A - self.A * ops.exp(-t * (ops.absolute(self.w_tau) + ops.absolute(heads))) * heads
        f, g = activation(heads[..., :n]), activation(heads[..., n : 2 * n])
        gate = heads[..., 2 * n : 3 * n]
        s = ops.sigmoid(gate if own_timespan is None else gate * own_timespan + heads[..., 3 * n :])
        return f + s * g if self.mode == "no_gate" else f + s * (g - f)


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
        options: `input_size`, `name`, `dtype`.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> cell = WiredCfCCell(AutoNCP(8, 2), input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5))
        >>> output.shape, state.shape
        ((5, 2), (5, 8))
    """

    def __init__(
        self,
        units: int | Wiring,
        mode: str = "default",
        head_activation: Activation = "tanh",
        fully_recurrent: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, **options)
        self.mode = check_mode(mode)
        self.head_activation = head_activation
        self.fully_recurrent = fully_recurrent
        inner: dict[str, Any] = {
            "backbone_layers": 0,
            "head_activation": head_activation,
            "dtype": options.get("dtype"),
        }
        self.cells = List([CfCCell(len(neurons), mode, **inner) for neurons in self.wiring.layers])

    def build(self, input_shape: Shape) -> None:
        """Takes a frozen copy of the wiring and builds the layers with the masks of its synapses."""
        wiring = self.freeze_wiring(input_shape)
        layers = [list(neurons) for neurons in wiring.layers]
        for cell, mask in zip(self.cells, layer_masks(wiring, layers, self.fully_recurrent), strict=True):
            cell.build_masked(mask)
        order = np.concatenate(layers)
        self._order = self.make_buffer(order.astype(np.int32))
        self._position = self.make_buffer(np.argsort(order).astype(np.int32))

    # -- for sequences; the packed state is a tuple with the state of each layer

    def pack_state(self, states: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
        """The states of the layers, from the order of the neurons' ids."""
        *ends, _ = itertools.accumulate(cell.units for cell in self.cells)
        return tuple(ops.split(ops.take(states, self._order, axis=-1), ends, axis=-1))

    def unpack_state(self, packed: tuple[Tensor, ...]) -> Tensor:
        """(B, N) in the order of the neurons' ids."""
        return ops.take(ops.concatenate(list(packed), axis=-1), self._position, axis=-1)

    def emit(self, packed: tuple[Tensor, ...]) -> Tensor:
        """The motor neurons, whose ids come first."""
        motor = list(range(self.wiring.output_dim))
        if list(self.wiring.layers[-1])[: len(motor)] == motor:
            return packed[-1][..., : len(motor)]
        return self.unpack_state(packed)[..., : len(motor)]

    def prepare(self, inputs: Tensor, timespans: Tensor, training: bool | None) -> tuple[Tree, Tree]:
        """For the first layer what `CfCCell.prepare` does; for the others their kernels."""
        check_features(self, inputs, self.wiring.input_dim)
        first, *others = self.cells
        constants, drive = first.prepare(inputs, timespans, training)
        timespan = timespans if len(timespans.shape) == 0 else None
        return (constants, [cell.linear_maps(timespan)[0] for cell in others]), drive

    def step(self, constants: Tree, drive: Tree, packed: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The states of the layers, each driven by the new state of the one before."""
        first, others = constants
        timespan, own_timespan = first[-1], drive[1]
        states = [self.cells[0].step(first, drive, packed[0])]
        for cell, (kernel, bias), state in zip(self.cells[1:], others, packed[1:], strict=True):
            heads = ops.matmul(ops.concatenate([states[-1], state], axis=-1), kernel) + bias
            states.append(cell.solution(heads, timespan, own_timespan))
        return tuple(states)


def layer_masks(wiring: Wiring, layers: list[list[int]], fully_recurrent: bool) -> list[np.ndarray]:
    """For each layer, which sources reach which neurons: those of the layer before (or the inputs), then its own."""
    synapses = wiring.adjacency_matrix != 0
    sensory = np.asarray(wiring.sensory_adjacency_matrix) != 0
    masks = []
    for i, own in enumerate(layers):
        before = sensory[:, own] if i == 0 else synapses[np.ix_(layers[i - 1], own)]
        recurrent = np.ones((len(own), len(own)), bool) if fully_recurrent else synapses[np.ix_(own, own)]
        masks.append(np.concatenate([before, recurrent]))
    return masks


class CfC(CellSequence):
    """A closed-form continuous-time network over sequences: `RNN` of a `CfCCell` or, for a wiring, a `WiredCfCCell`.

    Args:
        units: number of neurons, or a wiring.
        return_sequences: the outputs of all steps, else of the last.
        return_state: also the state after the last step.
        go_backwards: runs from the last step to the first.
        unroll: lays the steps out one after the other where the framework has a choice.
        zero_output_for_mask: masked steps give zeros, else the output of the step before.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        backbone_units: width of the backbone's layers, 128 by default; a wiring has no backbone.
        backbone_layers: their number, 1 by default.
        backbone_activation: name or function, ``"lecun_tanh"`` by default.
        backbone_dropout: rate of dropout after every layer of the backbone, 0 by default.
        head_activation: see `CfCCell`.
        fully_recurrent: see `WiredCfCCell`; None (True) where there is no wiring.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: a wiring is given with arguments of the backbone.

    Example:
        >>> CfC(8)(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    def __init__(
        self,
        units: int | Wiring,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        mode: str = "default",
        backbone_units: int | None = None,
        backbone_layers: int | None = None,
        backbone_activation: Activation = None,
        backbone_dropout: float | None = None,
        head_activation: Activation = "tanh",
        fully_recurrent: bool | None = None,
        **options: Any,
    ) -> None:
        backbone: dict[str, Any] = {
            "backbone_units": backbone_units,
            "backbone_layers": backbone_layers,
            "backbone_activation": backbone_activation,
            "backbone_dropout": backbone_dropout,
        }
        given = {name: value for name, value in backbone.items() if value is not None}
        common: dict[str, Any] = {"mode": mode, "head_activation": head_activation, "dtype": options.get("dtype")}
        cell: HoistingCell
        if isinstance(units, Wiring):
            if given:
                raise ValueError(
                    f"A wired CfC has no backbone. Received: {given} with a wiring. Leave them out, or give a "
                    f"number of units."
                )
            cell = WiredCfCCell(units, fully_recurrent=fully_recurrent is not False, **common)
        elif fully_recurrent is False:
            raise ValueError(
                "Expected a wiring for fully_recurrent=False, whose recurrences it follows. Received: units."
            )
        else:
            cell = CfCCell(units, **given, **common)
        super().__init__(cell, return_sequences, return_state, go_backwards, unroll, zero_output_for_mask, **options)


def check_mode(mode: str) -> str:
    """`mode` if there is one of that name.

    Raises:
        ValueError: there is none.
    """
    if mode not in HEADS:
        raise ValueError(f"Expected a mode out of {', '.join(HEADS)}. Received: {mode!r}")
    return mode
