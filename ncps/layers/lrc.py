"""Saturated liquid time-constant networks, and liquid-resistance liquid-capacitance networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ncps import ops
from ncps.initializers import Orthogonal, Uniform
from ncps.layers.cell import Tree
from ncps.layers.layer import Shape, Tensor
from ncps.layers.rnn import CellSequence
from ncps.layers.synaptic import Names, Ranges, SynapticCell
from ncps.wirings import Wiring


class STCCell(SynapticCell):
    r"""One time step of a saturated liquid time-constant network.

    With the activity $a_{ji} = \sigma(\sigma_{ji} (v_j - \mu_{ji}))$ of the synapses from neurons and inputs j, the
    sums of an LTC saturate:

    $$f_i = g_i + \sum_j w_{ji}\, a_{ji}, \qquad u_i = g_i + \sum_j h_{ji}\, a_{ji}, \qquad
      \dot v_i = v^{leak}_i \tanh u_i - \sigma(f_i)\, v_i.$$

    Args:
        units: number of fully connected neurons, or a wiring.
        solver: ``"explicit"`` (the same as ``"euler"``), ``"semi_implicit"`` (the paper's hybrid), ``"heun"`` or
            ``"rk4"``.
        unfolds: solver steps in one time step; the paper finds that one is enough.
        input_mapping: ``"affine"``, ``"linear"`` or None: what the inputs pass first, element by element.
        output_mapping: the same for the outputs.
        implicit_param_constraints: `gleak`, `w` and `sensory_w` are the softplus of the weights, else max(weight, 0)
            (`ncps.ops.non_negative`).
        initialization_ranges: (low, high) of the uniform initial values, by name: `gleak`, `vleak`, `w`, `sigma`, `mu`,
            `sensory_w`, `sensory_sigma`, `sensory_mu`.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `units` is neither an integer nor a wiring.
        ValueError: an argument is out of its range.

    Source: Farsang, Neubauer, Grosu 2024 (arXiv 2403.08791).

    Example:
        >>> cell = STCCell(8, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape
        (5, 8)
    """

    vleak: Tensor  # (N,) leak potential
    # gleak (N,) leak conductance; sigma, mu, w, h (E,) and sensory_sigma ... of the synapses; mappings as in an LTC

    neuron_weights = ("gleak", "vleak")
    synapse_weights: ClassVar[Names] = ("sigma", "mu", "w", "h")
    non_negative: ClassVar[Names] = ("gleak", "w", "sensory_w")
    direction = "h"

    def __init__(
        self,
        units: int | Wiring,
        solver: str = "explicit",
        unfolds: int = 1,
        input_mapping: str | None = "affine",
        output_mapping: str | None = "affine",
        implicit_param_constraints: bool = False,
        initialization_ranges: Ranges | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            units, solver, unfolds, input_mapping, output_mapping, implicit_param_constraints, initialization_ranges,
            **options,
        )  # fmt: skip

    def synapse_initializer(self, name: str, synapses: Any) -> Any:
        """Initial values; `h` is cut out of an orthogonal matrix."""
        sources = {"h": self.wiring.units, "sensory_h": self.wiring.input_dim}.get(name)
        if sources is None:
            return super().synapse_initializer(name, synapses)
        return cut_out(Orthogonal(), (sources, self.wiring.units), synapses)

    def neurons(self) -> Tree:
        """Leak conductance and potential."""
        return self.positive("gleak")[:, None], ops.convert_to_tensor(self.vleak)[:, None]

    def synapses(self, prefix: str) -> Tree:
        """Slopes, shifts, w and h, each (E, 1)."""
        w, h = self.positive(f"{prefix}w"), ops.convert_to_tensor(getattr(self, f"{prefix}h"))
        return *self.gates(prefix), w[:, None], h[:, None]

    def conducted(self, prefix: str, synapses: Tree, v: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """The activity of each synapse, by w and by h."""
        slope, shift, w, h, *_ = synapses
        return [(self.activity(prefix, (slope, shift), v), [w, h])]

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """The sums over the leak and the sensory synapses, of all steps, each (T, N, B)."""
        gleak, *_ = constants[0]
        f, u, *others = self.sensory_sums(inputs, constants)
        return [f + gleak, u + gleak, *others]

    def rates(self, x: Tensor, drive: Tree, constants: Tree) -> tuple[Tensor, Tensor, Tensor]:
        """Source, decay and capacity 1 of the neurons (N, B) at the potentials x."""
        (_, vleak, *_), synapses, *_ = constants
        f, u = (a + b for a, b in zip(drive, self.sums("", synapses, x), strict=True))
        return vleak * ops.tanh(u), ops.sigmoid(f), ops.ones_like(f)

    def fastest_rate(self) -> float | None:
        """Elastance and saturated conductance are below 1."""
        return 1.0


class LRCCell(STCCell):
    r"""One time step of a liquid-resistance liquid-capacitance network.

    An `STCCell` whose capacitance is liquid as well: its inverse, the elastance, depends on inputs and states,

    $$\dot v_i = \varepsilon(z_i) \left( v^{leak}_i \tanh u_i - \sigma(f_i)\, v_i \right), \qquad
      z_i = b_i + \sum_j o_{ji} v_j,$$
    $$\varepsilon(z) = \sigma(z) \quad \text{(asymmetric)}, \qquad
      \varepsilon(z) = \sigma(z + k) - \sigma(z - k) \quad \text{(symmetric)}.$$

    Args:
        units: number of fully connected neurons, or a wiring.
        elastance: ``"asymmetric"`` or ``"symmetric"``; with the elastance 1 it is an `STCCell`.
        options: of `STCCell`; `input_size`, `name`, `dtype`. Among the weights that must not be negative is
            `elastance_k`.

    Raises:
        TypeError: `units` is neither an integer nor a wiring.
        ValueError: an argument is out of its range.

    Source: Farsang, Neubauer, Grosu 2024 (arXiv 2403.08791).

    Example:
        >>> cell = LRCCell(8, elastance="symmetric", input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape
        (5, 8)
    """

    elastance_b: Tensor  # (N,); elastance_w (E,), sensory_elastance_w, and where it is symmetric elastance_k (N,)

    synapse_weights: ClassVar[Names] = (*STCCell.synapse_weights, "elastance_w")
    non_negative: ClassVar[Names] = (*STCCell.non_negative, "elastance_k")

    def __init__(self, units: int | Wiring, elastance: str = "asymmetric", **options: Any) -> None:
        super().__init__(units, **options)
        if elastance not in ("asymmetric", "symmetric"):
            raise ValueError(
                f"Expected elastance='asymmetric' or 'symmetric'. Received: {elastance!r}. Leave it out for the "
                "paper's, 'asymmetric'."
            )
        self.elastance = elastance

    def build(self, input_shape: Shape) -> None:
        """Makes the weights of an `STCCell` and those of the elastance: o for each synapse, b and k for each neuron."""
        super().build(input_shape)
        self.add("elastance_b", self.wiring.units, "zeros")
        if self.elastance == "symmetric":
            self.add("elastance_k", self.wiring.units, "ones")

    def synapse_initializer(self, name: str, synapses: Any) -> Any:
        """Initial values; the elastance is a dense map of neurons and inputs (Glorot)."""
        if not name.endswith("elastance_w"):
            return super().synapse_initializer(name, synapses)
        limit = math.sqrt(6.0 / (2 * self.wiring.units + (self.wiring.input_dim or 0)))
        return Uniform(None, -limit, limit)

    def neurons(self) -> Tree:
        """Leak conductance and potential, bias and width of the elastance."""
        width = self.positive("elastance_k")[:, None] if self.elastance == "symmetric" else None
        return *super().neurons(), ops.convert_to_tensor(self.elastance_b)[:, None], width

    def synapses(self, prefix: str) -> Tree:
        """As for an `STCCell`, and o (E, 1)."""
        return *super().synapses(prefix), ops.convert_to_tensor(getattr(self, f"{prefix}elastance_w"))[:, None]

    def conducted(self, prefix: str, synapses: Tree, v: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """As for an `STCCell`, and the potential of the source, by o."""
        return [*super().conducted(prefix, synapses, v), (self.of_sources(prefix, v), [synapses[-1]])]

    def rates(self, x: Tensor, drive: Tree, constants: Tree) -> tuple[Tensor, Tensor, Tensor]:
        """Source, decay and capacity 1 of the neurons (N, B) at the potentials x."""
        (_, vleak, bias, width), synapses, *_ = constants
        f, u, z = (a + b for a, b in zip(drive, self.sums("", synapses, x), strict=True))
        z = z + bias
        elastance = ops.sigmoid(z) if width is None else ops.sigmoid(z + width) - ops.sigmoid(z - width)
        return elastance * vleak * ops.tanh(u), elastance * ops.sigmoid(f), ops.ones_like(f)


def cut_out(matrix: Orthogonal, shape: tuple[int, int], synapses: Any) -> Callable[..., np.ndarray]:
    """An initializer: the elements, at the synapses that exist, of a matrix (sources, targets) that another draws."""

    def draw(_: Any, generator: np.random.Generator) -> np.ndarray:
        return matrix(shape, generator)[synapses.source, synapses.target]

    return draw


class STC(CellSequence):
    """A saturated liquid time-constant network over sequences: `RNN` of an `STCCell`.

    Args:
        units: number of fully connected neurons, or a wiring.
        options: of `RNN` and of `STCCell` (`solver`, `unfolds`, `input_mapping`, `output_mapping`,
            `implicit_param_constraints`, `initialization_ranges`); `input_size`, `name`, `dtype`.

    Example:
        >>> STC(8)(np.zeros((5, 7, 3), "float32")).shape
        (5, 8)
    """

    make_cell = STCCell


class LRC(CellSequence):
    """A liquid-resistance liquid-capacitance network over sequences: `RNN` of an `LRCCell`.

    Args:
        units: number of fully connected neurons, or a wiring.
        options: of `RNN` and of `LRCCell` (`elastance` and those of `STC`); `input_size`, `name`, `dtype`.

    Example:
        >>> LRC(8, elastance="symmetric")(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    make_cell = LRCCell
