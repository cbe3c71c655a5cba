"""Cells on top of one another, as one cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ncps.layers.cell import Cell, HoistingCell, Tree, check_cell
from ncps.layers.containers import List
from ncps.layers.layer import Shape, Tensor
from ncps.serialization import serialize


class StackedRNNCells(HoistingCell):
    """Cells that feed one another within each time step; the state is a tuple of theirs, the output that of the last.

    Args:
        cells: the cells, from the inputs on.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `cells` is no list, or one of them no cell.
        ValueError: there is none.

    Example:
        >>> layer = RNN(StackedRNNCells([CfCCell(8), LTCCell(4)]))
        >>> layer(np.zeros((5, 7, 3), "float32"), timespans=0.1).shape
        (5, 4)
    """

    def __init__(self, cells: Iterable[Cell], **options: Any) -> None:
        super().__init__(**options)
        if isinstance(cells, Cell):
            raise TypeError(f"Expected a list of cells. Received: {type(cells).__qualname__}. Give [cell].")
        self.cells = List([check_cell(cell) for cell in cells])
        if not self.cells:
            raise ValueError("Expected at least one cell. Received: none. Give [cell].")

    @property
    def recomputes(self) -> bool:  # type: ignore[override]
        """Whether all cells have their steps computed again in the backward pass."""
        return all(cell.recomputes for cell in self.cells)

    @property
    def state_size(self) -> tuple[Any, ...]:
        """Those of the cells."""
        return tuple(cell.state_size for cell in self.cells)

    @property
    def output_size(self) -> Any:
        """That of the last cell."""
        return self.cells[-1].output_size

    def build(self, input_shape: Shape) -> None:
        """Builds every cell for the output of the one before."""
        for cell in self.cells:
            cell.ensure_built(input_shape)
            input_shape = (None, cell.output_size)

    def get_config(self) -> dict[str, Any]:
        """The configurations of the cells."""
        return {"cells": [serialize(cell) for cell in self.cells], "input_size": self.input_size} | self.native_config()

    # -- for sequences; the packed state is a tuple of the cells'

    def constants(self, timespan: Tensor | None) -> Tree:
        """Those of the cells."""
        return tuple(cell.constants(timespan) for cell in self.cells)

    def drive(self, inputs: Tensor, constants: Tree) -> Tree:
        """What the inputs contribute to the first cell."""
        return self.cells[0].drive(inputs, constants[0])

    def pack_state(self, states: Tree, inputs: Tensor) -> Tree:
        """The packed states of the cells."""
        return tuple(cell.pack_state(state, inputs) for cell, state in zip(self.cells, states, strict=True))

    def unpack_state(self, packed: Tree) -> Tree:
        """The states of the cells."""
        return tuple(cell.unpack_state(own) for cell, own in zip(self.cells, packed, strict=True))

    def neurons_of(self, packed: Tree) -> Tree:
        """The states of the cells by neuron."""
        return tuple(cell.neurons_of(own) for cell, own in zip(self.cells, packed, strict=True))

    def step(self, packed: Tree, drive: Tree, timespan: Tensor, constants: Tree) -> Tree:
        """Every cell takes a step, driven by the output of the one before."""
        after: list[Tree] = []
        for i, (cell, state, own) in enumerate(zip(self.cells, packed, constants, strict=True)):
            if i > 0:
                below = self.cells[i - 1]
                drive = cell.drive_of_step(below.readout(below.emit(after[-1]), constants[i - 1]), own)
            after.append(cell.step(state, drive, timespan, own))
        return tuple(after)

    def select(self, condition: Tensor, new: Tree, old: Tree) -> Tree:
        """Of each sample the new states where the condition holds, else the old ones."""
        return tuple(cell.select(condition, a, b) for cell, a, b in zip(self.cells, new, old, strict=True))

    def emit(self, packed: Tree) -> Tensor:
        """What the last cell leaves."""
        return self.cells[-1].emit(packed[-1])

    def readout(self, emitted: Tensor, constants: Tree) -> Tensor:
        """The outputs of the last cell."""
        return self.cells[-1].readout(emitted, constants[-1])
