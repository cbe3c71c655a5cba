"""How time and memory grow with length, batch, units and synapses: exponents of fits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from benchmarks.comparing.bench import Question
from benchmarks.comparing.cases import CFC_64, LOOPS, LTC_64, LTC_FULL, Case, named
from benchmarks.comparing.records import Record, curve
from benchmarks.comparing.sides import OURS, Side, runs

QUANTITIES = {"time": "median_ms", "memory": "peak_mb"}
GROWING = ("forward", "training")
LEAST_POINTS = 3  # two would fit any power
LEAST_MB = 0.5  # less memory is a few pages more or less


@dataclass(frozen=True)
class Series:
    """Cases that differ in one number.

    Attributes:
        against: name of that number, a field of a record.
        base: the case.
        field: the field of the case that varies.
        values: its values.
    """

    against: str
    base: Case
    field: str
    values: tuple[int, ...]

    @property
    def cases(self) -> list[Case]:
        """The cases."""
        return [replace(self.base, **{self.field: value}) for value in self.values]


LENGTHS, BATCHES, UNITS = (100, 316, 1_000, 3_162), (16, 64, 256), (32, 64, 128, 256)
SERIES = (
    *(Series("steps", base, "steps", LENGTHS) for base in LOOPS),
    *(Series("batch", base, "batch", BATCHES) for base in (LTC_64, CFC_64)),
    *(Series("units", base, "units", UNITS) for base in (LTC_FULL, CFC_64)),
    Series("synapses", LTC_64, "units", UNITS),
)


class Growth(NamedTuple):
    """A fit: the quantity grows with the number, from `low` to `high`, to the power of `exponent`."""

    series: Series
    mode: str
    backend: str
    quantity: str
    exponent: float
    low: float
    high: float


def questions(backends: Collection[str], cells: Sequence[str] = (), quick: bool = False) -> list[Question]:
    """What is measured for the series."""
    return [
        Question(case, mode, Side(OURS, backend))
        for series in SERIES
        if named(series.base, cells)
        for backend in backends
        for mode in GROWING
        if runs(backend, mode, series.base)
        for case in series.cases[: 2 if quick else None]
    ]


def exponent(x: Iterable[float], y: Iterable[float]) -> float:
    """The power with which y grows with x: the slope of a line through their logarithms."""
    return float(np.polyfit(np.log(list(x)), np.log(list(y)), 1)[0])


def fits(records: Sequence[Record]) -> list[Growth]:
    """The exponents that records of our own allow, on the machine that has most of a series.

    Of several records of a point, the first counts.
    """
    found = []
    for series in SERIES:
        cases = set(series.cases)
        own = [record for record in records if record.case in cases and record.fast and record.mode in GROWING]
        for backend, mode in dict.fromkeys((record.backend, record.mode) for record in own):
            of_line = [record for record in own if (record.backend, record.mode) == (backend, mode)]
            for quantity, field in QUANTITIES.items():
                points = curve(of_line, series.against, field)
                if quantity == "memory" and min(points.values(), default=0) < LEAST_MB:
                    continue
                if len(points) >= LEAST_POINTS:
                    power = exponent(points, points.values())
                    found.append(Growth(series, mode, backend, quantity, power, min(points), max(points)))
    return found
