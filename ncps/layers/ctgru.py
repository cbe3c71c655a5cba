"""The continuous-time gated recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ncps import ops
from ncps.initializers import GlorotUniform
from ncps.layers.cell import HoistingCell, Tree
from ncps.layers.dense import check_features
from ncps.layers.layer import Shape, Tensor, check_size
from ncps.layers.rnn import CellSequence


class CTGRUCell(HoistingCell):
    r"""One time step of a continuous-time gated recurrent unit.

    Each unit keeps M traces $\hat h_i$ that decay with fixed time constants $\tau_i$, and their sum $h = \sum_i \hat
    h_i$. It decides from which traces to read and in which to store by the time constant that it wants:

    $$r = \operatorname{softmax}_i\left(-(W_r [u, h] + b_r - \ln \tau_i)^2\right), \qquad
      q = \tanh\left(W_q \left[u, \textstyle\sum_i r_i \hat h_i\right] + b_q\right),$$
    $$s = \operatorname{softmax}_i\left(-(W_s [u, h] + b_s - \ln \tau_i)^2\right), \qquad
      \hat h_i' = \left((1 - s_i)\, \hat h_i + s_i q\right) e^{-t / \tau_i}.$$

    The state (B, units M) holds the traces, those of a unit side by side; the output (B, units) is their sum.

    Args:
        units: number of units.
        time_constants: the τ, in the unit of the timespans, ascending; or their number M, for τ = 1, √10, 10 ...
        options: `input_size`, `name`, `dtype`.

    Raises:
        ValueError: there are no time constants, or one is not above 0.

    Source: Mozer, Kazakov, Lindsey 2017 (arXiv 1710.04110), section 2. It integrates no equation: the update happens
    at once, then the time passes.

    Example:
        >>> cell = CTGRUCell(4, time_constants=3, input_size=2)
        >>> output, state = cell(np.zeros((5, 2), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> output.shape, state.shape
        ((5, 4), (5, 12))
    """

    def __init__(self, units: int, time_constants: int | Sequence[float] = 8, **options: Any) -> None:
        super().__init__(**options)
        self.units = check_size("units", units)
        given = time_constants
        if isinstance(given, (int, np.integer)):
            given = [10 ** (i / 2) for i in range(given)]
        values = np.asarray(given, np.float64)
        if values.ndim != 1 or not len(values) or not ((values > 0) & np.isfinite(values)).all():
            raise ValueError(
                "Expected time_constants, the decay times of a CTGRU's traces: their number, from 1, or their values, "
                f"above 0. Received: time_constants={time_constants!r}. Leave it out for 8."
            )
        self.time_constants = values.tolist()

    @property
    def state_size(self) -> int:
        """Number of traces."""
        return self.units * len(self.time_constants)

    def build(self, input_shape: Shape) -> None:
        """Makes W of r, s and q side by side, for inputs and for units."""
        features = check_size("the number of features", input_shape[-1])
        n = self.units
        self.kernel = self.add_weight("kernel", (features, 3 * n), GlorotUniform(blocks=3))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (n, 3 * n), GlorotUniform(blocks=3))
        self.bias = self.add_weight("bias", (3 * n,), "zeros")
        self._tau = self.make_buffer(np.asarray(self.time_constants))

    def constants(self, timespan: Tensor | None) -> Tree:
        """W of the units for r and s, and for q; τ; W and b of the inputs."""
        kernel, bias, recurrent = map(ops.convert_to_tensor, (self.kernel, self.bias, self.recurrent_kernel))
        n, tau = 2 * self.units, ops.cast(ops.convert_to_tensor(self._tau), recurrent.dtype)
        return recurrent[:, :n], recurrent[:, n:], tau, kernel, bias

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """W u + b of all steps."""
        check_features(self, inputs, self.kernel.shape[0])
        *_, kernel, bias = constants
        return ops.matmul(inputs, kernel) + bias

    def step(self, packed: Tensor, drive: Tree, timespan: Tensor, constants: Tree) -> Tensor:
        """The traces after one step."""
        gates, detect, tau, *_ = constants
        n = self.units
        traces = self.traces(packed)
        wanted = drive[:, : 2 * n] + ops.matmul(ops.sum(traces, axis=-1), gates)
        distance = ops.expand_dims(wanted, -1) - ops.log(tau)
        share = ops.softmax(-distance * distance, axis=-1)
        read, store = share[:, :n], share[:, n:]
        q = ops.tanh(drive[:, 2 * n :] + ops.matmul(ops.sum(read * traces, axis=-1), detect))
        timespan = timespan if len(timespan.shape) == 0 else ops.expand_dims(timespan, -1)
        traces = (traces + store * (ops.expand_dims(q, -1) - traces)) * ops.exp(-timespan / tau)
        return ops.reshape(traces, (-1, self.state_size))

    def traces(self, packed: Tensor) -> Tensor:
        """(..., B, units, M)."""
        return ops.reshape(packed, (*ops.shape(packed)[:-1], self.units, len(self.time_constants)))

    def readout(self, emitted: Tensor, constants: Tree) -> Tensor:
        """The sums of the traces."""
        return ops.sum(self.traces(emitted), axis=-1)


class CTGRU(CellSequence):
    """A continuous-time gated recurrent unit over sequences: `RNN` of a `CTGRUCell`.

    Args:
        units: number of units.
        options: of `RNN` and of `CTGRUCell` (`time_constants`); `input_size`, `name`, `dtype`.

    Example:
        >>> CTGRU(8)(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 8)
    """

    make_cell = CTGRUCell
