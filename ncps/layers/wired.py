"""Cells whose neurons a wiring connects."""

from __future__ import annotations

from typing import Any

from ncps.layers.cell import HoistingCell
from ncps.layers.layer import Shape, check_size
from ncps.wirings import FullyConnected, Wiring


class WiredCell(HoistingCell):
    """Base of the cells that take a number of neurons or a wiring.

    Args:
        units: number of fully connected neurons, or a wiring.
        options: `input_size`, `name`, `dtype`.

    Raises:
        TypeError: `units` is neither an integer nor a wiring.
        ValueError: it is below 1.
    """

    def __init__(self, units: int | Wiring, **options: Any) -> None:
        super().__init__(**options)
        self.wiring = (
            units if isinstance(units, Wiring) else FullyConnected(check_size("units, where it is no wiring,", units))
        )
        self.units = units

    @property
    def state_size(self) -> int:
        """Number of neurons."""
        return self.wiring.units

    @property
    def output_size(self) -> int:
        """Number of motor neurons."""
        return self.wiring.output_dim

    def freeze_wiring(self, input_shape: Shape) -> Wiring:
        """Takes a frozen copy of the wiring, built for the features of the inputs, as the cell's own."""
        self.wiring = self.wiring.frozen(check_size("the number of features", input_shape[-1]))
        self.units = self.units if isinstance(self.units, int) else self.wiring
        return self.wiring
