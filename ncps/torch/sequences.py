"""What `LTC` and `CfC` of ncps 1.0.1 share: how they were called."""

from __future__ import annotations

from typing import Any

from ncps import layers
from ncps.layers.binding import bind
from ncps.torch.faces import LoadsOld

STATE_OF_MEMORY = "a tuple (h0, c0) of the states of the cell and of the memory"


class Sequence(LoadsOld, bind(layers.RNN, "torch")):
    """A cell over sequences, called as in ncps 1.0.1.

    Args:
        cell: the cell.
        input_size: number of inputs.
        return_sequences: the outputs of all steps, else of the last.
        batch_first: whether batches are (B, T, F), else (T, B, F).
        memory_to: what the output of a memory around the cell becomes, ``"state"`` or ``"input"``; None for no memory.
    """

    def __init__(
        self, cell: Any, input_size: int | None, return_sequences: bool, batch_first: bool, memory_to: str | None
    ) -> None:
        features = cell.input_size if input_size is None else input_size
        whole = cell if memory_to is None else layers.MixedMemoryCell(cell, memory_to=memory_to)
        super().__init__(whole, return_sequences=return_sequences, return_state=True, input_size=features)
        self.batch_first = batch_first
        self.use_mixed = memory_to is not None

    @property
    def rnn_cell(self) -> Any:
        """The cell of neurons, within the memory if there is one."""
        return self.cell.cell if self.use_mixed else self.cell

    @property
    def state_size(self) -> int:
        """The number of neurons."""
        return self.rnn_cell.state_size

    @property
    def output_size(self) -> int:
        """The number of outputs, without a projection."""
        return self.rnn_cell.output_size

    def forward(self, input: Any, hx: Any = None, timespans: Any = None) -> tuple[Any, Any]:  # noqa: A002 - as in 1.0.1
        """Runs the cell.

        Args:
            input: (B, T, F), (T, B, F) without `batch_first`, or (T, F) for a single series.
            hx: the state before the first step, (B, N), or (N,) for a single series; with a memory a tuple (h0, c0) of
                two; None for zeros.
            timespans: elapsed times, (B, T) or (B, T, 1), with the axes of `input`; (T,) or a number for all alike.

        Returns:
            The output, (B, T, M) with the axes of `input` or (B, M), and the state after the last step.

        Raises:
            RuntimeError: `hx` does not fit `input`.
        """
        turn = input.dim() == 3 and not self.batch_first
        if turn:
            input = input.transpose(0, 1)  # noqa: A001
            timespans = timespans if getattr(timespans, "ndim", 0) < 2 else timespans.swapaxes(0, 1)
        state = None if hx is None else self.checked(hx, input.dim() - 1)
        output, state = self.run(input, state, timespans=timespans)
        if turn and self.return_sequences:
            output = output.transpose(0, 1)
        return output, tuple(reversed(state)) if self.use_mixed else state

    def checked(self, hx: Any, axes: int) -> Any:
        """The state in our order: that of the memory comes first.

        Raises:
            RuntimeError: it is a tensor where a pair is expected, or has another number of axes.
        """
        if self.use_mixed and not isinstance(hx, (tuple, list)):
            raise RuntimeError(
                f"Running a {type(self).__name__} with mixed_memory=True requires {STATE_OF_MEMORY}. Received: "
                f"{type(hx).__name__}. Give both, or None for zeros."
            )
        parts = tuple(hx) if self.use_mixed else (hx,)
        if any(part.dim() != axes for part in parts):
            kind = "batches (B, N)" if axes == 2 else "a single series (N,)"
            raise RuntimeError(
                f"Expected hx of {kind}, as the input is. Received: {[tuple(part.shape) for part in parts]}. Give hx "
                "and the input both with a batch axis, or both without."
            )
        return tuple(reversed(parts)) if self.use_mixed else hx


def memory_target(mixed_memory: bool, memory_to: str) -> str | None:
    """What the memory becomes, if there is one."""
    return memory_to if mixed_memory else None


def inputs_of_cell(input_size: int | None, neurons: int, memory_to: str | None) -> int | None:
    """The number of inputs of the cell: as many as the memory has units, where its output is the input."""
    return neurons if memory_to == "input" else input_size
