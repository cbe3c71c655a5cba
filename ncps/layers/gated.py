"""The gated networks that liquid ones are compared with: LSTM and GRU, with elapsed times as a feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from ncps import ops
from ncps.initializers import GlorotUniform
from ncps.layers.cell import HoistingCell, Tree
from ncps.layers.dense import check_features
from ncps.layers.layer import Shape, Tensor, check_size
from ncps.layers.rnn import CellSequence


class GatedCell(HoistingCell):
    """Base of the gated cells.

    Args:
        units: number of units.
        append_timespans: whether the elapsed time is one more input; else it has no effect.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: `units` is below 1.
    """

    gates: int

    def __init__(self, units: int, append_timespans: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.units = check_size("units", units)
        self.append_timespans = append_timespans

    def build(self, input_shape: Shape) -> None:
        """Makes the kernels of the gates, side by side; the last row of `kernel` is that of the time, if appended."""
        self.features = check_size("the number of features", input_shape[-1])
        size, rows = self.gates * self.units, self.features + self.append_timespans
        self.kernel = self.add_weight("kernel", (rows, size), GlorotUniform(blocks=self.gates))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, size), "orthogonal")
        self.bias = self.add_weight("bias", (size,), self.initial_bias())

    def initial_bias(self) -> Any:
        """Where the bias of the gates begins."""
        return "zeros"

    def constants(self, timespan: Tensor | None) -> Tree:
        """Kernel and bias of the inputs, kernel of the states, and that of the time, if appended."""
        kernel = ops.convert_to_tensor(self.kernel)
        of_time = kernel[self.features :] if self.append_timespans else None
        inputs = kernel[: self.features], ops.convert_to_tensor(self.bias)
        return inputs, ops.convert_to_tensor(self.recurrent_kernel), of_time

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs of all steps add to the gates."""
        check_features(self, inputs, self.features)
        kernel, bias = constants[0]
        return ops.matmul(inputs, kernel) + bias

    def with_time(self, drive: Tensor, timespan: Tensor, of_time: Tensor | None) -> Tensor:
        """What inputs and elapsed time of a step add to the gates."""
        return drive if of_time is None else drive + timespan * of_time


class LSTMCell(GatedCell):
    r"""One time step of a long short-term memory.

    $$i, f, g, o = W u + U h + b, \qquad c' = \sigma(f)\, c + \sigma(i) \tanh g, \qquad h' = \sigma(o) \tanh c'.$$

    The bias of f begins at 1. The state is the pair (h, c).

    Args:
        units: number of units.
        append_timespans: whether the elapsed time is one more input; else it has no effect.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: `units` is below 1.

    Source: Hochreiter, Schmidhuber 1997; the bias of Jozefowicz et al. 2015.

    Example:
        >>> cell = LSTMCell(8, append_timespans=True, input_size=3)
        >>> output, (h, c) = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> h.shape, c.shape
        ((5, 8), (5, 8))
    """

    gates = 4

    @property
    def state_size(self) -> tuple[int, int]:
        """Sizes of h and c."""
        return self.units, self.units

    def initial_bias(self) -> Any:
        """The forget gate begins open."""
        return np.repeat([0.0, 1.0, 0.0, 0.0], self.units)

    def step(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        """h and c after one step."""
        h, c = packed
        _, recurrent, of_time = constants
        return memory_step(self.with_time(drive, timespan, of_time) + ops.matmul(h, recurrent), c)

    def emit(self, packed: Tree) -> Tensor:
        """h."""
        return packed[0]


def memory_step(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """h and c of a long short-term memory, from its gates i, f, g, o side by side."""
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


class GRUCell(GatedCell):
    r"""One time step of a gated recurrent unit.

    $$z = \sigma(W_z u + U_z h + b_z), \qquad r = \sigma(W_r u + U_r h + b_r),$$
    $$n = \tanh(W_n u + b_n + r \odot (U_n h + b'_n)), \qquad h' = z \odot h + (1 - z) \odot n.$$

    Args:
        units: number of units.
        append_timespans: whether the elapsed time is one more input; else it has no effect.
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: `units` is below 1.

    Source: Cho et al. 2014 (arXiv 1406.1078), with the reset after the product, as cuDNN, torch and Keras have it.

    Example:
        >>> cell = GRUCell(8, input_size=3)
        >>> output, state = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5))
        >>> output.shape
        (5, 8)
    """

    gates = 3

    def build(self, input_shape: Shape) -> None:
        """Makes the kernels of z, r and n, and the second bias of n."""
        super().build(input_shape)
        self.recurrent_bias = self.add_weight("recurrent_bias", (self.units,), "zeros")

    def constants(self, timespan: Tensor | None) -> Tree:
        """As for every gated cell, and the second bias of n."""
        return *super().constants(timespan), ops.convert_to_tensor(self.recurrent_bias)

    def step(self, packed: Tensor, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """The state after one step."""
        _, recurrent, of_time, bias = constants
        n = 2 * self.units
        inputs, states = self.with_time(drive, timespan, of_time), ops.matmul(packed, recurrent)
        z, r = ops.split(ops.sigmoid(inputs[:, :n] + states[:, :n]), 2, axis=-1)
        candidate = ops.tanh(inputs[:, n:] + r * (states[:, n:] + bias))
        return candidate + z * (packed - candidate)


class LSTM(CellSequence):
    """A long short-term memory over sequences: `RNN` of an `LSTMCell`.

    Args:
        units: number of units.
        options: of `RNN` and of `LSTMCell` (`append_timespans`); `input_size`, `name`, `dtype`.

    Example:
        >>> LSTM(8, append_timespans=True)(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    make_cell = LSTMCell


class GRU(CellSequence):
    """A gated recurrent unit over sequences: `RNN` of a `GRUCell`.

    Args:
        units: number of units.
        options: of `RNN` and of `GRUCell` (`append_timespans`); `input_size`, `name`, `dtype`.

    Example:
        >>> GRU(8)(np.zeros((5, 7, 3), "float32")).shape
        (5, 8)
    """

    make_cell = GRUCell
