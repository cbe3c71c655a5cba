"""A long-term memory around a continuous-time cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from ncps import ops, tree
from ncps.initializers import GlorotUniform
from ncps.layers.cell import Cell, HoistingCell, Tree, check_cell
from ncps.layers.dense import check_features
from ncps.layers.gated import memory_step
from ncps.layers.layer import Shape, Tensor, check_size
from ncps.layers.rnn import CellSequence

TARGETS = ("input", "state")


class MixedMemoryCell(HoistingCell):
    r"""One time step of a mixed-memory network: a long short-term memory that sees the state of a continuous-time cell.

    With the state h of the cell,

    $$i, f, g, o = W u + U h + b, \qquad c' = \sigma(f)\, c + \sigma(i) \tanh g, \qquad m = \sigma(o) \tanh c',$$

    the memory's output m goes into the cell, which lets the elapsed time pass: as its input, h' = cell(m, h), as in the
    paper and the TensorFlow and Keras code of ncps 1.0.1; or as its state, h' = cell(u, m), as in its torch code. The
    memory does not decay with time, so that gradients reach far back. The state is the pair of c and the cell's own.

    Args:
        cell: any cell. The memory has as many units as its state has elements.
        memory_to: ``"input"`` or ``"state"``, what m becomes.
        forget_bias: where the bias of f begins.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `cell` is no cell.
        ValueError: `memory_to` is neither of the two.

    Source: Lechner, Hasani 2020 (arXiv 2006.04418), the ODE-LSTM; the mmRNN of Hasani et al., Nature Machine
    Intelligence 2022.

    Example:
        >>> cell = MixedMemoryCell(CfCCell(8), input_size=3)
        >>> output, (c, h) = cell(np.zeros((5, 3), "float32"), cell.get_initial_state(5), timespan=0.5)
        >>> c.shape, h.shape
        ((5, 8), (5, 8))
    """

    def __init__(self, cell: Cell, memory_to: str = "input", forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.cell = check_cell(cell)
        if memory_to not in TARGETS:
            raise ValueError(
                f"Expected memory_to='input' or 'state'. Received: {memory_to!r}. Leave it out for the paper's, "
                "'input'."
            )
        self.memory_to = memory_to
        self.forget_bias = forget_bias

    @property
    def memory_size(self) -> int:
        """Number of units of the memory."""
        return sum(tree.flatten(self.cell.state_size)[0])

    @property
    def state_size(self) -> Any:
        """Size of the memory, and the sizes of the cell's state."""
        return self.memory_size, self.cell.state_size

    @property
    def output_size(self) -> Any:
        """That of the cell."""
        return self.cell.output_size

    def build(self, input_shape: Shape) -> None:
        """Makes the kernels of the memory's four gates, side by side, and builds the cell."""
        self.features = check_size("the number of features", input_shape[-1])
        n = self.memory_size
        self.kernel = self.add_weight("kernel", (self.features, 4 * n), GlorotUniform(blocks=4))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (n, 4 * n), "orthogonal")
        self.bias = self.add_weight("bias", (4 * n,), np.repeat([0.0, self.forget_bias, 0.0, 0.0], n))
        self.cell.ensure_built((None, n if self.memory_to == "input" else self.features))

    def advance(self, inputs: Tensor, states: Tree, timespan: Tensor) -> tuple[Tensor, Tree]:
        """The output and the state after one step; where the cell's op is fast for those, of its constants nothing."""
        if not self.cell.runs_by_op(inputs, steps=True):
            return super().advance(inputs, states, timespan)
        check_features(self, inputs, self.features)
        c, own = states
        recurrent, kernel, bias = self.maps()
        h, structure = tree.flatten(own)
        m, c = memory_step(ops.matmul(inputs, kernel) + bias + ops.matmul(joined(h), recurrent), c)
        if self.memory_to == "input":
            inputs = m
        else:
            own = tree.unflatten(structure, parted(m, h))
        output, own = self.cell.step_by_op(inputs, own, timespan)
        return output, (c, own)

    def maps(self) -> tuple[Tensor, ...]:
        """The kernels of the states and of the inputs, and the bias."""
        return tuple(map(ops.convert_to_tensor, (self.recurrent_kernel, self.kernel, self.bias)))

    # -- for sequences; the packed state is the memory and the cell's packed state

    def constants(self, timespan: Tensor | None) -> Tree:
        """The kernel of the states, what the cell uses, and kernel and bias of the inputs."""
        recurrent, kernel, bias = self.maps()
        return recurrent, self.cell.constants(timespan), kernel, bias

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs of all steps add to the gates, and what of them the cell gets if they reach it."""
        check_features(self, inputs, self.features)
        *_, kernel, bias = constants
        gates = ops.matmul(inputs, kernel) + bias
        if self.memory_to == "input":
            return gates, None
        return gates, inputs if self.cell.runs_by_op(inputs, in_loop=True) else self.cell.drive(inputs, constants[1])

    def pack_state(self, states: Tree, inputs: Tensor) -> Tree:
        """The memory, and the cell's packed state."""
        return states[0], self.cell.pack_state(states[1], inputs)

    def unpack_state(self, packed: Tree) -> Tree:
        """The memory and the cell's state."""
        return packed[0], self.cell.unpack_state(packed[1])

    def neurons_of(self, packed: Tree) -> Tree:
        """The memory and the cell's state by neuron."""
        return packed[0], self.cell.neurons_of(packed[1])

    def step(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        """The memory takes a step, then the cell."""
        (c, inner), (gates, given), (recurrent, own, *_) = packed, drive, constants
        h, structure = tree.flatten(self.cell.unpack_state(inner))
        m, c = memory_step(gates + ops.matmul(joined(h), recurrent), c)
        if self.memory_to == "state":
            inner = self.cell.pack_state(tree.unflatten(structure, parted(m, h)), m)
        if self.cell.runs_by_op(gates, in_loop=True):
            inputs = m if self.memory_to == "input" else given
            _, state = self.cell.step_by_op(inputs, self.cell.unpack_state(inner), timespan)
            return c, self.cell.pack_state(state, m)
        given = self.cell.drive_of_step(m, own) if self.memory_to == "input" else given
        return c, self.cell.step(inner, given, timespan, own)

    def select(self, condition: Tensor, new: Tree, old: Tree) -> Tree:
        """Of each sample the new memory and state where the condition holds, else the old ones."""
        return ops.where(condition, new[0], old[0]), self.cell.select(condition, new[1], old[1])

    def emit(self, packed: Tree) -> Tensor:
        """What the cell leaves."""
        return self.cell.emit(packed[1])

    def readout(self, emitted: Tensor, constants: Tree) -> Tensor:
        """The cell's outputs."""
        return self.cell.readout(emitted, constants[1])


def joined(parts: list[Tensor]) -> Tensor:
    """One tensor (B, ...) of many."""
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def parted(one: Tensor, like: list[Tensor]) -> list[Tensor]:
    """One tensor as many, as wide as others."""
    ends = np.cumsum([x.shape[-1] for x in like])[:-1].tolist()
    return ops.split(one, ends, axis=-1)


class MixedMemory(CellSequence):
    """A mixed-memory network over sequences: `RNN` of a `MixedMemoryCell`.

    Args:
        cell: the continuous-time cell: `CfCCell`, `LTCCell` or any other.
        options: of `RNN` and of `MixedMemoryCell` (`memory_to`, `forget_bias`); `input_size`, `name`, `dtype`.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> MixedMemory(LTCCell(AutoNCP(8, 2)))(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 2)
    """

    make_cell = MixedMemoryCell
