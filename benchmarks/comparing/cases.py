"""What is measured: cells in sizes. Nothing here imports a library that is compared, since all sides read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

MODES = ("forward", "training", "control")
BATCH, STEPS, FEATURES = 64, 100, 20
LONG = 10_000
BATCHES = (1, 64, 512)
LENGTHS = (1, 100, 1_000, LONG)
MOTOR_NEURONS = {19: 1, 64: 8, 256: 16}  # of AutoNCP, by number of units; elsewhere an eighth


@dataclass(frozen=True)
class Cell:
    """One of our layers with its options; `inner` is the cell that it wraps, if it does."""

    layer: str
    options: dict[str, Any] = field(default_factory=dict)
    inner: str | None = None


CELLS = {
    "LTC": Cell("LTC"),
    "CfC": Cell("CfC"),
    "CfC-no_gate": Cell("CfC", {"mode": "no_gate"}),
    "CfC-pure": Cell("CfC", {"mode": "pure"}),
    "STC": Cell("STC"),
    "LRC": Cell("LRC"),
    "CTRNN": Cell("CTRNN"),
    "NeuralODE": Cell("NeuralODE"),
    "CTGRU": Cell("CTGRU"),
    "MixedMemory": Cell("MixedMemory", inner="LTCCell"),
    "MixedMemory-state": Cell("MixedMemory", {"memory_to": "state"}, inner="LTCCell"),
    "LinOSS": Cell("LinOSS"),
    "LSTM": Cell("LSTM"),
    "GRU": Cell("GRU"),
}


@dataclass(frozen=True)
class Case:
    """A cell in a size.

    Attributes:
        cell: key of `CELLS`.
        wiring: ``"AutoNCP"``, or "" for fully connected neurons.
        units: number of neurons.
        batch: sequences at once.
        steps: length of the sequences.
        features: inputs of a step.
    """

    cell: str
    wiring: str = ""
    units: int = 64
    batch: int = BATCH
    steps: int = STEPS
    features: int = FEATURES

    @property
    def outputs(self) -> int:
        """Outputs of a step."""
        return MOTOR_NEURONS.get(self.units, max(1, self.units // 8)) if self.wiring else self.units

    @property
    def network(self) -> str:
        """The network as one would write it."""
        if self.wiring:
            return f"{self.cell} {self.wiring}({self.units}, {self.outputs})"
        return f"{self.cell}({self.units})"

    def of_mode(self, mode: str) -> Case:
        """The case as a mode runs it: a control loop has one stream, and one step at a time."""
        return replace(self, batch=1, steps=1) if mode == "control" else self

    @property
    def tiny(self) -> Case:
        """The same cell, as small as it gets."""
        return replace(self, units=8, batch=1, steps=2)


SIZES = (("AutoNCP", 19), ("AutoNCP", 64), ("AutoNCP", 256), ("", 64), ("", 256))
WIDE = ("LTC", "CfC")  # the cells that come in all sizes; the others are measured once
LTC_19, LTC_64, LTC_FULL = Case("LTC", "AutoNCP", 19), Case("LTC", "AutoNCP", 64), Case("LTC")
CFC_64, CFC_WIRED = Case("CfC"), Case("CfC", "AutoNCP", 64)
CENTERS = (*(Case(cell, *size) for cell in WIDE for size in SIZES), *(Case(c) for c in CELLS if c not in WIDE))
VARIED = (LTC_64, CFC_64)  # these also in other batches and lengths
LOOPS = (*VARIED, Case("GRU"))  # of every way through a sequence one: ops of their own, and the loop of all other cells
QUICK = (LTC_19, CFC_64)


def grid(
    cells: Sequence[str] = (), units: Sequence[int] = (), batches: Sequence[int] = (), steps: Sequence[int] = ()
) -> list[Case]:
    """All cases; with numbers given, every combination of them.

    Args:
        cells: beginnings of networks, ``"LTC"`` or ``"CfC(64)"``; all by default.
        units: numbers of neurons for every cell and wiring, instead of those of the list.
        batches: batch sizes.
        steps: lengths.
    """
    chosen = [case for case in CENTERS if named(case, cells)]
    if units:
        chosen = [replace(case, units=n) for case in chosen for n in units]
    if batches or steps:
        chosen = [replace(c, batch=b, steps=t) for c in chosen for b in batches or (BATCH,) for t in steps or (STEPS,)]
    else:
        chosen += [replace(case, batch=b) for case in chosen if case in VARIED for b in BATCHES]
        chosen += [replace(case, steps=t) for case in chosen if case in VARIED for t in LENGTHS]
    return list(dict.fromkeys(chosen))


def named(case: Case, beginnings: Iterable[str]) -> bool:
    """Whether one of the names begins the network's; all are meant where none is given."""
    beginnings = tuple(beginnings)
    return not beginnings or case.network.startswith(beginnings) or case.cell in beginnings
