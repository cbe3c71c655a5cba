"""Liquid time-constant networks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ncps import ops
from ncps.layers.cell import Tree
from ncps.layers.dense import check_features
from ncps.layers.layer import Tensor
from ncps.layers.rnn import CellSequence
from ncps.layers.solvers import SEMI_IMPLICIT
from ncps.layers.synaptic import Ranges, SynapticCell
from ncps.wirings import Wiring


class LTCCell(SynapticCell):
    r"""One time step of a liquid time-constant network.

    A neuron i integrates its leak and its synapses from neurons (and inputs) j,

    $$c_i \dot v_i = g_i (v^{leak}_i - v_i) + \sum_j w_{ji}\, \sigma(\sigma_{ji} (v_j - \mu_{ji})) (E_{ji} - v_i),$$

    by `unfolds` steps of $\delta$ = timespan / unfolds. The semi-implicit step stays stable for any of them:

    $$v_i \leftarrow \frac{c_i v_i + \delta\,(g_i v^{leak}_i + \sum_j s_{ji} E_{ji})}
                          {c_i + \delta\,(g_i + \sum_j s_{ji} + \epsilon)}.$$

    The output is that of the motor neurons. Weights of synapses are vectors, one element for each synapse that exists,
    sorted by target and then by source (`wiring.synapses`).

    Potentials stay between the smallest and the largest of 0, the leak potentials and the reversal potentials; the time
    constant of a neuron lies in [τ / (1 + τ W), τ], with τ = c / g and W the sum of its w / c (theorems 1 and 2).

    LTC-SE is this cell with ``output_mapping=None``, ``epsilon=0.0``, its solvers ``semi_implicit``, ``explicit`` and
    ``rk4``, and ``initialization_ranges={"gleak": (1, 1), "cm": (1 / 12, 1 / 12), "w": (0.01, 1), "sensory_w": (0.01,
    1)}``, whose `cm` is the constant 0.5 of its six solver steps in a time step of 1. It clips weights to [1e-5, 1000];
    here they are constrained to be non-negative.

    Args:
        units: number of fully connected neurons, or a wiring.
        solver: ``"semi_implicit"``, ``"explicit"`` (the same as ``"euler"``), ``"heun"`` or ``"rk4"``.
        unfolds: solver steps in one time step.
        epsilon: added to the conductances, as in the reference implementation.
        input_mapping: ``"affine"``, ``"linear"`` or None: what the inputs pass first, element by element.
        output_mapping: the same for the outputs.
        implicit_param_constraints: `w`, `cm`, `gleak` and `sensory_w` are the softplus of the weights, else
            max(weight, 0) (`ncps.ops.non_negative`).
        initialization_ranges: (low, high) of the uniform initial values, by name: `gleak`, `vleak`, `cm`, `w`, `sigma`,
            `mu`, `sensory_w`, `sensory_sigma`, `sensory_mu`.
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
    sigma: Tensor  # (E,) slopes of the synapses
    mu: Tensor  # (E,) half-open potentials
    erev: Tensor  # (E,) reversal potentials
    sensory_sigma: Tensor  # (Es,) the same of the sensory synapses
    sensory_mu: Tensor
    sensory_erev: Tensor
    # w, sensory_w; where there are mappings input_w, input_b (F,), output_w, output_b (M,)

    neuron_weights = ("gleak", "vleak", "cm")
    synapse_weights = ("sigma", "mu", "w", "erev")
    non_negative = ("gleak", "cm", "w", "sensory_w")
    direction = "erev"
    sequence_op = "ltc_sequence"
    ranges: ClassVar[Ranges] = {**SynapticCell.ranges, "cm": (0.4, 0.6)}

    def __init__(
        self,
        units: int | Wiring,
        solver: str = "semi_implicit",
        unfolds: int = 6,
        epsilon: float = 1e-8,
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
        self.epsilon = epsilon

    def synapse_initializer(self, name: str, synapses: Any) -> Any:
        """The polarity of a synapse is its initial reversal potential."""
        return synapses.polarity.astype(np.float64) if name.endswith("erev") else self.uniform(name)

    def neurons(self) -> Tree:
        """Capacitance, leak conductance and leak current."""
        cm, gleak, vleak = self.positive("cm"), self.positive("gleak"), ops.convert_to_tensor(self.vleak)
        return cm[:, None], gleak[:, None] + self.epsilon, (gleak * vleak)[:, None]

    def synapses(self, prefix: str) -> Tree:
        """Slopes, shifts, w erev and w, each (E, 1)."""
        w, erev = self.positive(f"{prefix}w"), ops.convert_to_tensor(getattr(self, f"{prefix}erev"))
        return *self.gates(prefix), (w * erev)[:, None], w[:, None]

    def conducted(self, prefix: str, synapses: Tree, v: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """The activity of each synapse, by w E and by w."""
        *gates, w_erev, w = synapses
        return [(self.activity(prefix, gates, v), [w_erev, w])]

    def flow(self, prefix: str, sources: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Also the current s (E - v) into the target of each synapse, at the target's potential v."""
        flow = super().flow(prefix, sources, targets)
        erev = ops.convert_to_tensor(getattr(self, f"{prefix}erev"))[:, None]
        voltage = erev - ops.take(targets, getattr(self, f"_{prefix}target"))
        return flow | {"current": flow["conductance"] * voltage}

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """Current and conductance of the leak and the sensory synapses, of all steps (T, N, B)."""
        (_, conductance, current), *_ = constants
        sensory_current, sensory_conductance = self.sensory_sums(inputs, constants)
        return sensory_current + current, sensory_conductance + conductance

    def whole_sequence(
        self, inputs: Tensor, state: Tree, times: Tensor, valid: Any, resets: Any, every: bool
    ) -> tuple[Tensor, Tree]:
        """The run as `ncps.ops.ltc_sequence`, which has a backward pass of its own."""
        check_features(self, inputs, self.wiring.input_dim)
        return ops.ltc_sequence(
            inputs, state, times, valid, resets, self.weights_of_sequence(), self.ends_of_synapses(),
            self.unfolds, self.epsilon, self.wiring.output_dim, every,
        )  # fmt: skip

    def fits_op(self) -> bool:
        """It has one solver."""
        return self.solver == SEMI_IMPLICIT

    def ends_of_synapses(self) -> ops.Synapses:
        """Where the synapses begin and end, as the op wants it."""
        vars_of: Any = self  # buffers, which `build` makes
        inner = vars_of._source, vars_of._target, vars_of._start
        return ops.Synapses(*inner, vars_of._sensory_source, vars_of._sensory_target, vars_of._sensory_start)

    def weights_of_sequence(self) -> ops.LTCWeights:
        """The weights as the op wants them."""
        cm, gleak, w, sensory_w = map(self.positive, ("cm", "gleak", "w", "sensory_w"))
        mappings = [getattr(self, name, None) for name in ("input_w", "input_b", "output_w", "output_b")]
        inner = cm, gleak, self.vleak, self.sigma, self.mu, w, self.erev
        return ops.LTCWeights(*inner, self.sensory_sigma, self.sensory_mu, sensory_w, self.sensory_erev, *mappings)

    def rates(self, x: Tensor, drive: Tree, constants: Tree) -> tuple[Tensor, Tensor, Tensor]:
        """Current, conductance and capacitance of the neurons (N, B) at the potentials x."""
        (cm, _, _), synapses, *_ = constants
        current, conductance = self.sums("", synapses, x)
        return drive[0] + current, drive[1] + conductance, cm

    def fastest_rate(self) -> float | None:
        """1 / the shortest time constant, with all synapses open (theorem 1)."""
        values = self.visible(*map(self.positive, self.non_negative))
        if values is None:
            return None
        weights = dict(zip(self.non_negative, values, strict=True))
        conductance = weights["gleak"].astype(np.float64)
        for prefix, synapses in (("", self.wiring.synapses), ("sensory_", self.wiring.sensory_synapses)):
            np.add.at(conductance, synapses.target, weights[f"{prefix}w"])
        return float(np.max(conductance / np.maximum(weights["cm"], 1e-12)))


class LTC(CellSequence):
    """A liquid time-constant network over sequences: `RNN` of an `LTCCell`, with the arguments of both.

    Args:
        units: number of fully connected neurons, or a wiring.
        options: of `RNN` (`return_sequences`, `return_state`, `go_backwards`, `stateful`, `unroll`,
            `zero_output_for_mask`) and of `LTCCell` (`solver`, `unfolds`, `epsilon`, `input_mapping`, `output_mapping`,
            `implicit_param_constraints`, `initialization_ranges`); `input_size`, `name`, `dtype`.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> layer = LTC(AutoNCP(8, 2), return_sequences=True)
        >>> layer(np.zeros((5, 7, 3), "float32"), timespans=np.ones((5, 7))).shape
        (5, 7, 2)
    """

    make_cell = LTCCell
