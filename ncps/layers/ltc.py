"""Liquid time-constant networks, on the synapses that exist."""

from __future__ import annotations

from typing import Any

import numpy as np

from ncps import ops
from ncps.initializers import Uniform
from ncps.layers.dense import check_features
from ncps.layers.layer import Shape, Tensor, check_size
from ncps.layers.rnn import CellSequence, Tree
from ncps.layers.wired import WiredCell
from ncps.wirings import Wiring

# Ranges of the initial values, those of the reference implementation.
NEURON_RANGES = {"gleak": (0.001, 1.0), "vleak": (-0.2, 0.2), "cm": (0.4, 0.6)}
SYNAPSE_RANGES = {"sigma": (3.0, 8.0), "mu": (0.3, 0.8), "w": (0.001, 1.0)}
NON_NEGATIVE = ("gleak", "cm", "w", "sensory_w")
MAPPINGS = ("affine", "linear", None)


class LTCCell(WiredCell):
    r"""One time step of a liquid time-constant network.

    A neuron i integrates its leak and its synapses from neurons (and inputs) j,

    $$c_i \dot v_i = g_i (v^{leak}_i - v_i) + \sum_j w_{ji}\, \sigma(\sigma_{ji} (v_j - \mu_{ji})) (E_{ji} - v_i),$$

    by `unfolds` semi-implicit steps of $\delta$ = timespan / unfolds, which stay stable for any of them:

    $$v_i \leftarrow \frac{c_i v_i + \delta\,(g_i v^{leak}_i + \sum_j s_{ji} E_{ji})}
                          {c_i + \delta\,(g_i + \sum_j s_{ji} + \epsilon)}.$$

    The output is that of the motor neurons. Weights of synapses are vectors, one element for each synapse that exists,
    sorted by target and then by source (`wiring.synapses`).

    Args:
        units: number of fully connected neurons, or a wiring.
        unfolds: solver steps in one time step.
        epsilon: added to the conductances, as in the reference implementation.
        input_mapping: ``"affine"``, ``"linear"`` or None: what the inputs pass first, element by element.
        output_mapping: the same for the outputs.
        implicit_param_constraints: `w`, `cm`, `gleak` and `sensory_w` are the softplus of the weights, else
            max(weight, 0) (`ncps.ops.non_negative`).
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `units` is neither an integer nor a wiring.
        ValueError: an argument is out of its range.

    Source: Hasani et al., AAAI 2021 (arXiv 2006.04439), eq. 1-3; Lechner et al., Nature Machine Intelligence 2020,
    eq. 3.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> cell = LTCCell(AutoNCP(8, 2), input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape, state.shape
        ((5, 2), (5, 8))
    """

    gleak: Tensor  # (N,) leak conductance
    vleak: Tensor  # (N,) leak potential
    cm: Tensor  # (N,) membrane capacitance
    # w, mu, sigma, erev (E,) and sensory_w ... of the synapses; input_w, input_b (F,); output_w, output_b

    batch_last = True  # gathers and sums then move whole rows
    recomputes = True  # one state is kept for each time step, not the results of every solver step

    def __init__(
        self,
        units: int | Wiring,
        unfolds: int = 6,
        epsilon: float = 1e-8,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        implicit_param_constraints: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(units, **options)
        self.unfolds = check_size("unfolds", unfolds)
        self.epsilon = epsilon
        self.input_mapping = check_mapping("input_mapping", input_mapping)
        self.output_mapping = check_mapping("output_mapping", output_mapping)
        self.implicit_param_constraints = implicit_param_constraints

    def build(self, input_shape: Shape) -> None:
        """Takes a frozen copy of the wiring and makes the weights of its neurons and synapses."""
        wiring: Any = self.freeze_wiring(input_shape)
        for name, limits in NEURON_RANGES.items():
            self.add_positive(name, wiring.units, Uniform(None, *limits))
        self.add_synapses("", wiring.synapses)
        self.add_synapses("sensory_", wiring.sensory_synapses)
        self.add_mapping("input", self.input_mapping, wiring.input_dim)
        self.add_mapping("output", self.output_mapping, wiring.output_dim)

    def add_positive(self, name: str, size: int, initializer: Any) -> None:
        """A vector of weights, constrained where its name says so."""
        explicit = name in NON_NEGATIVE and not self.implicit_param_constraints
        setattr(
            self, name, self.add_weight(name, (size,), initializer, constraint="non_negative" if explicit else None)
        )

    def add_synapses(self, prefix: str, synapses: Any) -> None:
        """The weights of a list of synapses; their polarity is the initial reversal potential."""
        count = len(synapses.source)
        for name, limits in SYNAPSE_RANGES.items():
            self.add_positive(prefix + name, count, Uniform(None, *limits))
        erev = synapses.polarity.astype(np.float64)
        setattr(self, f"{prefix}erev", self.add_weight(f"{prefix}erev", (count,), erev))
        setattr(self, f"_{prefix}source", self.make_buffer(synapses.source))
        setattr(self, f"_{prefix}target", self.make_buffer(synapses.target))

    def add_mapping(self, name: str, mapping: str | None, size: int) -> None:
        """Factor and offset of the inputs or outputs."""
        if mapping is not None:
            setattr(self, f"{name}_w", self.add_weight(f"{name}_w", (size,), "ones"))
        if mapping == "affine":
            setattr(self, f"{name}_b", self.add_weight(f"{name}_b", (size,), "zeros"))

    def dense_sizes(self) -> dict[str, int]:
        """Sizes of the matrices that papers count."""
        names, units = (*SYNAPSE_RANGES, "erev"), self.wiring.units
        inputs = self.wiring.input_dim or 0
        return dict.fromkeys(names, units * units) | {f"sensory_{name}": inputs * units for name in names}

    def positive(self, weight: Tensor) -> Tensor:
        """The value that counts of a weight that must not be negative."""
        return ops.softplus(weight) if self.implicit_param_constraints else ops.non_negative(weight)

    def map(self, name: str, mapping: str | None, x: Tensor) -> Tensor:
        """Inputs or outputs (..., F) through their mapping."""
        if mapping is not None:
            x = x * getattr(self, f"{name}_w")
        return x + getattr(self, f"{name}_b") if mapping == "affine" else x

    # -- for sequences

    def pack_state(self, states: Tensor, inputs: Tensor) -> Tensor:
        """(N, B)."""
        return ops.transpose(states)

    def unpack_state(self, packed: Tensor) -> Tensor:
        """(B, N)."""
        return ops.transpose(packed)

    def prepare(self, inputs: Tensor, timespans: Tensor, training: bool | None) -> tuple[Tree, Tree]:
        """Weights as the steps use them; leak and sensory synapses, numerator and denominator, of all steps."""
        check_features(self, inputs, self.wiring.input_dim)
        steps, batch, features = ops.shape(inputs)
        cm, gleak, vleak = (
            ops.expand_dims(x, -1) for x in (self.positive(self.cm), self.positive(self.gleak), self.vleak)
        )
        mapped = ops.reshape(ops.transpose(self.map("input", self.input_mapping, inputs), (2, 0, 1)), (features, -1))
        current, conductance = self.currents("sensory_", self.synapses("sensory_"), mapped)
        numerator = by_step(gleak * vleak + current, steps, batch)
        denominator = by_step(gleak + self.epsilon + conductance, steps, batch)
        delta = timespans / self.unfolds
        scalar = len(timespans.shape) == 0
        constants = (self.synapses(""), cm, delta if scalar else None)
        return constants, (numerator, denominator, None if scalar else ops.swapaxes(delta, 1, 2))

    def synapses(self, prefix: str) -> Tree:
        """Slopes, thresholds and weights of the synapses: σ (E, 1), -σμ (E, 1), and (w erev, w) (E, 2, 1)."""
        sigma, mu, erev = (ops.convert_to_tensor(getattr(self, prefix + name)) for name in ("sigma", "mu", "erev"))
        w = self.positive(getattr(self, f"{prefix}w"))
        return sigma[:, None], (-sigma * mu)[:, None], ops.stack([w * erev, w], axis=1)[:, :, None]

    def currents(self, prefix: str, synapses: Tree, v: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over the synapses of each neuron: Σ s E and Σ s, each (N, B), for the sources' potentials v."""
        sigma, shift, weights = synapses
        source, target = getattr(self, f"_{prefix}source"), getattr(self, f"_{prefix}target")
        if weights.shape[0] == 0:
            nothing = ops.zeros_like(v[:1])
            return nothing, nothing
        activity = ops.sigmoid(sigma * ops.take(v, source) + shift)
        sums = ops.segment_sum(activity[:, None] * weights, target, self.wiring.units, sorted=True)
        return sums[:, 0], sums[:, 1]

    def step(self, constants: Tree, drive: Tree, packed: Tensor) -> Tensor:
        """`unfolds` semi-implicit steps of the potentials (N, B)."""
        synapses, cm, delta = constants
        numerator, denominator, own_delta = drive
        delta = own_delta if delta is None else delta
        v = packed
        for _ in range(self.unfolds):
            current, conductance = self.currents("", synapses, v)
            v = (cm * v + delta * (numerator + current)) / (cm + delta * (denominator + conductance))
        return v

    def emit(self, packed: Tensor) -> Tensor:
        """The motor neurons, which come first: (output_size, B)."""
        return packed[: self.wiring.output_dim]

    def readout(self, emitted: Tensor) -> Tensor:
        """The motor neurons through the output mapping: (..., B, output_size)."""
        return self.map("output", self.output_mapping, ops.swapaxes(emitted, -1, -2))


def by_step(x: Tensor, steps: Any, batch: Any) -> Tensor:
    """(N, T B) as (T, N, B)."""
    return ops.swapaxes(ops.reshape(x, (x.shape[0], steps, batch)), 0, 1)


class LTC(CellSequence):
    """A liquid time-constant network over sequences: `RNN` of an `LTCCell`, with the arguments of both.

    Args:
        units: number of fully connected neurons, or a wiring.
        return_sequences: the outputs of all steps, else of the last.
        return_state: also the state after the last step.
        go_backwards: runs from the last step to the first.
        unroll: lays the steps out one after the other where the framework has a choice.
        zero_output_for_mask: masked steps give zeros, else the output of the step before.
        unfolds: see `LTCCell`, as for the arguments that follow.
        epsilon: see there.
        input_mapping: see there.
        output_mapping: see there.
        implicit_param_constraints: see there.
        options: `input_size`, `name`, `dtype`.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> layer = LTC(AutoNCP(8, 2), return_sequences=True)
        >>> layer(np.zeros((5, 7, 3), "float32"), timespans=np.ones((5, 7))).shape
        (5, 7, 2)
    """

    def __init__(
        self,
        units: int | Wiring,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        unfolds: int = 6,
        epsilon: float = 1e-8,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        implicit_param_constraints: bool = False,
        **options: Any,
    ) -> None:
        dtype = options.get("dtype")
        cell = LTCCell(units, unfolds, epsilon, input_mapping, output_mapping, implicit_param_constraints, dtype=dtype)
        super().__init__(cell, return_sequences, return_state, go_backwards, unroll, zero_output_for_mask, **options)


def check_mapping(name: str, mapping: str | None) -> str | None:
    """`mapping` if there is one of that name.

    Raises:
        ValueError: there is none.
    """
    if mapping not in MAPPINGS:
        raise ValueError(f"Expected {name} out of 'affine', 'linear' or None. Received: {mapping!r}")
    return mapping
