"""Cells of neurons and synapses, on the synapses that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ncps import ops
from ncps.initializers import Uniform
from ncps.layers.cell import Tree
from ncps.layers.dense import check_features
from ncps.layers.layer import Shape, Tensor
from ncps.layers.ode import ODECell
from ncps.layers.wired import WiredCell
from ncps.naming import nearest
from ncps.ops.sequences.synapses import product_of_equals, weighted_sums
from ncps.wirings import Wiring

MAPPINGS: dict[str | None, dict[str, str]] = {  # weights of each, and where they begin
    "affine": {"w": "ones", "b": "zeros"},
    "linear": {"w": "ones"},
    None: {},
}
Names = tuple[str, ...]
Ranges = Mapping[str, tuple[float, float]]


class SynapticCell(WiredCell, ODECell):
    r"""Base of the cells whose neurons are driven by synapses with a sigmoidal activity.

    A synapse from j to i is open to the degree $\sigma(\sigma_{ji} (v_j - \mu_{ji}))$. Weights of synapses are vectors,
    one element for each synapse that exists, sorted by target and then by source (`wiring.synapses`). Inside, states
    are (N, B): gathers and sums then move whole rows. The output is that of the motor neurons, whose ids come first.

    Args:
        units: number of fully connected neurons, or a wiring.
        solver: see `ODECell`.
        unfolds: solver steps in one time step.
        input_mapping: ``"affine"``, ``"linear"`` or None: what the inputs pass first, element by element.
        output_mapping: the same for the outputs.
        implicit_param_constraints: weights that must not be negative are the softplus of the weights, else
            max(weight, 0) (`ncps.ops.non_negative`).
        initialization_ranges: where initial values are drawn from, by the name of the weight, in place of the default.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `units` is neither an integer nor a wiring.
        ValueError: an argument is out of its range.
    """

    recomputes = True  # one state is kept for each time step, not the results of every solver step

    ranges: ClassVar[Ranges] = {  # of the initial values, those of the reference implementations
        "gleak": (0.001, 1.0),
        "vleak": (-0.2, 0.2),
        **{f"{prefix}sigma": (3.0, 8.0) for prefix in ("", "sensory_")},
        **{f"{prefix}mu": (0.3, 0.8) for prefix in ("", "sensory_")},
        **{f"{prefix}w": (0.001, 1.0) for prefix in ("", "sensory_")},
    }
    non_negative: ClassVar[Names]
    neuron_weights: ClassVar[Names]
    synapse_weights: ClassVar[Names]
    direction: ClassVar[str]  # the weight of the synapses whose sign tells whether they excite or inhibit

    def __init__(
        self,
        units: int | Wiring,
        solver: str,
        unfolds: int,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        implicit_param_constraints: bool = False,
        initialization_ranges: Ranges | None = None,
        **options: Any,
    ) -> None:
        super().__init__(units, solver=solver, unfolds=unfolds, **options)
        self.input_mapping = check_mapping("input_mapping", input_mapping)
        self.output_mapping = check_mapping("output_mapping", output_mapping)
        self.implicit_param_constraints = implicit_param_constraints
        self.initialization_ranges = initialization_ranges
        self.check_ranges(initialization_ranges or {})

    def check_ranges(self, given: Ranges) -> None:
        """Raises unless all ranges are of weights that have one, and hold values that these may take.

        Raises:
            ValueError: one does not.
        """
        for name, limits in given.items():
            if name not in self.ranges:
                raise ValueError(
                    f"Expected initialization_ranges of {', '.join(self.ranges)}. Received: a range of {name!r}. "
                    f"{nearest(name, self.ranges)}"
                )
            low, high = limits
            lowest = 0 if name in self.non_negative else -np.inf
            if not lowest <= low <= high < np.inf:
                raise ValueError(
                    f"Expected a range (low, high) with {lowest} <= low <= high in initialization_ranges. Received: "
                    f"{name} = {limits}. Give the smaller number first."
                )

    # -- weights

    def build(self, input_shape: Shape) -> None:
        """Takes a frozen copy of the wiring and makes the weights of its neurons and synapses."""
        wiring: Any = self.freeze_wiring(input_shape)
        for name in self.neuron_weights:
            self.add(name, wiring.units, self.uniform(name))
        for prefix, synapses in (("", wiring.synapses), ("sensory_", wiring.sensory_synapses)):
            for name in self.synapse_weights:
                self.add(prefix + name, len(synapses.source), self.synapse_initializer(prefix + name, synapses))
            setattr(self, f"_{prefix}source", self.make_buffer(synapses.source))
            setattr(self, f"_{prefix}target", self.make_buffer(synapses.target))
            begin = np.searchsorted(synapses.target, np.arange(wiring.units + 1))
            setattr(self, f"_{prefix}start", self.make_buffer(begin.astype(np.int32)))
        for name, mapping, size in (
            ("input", self.input_mapping, wiring.input_dim),
            ("output", self.output_mapping, wiring.output_dim),
        ):
            for weight, start in MAPPINGS[mapping].items():
                self.add(f"{name}_{weight}", size, start)

    def add(self, name: str, size: int, initializer: Any) -> None:
        """A vector of weights, constrained where its name says so."""
        explicit = name in self.non_negative and not self.implicit_param_constraints
        setattr(
            self, name, self.add_weight(name, (size,), initializer, constraint="non_negative" if explicit else None)
        )

    def uniform(self, name: str) -> Uniform:
        """Initial values of a weight."""
        return Uniform(None, *(self.initialization_ranges or {}).get(name, self.ranges[name]))

    def synapse_initializer(self, name: str, synapses: Any) -> Any:
        """Initial values of a weight of synapses."""
        return self.uniform(name)

    def dense_sizes(self) -> dict[str, int]:
        """Sizes of the matrices that papers count."""
        units, inputs = self.wiring.units, self.wiring.input_dim or 0
        inner = dict.fromkeys(self.synapse_weights, units * units)
        return inner | {f"sensory_{name}": inputs * units for name in self.synapse_weights}

    def positive(self, name: str) -> Tensor:
        """The value that counts of a weight that must not be negative."""
        weight = getattr(self, name)
        if self.implicit_param_constraints:
            return ops.softplus(weight)
        return ops.non_negative(weight) if self.always_constrained else ops.convert_to_tensor(weight)

    # -- what the steps use

    def constants(self, timespan: Tensor | None) -> Tree:
        """Weights of neurons (N, 1), of synapses and sensory synapses as the steps use them, and the mappings."""
        mappings = [self.mapping_weights(name, getattr(self, f"{name}_mapping")) for name in ("input", "output")]
        return self.neurons(), self.synapses(""), self.synapses("sensory_"), mappings

    def neurons(self) -> Tree:
        """Weights of the neurons, each (N, 1)."""
        raise NotImplementedError

    def gates(self, prefix: str) -> tuple[Tensor, Tensor]:
        """Slope σ and shift -σ μ of the synapses, each (E, 1)."""
        sigma, mu = (ops.convert_to_tensor(getattr(self, prefix + name)) for name in ("sigma", "mu"))
        return sigma[:, None], (-sigma * mu)[:, None]

    def synapses(self, prefix: str) -> Tree:
        """Weights of the synapses."""
        raise NotImplementedError

    def conducted(self, prefix: str, synapses: Tree, v: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """What each synapse adds to the sums of its target, for the sources' potentials v.

        Each (E, B) that is summed comes with the weights (E, 1) by which it is.
        """
        raise NotImplementedError

    def activity(self, prefix: str, gates: Tree, v: Tensor) -> Tensor:
        """How open each synapse is, in (0, 1), for the sources' potentials v: (E, B)."""
        slope, shift = gates
        return ops.sigmoid(slope * self.of_sources(prefix, v) + shift)

    def of_sources(self, prefix: str, v: Tensor) -> Tensor:
        """The potentials v of the sources of the synapses: (E, B)."""
        source = getattr(self, f"_{prefix}source")
        if not self.is_complete(prefix, v):
            return ops.take(v, source)
        return ops.reshape(ops.broadcast_to(v, (self.wiring.units, *ops.shape(v))), (source.shape[0], -1))

    def sums(self, prefix: str, synapses: Tree, v: Tensor) -> list[Tensor]:
        """The sums over the synapses of each neuron of what they conduct, each (N, B)."""
        conducted = self.conducted(prefix, synapses, v)
        target, units = getattr(self, f"_{prefix}target"), self.wiring.units
        if self.is_complete(prefix, v):
            return [y for x, weights in conducted for y in ops.unstack(product_of_equals(ops.stack(weights), units)(x))]
        return [y for x, weights in conducted for y in weighted_sums(x, weights, target, units, sorted=True)]

    def is_complete(self, prefix: str, v: Tensor) -> bool:
        """Whether there is a synapse between each pair: its ends are then known without a look at indices."""
        return getattr(self, f"_{prefix}source").shape[0] == self.wiring.units * v.shape[0]

    def sensory_sums(self, inputs: Tensor, constants: Tree) -> list[Tensor]:
        """The sums over the sensory synapses, each (T, N, B), of inputs (T, B, F)."""
        check_features(self, inputs, self.wiring.input_dim)
        steps, batch, features = ops.shape(inputs)
        *_, sensory, (mapping, _) = constants
        mapped = ops.reshape(ops.transpose(apply_mapping(mapping, inputs), (2, 0, 1)), (features, -1))
        return [
            ops.swapaxes(ops.reshape(x, (x.shape[0], steps, batch)), 0, 1)
            for x in self.sums("sensory_", sensory, mapped)
        ]

    def mapping_weights(self, name: str, mapping: str | None) -> list[Tensor]:
        """Factor and offset of the inputs or outputs, as far as there are any."""
        return [ops.convert_to_tensor(getattr(self, f"{name}_{weight}")) for weight in MAPPINGS[mapping]]

    # -- for those who look inside

    def synapse_flows(self, packed: Tensor, inputs: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What passes through the synapses among the neurons and from the inputs, see `Cell`."""
        sensory = ops.transpose(apply_mapping(self.mapping_weights("input", self.input_mapping), inputs))
        return self.flow("", packed, packed), self.flow("sensory_", sensory, packed)

    def flow(self, prefix: str, sources: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """How open the synapses are and what they conduct, (E, B), between potentials (N, B) or (F, B) and (N, B)."""
        openness = self.activity(prefix, self.gates(prefix), sources)
        return {"openness": openness, "conductance": self.positive(f"{prefix}w")[:, None] * openness}

    def strengths(self, prefix: str) -> tuple[Tensor, Tensor]:
        """The largest conductance of each synapse, and the weight whose sign tells whether it excites, both (E,)."""
        return self.positive(f"{prefix}w"), ops.convert_to_tensor(getattr(self, prefix + self.direction))

    # -- states (N, B)

    def pack_state(self, states: Tensor, inputs: Tensor) -> Tensor:
        """(N, B)."""
        return ops.transpose(states)

    def unpack_state(self, packed: Tensor) -> Tensor:
        """(B, N)."""
        return ops.transpose(packed)

    def select(self, condition: Tensor, new: Tensor, old: Tensor) -> Tensor:
        """Of each sample the new state where the condition (B, 1) holds, else the old one."""
        return ops.where(ops.transpose(condition), new, old)

    def step(self, packed: Tensor, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """`unfolds` steps of the solver."""
        timespan = timespan if len(timespan.shape) == 0 else ops.transpose(timespan)
        return super().step(packed, drive, timespan, constants)

    def emit(self, packed: Tensor) -> Tensor:
        """The motor neurons, which come first: (output_size, B)."""
        return packed[: self.wiring.output_dim]

    def readout(self, emitted: Tensor, constants: Tree) -> Tensor:
        """The motor neurons through the output mapping: (..., B, output_size)."""
        _, mapping = constants[-1]
        outputs = ops.swapaxes(emitted, -1, -2)
        return apply_mapping(mapping, outputs) if mapping else ops.copy(outputs)  # no view of the state


def apply_mapping(weights: list[Tensor], x: Tensor) -> Tensor:
    """x (..., F) times the factor plus the offset, as far as there are any."""
    for operation, weight in zip((ops.multiply, ops.add), weights, strict=False):
        x = operation(x, weight)
    return x


def check_mapping(name: str, mapping: str | None) -> str | None:
    """`mapping` if there is one of that name.

    Raises:
        ValueError: there is none.
    """
    if mapping not in MAPPINGS:
        raise ValueError(
            f"Expected {name} out of 'affine', 'linear' or None. Received: {mapping!r}. {nearest(mapping, MAPPINGS)}"
        )
    return mapping
