"""Continuous-time recurrent networks, with and without decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from ncps import activations, ops
from ncps.layers.cell import Tree
from ncps.layers.dense import check_features
from ncps.layers.layer import Activation, Shape, Tensor, check_size
from ncps.layers.ode import ODECell
from ncps.layers.rnn import CellSequence


class NeuralODECell(ODECell):
    r"""One time step of a neural ordinary differential equation, driven by the inputs.

    $$\dot x = \tanh(W u + U x + b).$$

    Args:
        units: number of neurons.
        solver: ``"rk4"``, ``"heun"`` or ``"euler"``.
        unfolds: solver steps in one time step.
        activation: name or function, in place of tanh.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: an argument is out of its range.

    Source: Chen et al. 2018 (arXiv 1806.07366), in the recurrent form of the LTC paper's baselines (arXiv 2006.04439).

    Example:
        >>> cell = NeuralODECell(8, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape
        (5, 8)
    """

    recomputes = True

    def __init__(
        self, units: int, solver: str = "rk4", unfolds: int = 6, activation: Activation = "tanh", **options: Any
    ) -> None:
        super().__init__(solver=solver, unfolds=unfolds, **options)
        self.units = check_size("units", units)
        activations.get(activation)
        self.activation = activation

    def build(self, input_shape: Shape) -> None:
        """Makes W (F, N), U (N, N) and b (N,)."""
        features = check_size("the number of features", input_shape[-1])
        self.kernel = self.add_weight("kernel", (features, self.units))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, self.units), "orthogonal")
        self.bias = self.add_weight("bias", (self.units,), "zeros")

    def constants(self, timespan: Tensor | None) -> Tree:
        """U, W and b."""
        return tuple(ops.convert_to_tensor(x) for x in (self.recurrent_kernel, self.kernel, self.bias))

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """W u + b of all steps."""
        check_features(self, inputs, self.kernel.shape[0])
        _, kernel, bias, *_ = constants
        return ops.matmul(inputs, kernel) + bias

    def derivative(self, x: Tensor, drive: Tree, constants: Tree) -> Tensor:
        """tanh(W u + U x + b)."""
        return activations.get(self.activation)(drive + ops.matmul(x, constants[0]))


class CTRNNCell(NeuralODECell):
    r"""One time step of a continuous-time recurrent network.

    $$\dot x = -\frac{x}{\tau} + \tanh(W u + U x + b).$$

    Args:
        units: number of neurons.
        solver: ``"euler"`` (or ``"explicit"``), ``"semi_implicit"``, ``"heun"`` or ``"rk4"``.
        unfolds: solver steps in one time step.
        activation: name or function, in place of tanh.
        tau: time constants τ to begin with, in the unit of the timespans: a number, or one for each neuron. What is
            trained is `decay`, 1 / τ, which stays at least 0.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: an argument is out of its range.

    Source: Funahashi, Nakamura 1993; the form of the LTC paper's baselines (arXiv 2006.04439).

    Example:
        >>> cell = CTRNNCell(8, tau=2.0, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), np.ones((5, 8), "float32"), timespan=0.5)
        >>> output.shape
        (5, 8)
    """

    def __init__(
        self,
        units: int,
        solver: str = "euler",
        unfolds: int = 6,
        activation: Activation = "tanh",
        tau: Any = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(units, solver, unfolds, activation, **options)
        times = np.asarray(tau, np.float64)
        if times.shape not in ((), (self.units,)) or not (times > 0).all():
            raise ValueError(
                f"Expected tau above 0, a number or one for each of {units} neurons. Received: {tau!r}. Give the "
                "time in which a neuron forgets two thirds, in units of the timespans."
            )
        self.tau = times.tolist()

    def build(self, input_shape: Shape) -> None:
        """Makes W, U, b and 1 / τ (N,)."""
        super().build(input_shape)
        decay = np.broadcast_to(1 / np.asarray(self.tau), (self.units,))
        self.decay = self.add_weight("decay", (self.units,), np.array(decay), constraint="non_negative")

    def constants(self, timespan: Tensor | None) -> Tree:
        """U, W, b and 1 / τ."""
        return *super().constants(timespan), ops.non_negative(self.decay)

    def rates(self, x: Tensor, drive: Tree, constants: Tree) -> tuple[Tensor, Tensor, Tensor]:
        """tanh(W u + U x + b), 1 / τ and 1."""
        decay = constants[-1]
        return super().derivative(x, drive, constants), decay, ops.ones_like(decay)

    def derivative(self, x: Tensor, drive: Tree, constants: Tree) -> Tensor:
        """-x / τ + tanh(W u + U x + b)."""
        return super().derivative(x, drive, constants) - constants[-1] * x

    def fastest_rate(self) -> float | None:
        """The largest 1 / τ."""
        values = self.visible(ops.non_negative(self.decay))
        return None if values is None else float(np.max(values))


class NeuralODE(CellSequence):
    """A neural ordinary differential equation over sequences: `RNN` of a `NeuralODECell`.

    Args:
        units: number of neurons.
        options: of `RNN` and of `NeuralODECell` (`solver`, `unfolds`, `activation`); `input_size`, `name`, `dtype`.

    Example:
        >>> NeuralODE(8, unfolds=2)(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    make_cell = NeuralODECell


class CTRNN(CellSequence):
    """A continuous-time recurrent network over sequences: `RNN` of a `CTRNNCell`.

    Args:
        units: number of neurons.
        options: of `RNN` and of `CTRNNCell` (`solver`, `unfolds`, `activation`, `tau`); `input_size`, `name`, `dtype`.

    Example:
        >>> CTRNN(8, tau=0.5)(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    make_cell = CTRNNCell
