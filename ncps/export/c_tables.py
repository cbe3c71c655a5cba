"""Constant tables of C: weights as floats or as int8 with a scale, and small whole numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ncps.export.blocks import Array

FLOAT, INT8 = "float32", "int8"
LEVELS = 127  # of int8 above 0
IN_ROW = 8
PLACES = {2**8: "unsigned char", 2**16: "unsigned short", 2**32: "unsigned long"}


class Table(NamedTuple):
    """A table of weights: its name, and the scale that they are multiplied with; 1.0 for floats."""

    name: str
    scale: float


@dataclass
class Tables:
    """The tables of a file, in the order in which they are added.

    Args:
        weights: ``"float32"`` or ``"int8"``, the type of those that `weight` adds.
    """

    weights: str
    text: list[str] = field(default_factory=list)
    bytes_of_weights: int = 0
    places: int = 0
    largest_place: int = 0

    @property
    def place_type(self) -> str:
        """The smallest type of C that holds all places."""
        return next(kind for limit, kind in PLACES.items() if self.largest_place < limit)

    @property
    def flash(self) -> int:
        """Bytes of all tables."""
        widths = dict(zip(PLACES.values(), (1, 2, 4), strict=True))
        return self.bytes_of_weights + self.places * widths[self.place_type]

    def floats(self, name: str, values: Array) -> str:
        """Adds floats; the name of the table."""
        self.bytes_of_weights += 4 * values.size
        return self.add("float", name, map(number, values.ravel()), values.size)

    def weight(self, name: str, values: Array) -> Table:
        """Adds weights in the type of the file."""
        if self.weights == FLOAT:
            return Table(self.floats(name, values), 1.0)
        scale = scale_of(values)
        self.bytes_of_weights += values.size
        return Table(self.add("weight", name, map(str, levels(values, scale).ravel()), values.size), scale)

    def whole(self, name: str, values: Array) -> str:
        """Adds places or counts; the name of the table."""
        self.places += values.size
        self.largest_place = max(self.largest_place, int(values.max(initial=0)))
        return self.add("place", name, map(str, values.ravel()), values.size)

    def add(self, kind: str, name: str, items: Iterable[str], size: int) -> str:
        """Adds a table; C knows none without elements."""
        found = list(items) or ["0"]
        body = ",\n    ".join(", ".join(found[i : i + IN_ROW]) for i in range(0, len(found), IN_ROW))
        self.text.append(f"static const {kind} {name}[{max(size, 1)}] = {{\n    {body}\n}};\n")
        return name


def scale_of(values: Array) -> float:
    """What one level of int8 stands for, so that the largest value is the last level."""
    return float(np.float32(np.abs(values).max(initial=0.0) / LEVELS)) or 1.0


def levels(values: Array, scale: float) -> Array:
    """The nearest levels of values."""
    return np.rint(values / scale).clip(-LEVELS, LEVELS).astype(int)


def number(x: float) -> str:
    """A float of C that reads back as the same.

    Example:
        >>> number(1), number(0.1), number(-3e-9)
        ('1.0f', '0.1f', '-3e-09f')
    """
    return f"{np.float32(x)!s}f"
