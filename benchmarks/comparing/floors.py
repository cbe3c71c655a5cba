"""What must be reached, as a table: figures of one run, B = 64, T = 100, 20 inputs, float32, medians."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.comparing.bench import Bench, Question
from benchmarks.comparing.cases import (
    CENTERS,
    CFC_64,
    CFC_WIRED,
    LONG,
    LOOPS,
    LTC_19,
    LTC_64,
    LTC_FULL,
    MODES,
    STEPS,
    Case,
    named,
)
from benchmarks.comparing.records import Record
from benchmarks.comparing.sides import BACKENDS, KERAS, LSTM, OURS, UPSTREAM, UPSTREAM_CELLS, Side, peer, runs

ITSELF, LIMIT = "itself", "limit"
KEPT, MISSED, UNDECIDED, NOT_MEASURED = "kept", "MISSED", "undecided", "not measured"


@dataclass(frozen=True)
class Figure:
    """What is compared with a floor.

    Attributes:
        text: what the number says.
        quantity: what it is of a record; None there means that it was not measured.
        at_least: whether the number must be at least the bound, or at most.
        inverse: whether it is one over the quantity.
        memory: whether memory is measured for it, or time.
    """

    text: str
    quantity: str
    at_least: bool
    inverse: bool = False
    memory: bool = False

    def of(self, record: Record, end: str = "") -> float | None:
        """The number; of an end, ``"_low"`` or ``"_high"``, a quartile of the quantity, if it has them."""
        number = getattr(record, f"{self.quantity}{end}", None)
        return 1 / number if number is not None and self.inverse else number

    def quartiles(self, record: Record) -> tuple[float, float] | None:
        """Between what half of the turns lie."""
        ends = [number for end in ("_low", "_high") if (number := self.of(record, end)) is not None]
        return (min(ends), max(ends)) if ends else None

    def failures(self, record: Record) -> tuple[str | None, str | None]:
        """Why it cannot be told: what failed of ours, and of the peer's."""
        of_memory = (record.memory_failure, record.peer_memory_failure) if self.memory else (None, None)
        return record.failure or of_memory[0], record.peer_failure or of_memory[1]


FASTER = Figure("times faster", "ratio", at_least=True)
LESS_MEMORY = Figure("times less memory", "memory_ratio", at_least=True, memory=True)
ITS_TIME = Figure("times its time", "ratio", at_least=False, inverse=True)
OF_LIMIT = Figure("times the limit", "fraction", at_least=False, inverse=True)
PER_STEP = Figure("times the cost of a step", "ratio", at_least=False, inverse=True)
OUTPUT_ONLY = Figure("times the outputs", "beyond_outputs", at_least=False, memory=True)


@dataclass(frozen=True)
class Floor:
    """A row of the table.

    Attributes:
        case: the case.
        mode: the mode.
        backends: ours, each a floor of its own.
        against: a peer, `ITSELF` or `LIMIT`.
        figure: what is compared.
        bound: the floor.
        peer_framework: of the peer, if it is not the one that goes with the backend.
        fast: whether our compiled kernels may be used.
    """

    case: Case
    mode: str
    backends: tuple[str, ...]
    against: str
    figure: Figure
    bound: float
    peer_framework: str | None = None
    fast: bool = True


T, J, TF = ("torch",), ("jax",), ("tensorflow",)
OTHERS = ("jax", "tensorflow", *KERAS)
# ncps 1.0.1 has no mlx, and on a CPU mlx multiplies matrices many times slower than torch, which hides what we do:
# the grid shows both comparisons, with torch and with mlx.nn.
WITH_PEER = tuple(backend for backend in BACKENDS if backend != "mlx")
SHARE_OF_OUTPUTS = 1.1  # memory is counted in pages, and allocators round up

FLOORS = (
    Floor(LTC_64, "training", T, UPSTREAM, FASTER, 15),
    Floor(LTC_64, "forward", T, UPSTREAM, FASTER, 12),
    Floor(LTC_64, "training", T, UPSTREAM, FASTER, 4, fast=False),
    Floor(LTC_64, "training", J, UPSTREAM, FASTER, 20),
    Floor(LTC_64, "training", TF, UPSTREAM, FASTER, 6),
    Floor(LTC_64, "training", ("keras-jax",), UPSTREAM, FASTER, 15),
    Floor(LTC_64, "training", (*T, *J), UPSTREAM, LESS_MEMORY, 50, peer_framework="torch"),
    Floor(LTC_FULL, "training", T, UPSTREAM, FASTER, 2.5),
    Floor(LTC_FULL, "training", OTHERS, UPSTREAM, FASTER, 1.2),
    Floor(LTC_FULL, "training", (*T, *OTHERS), UPSTREAM, LESS_MEMORY, 10),
    Floor(CFC_64, "forward", T, UPSTREAM, FASTER, 8),
    Floor(CFC_64, "training", T, UPSTREAM, FASTER, 4),
    Floor(CFC_64, "training", J, LIMIT, OF_LIMIT, 2),
    Floor(CFC_64, "forward", T, LSTM, ITS_TIME, 1.5),
    Floor(CFC_WIRED, "training", T, UPSTREAM, FASTER, 6),
    Floor(CFC_WIRED, "training", J, UPSTREAM, FASTER, 2),
    Floor(LTC_19, "control", ("numpy",), UPSTREAM, FASTER, 10),
    Floor(CFC_64, "control", ("numpy",), UPSTREAM, FASTER, 4),
    Floor(LTC_19, "control", ("numpy",), UPSTREAM, FASTER, 5, fast=False),
    Floor(CFC_64, "control", ("numpy",), UPSTREAM, FASTER, 3, fast=False),
    *(
        Floor(replace(case, steps=LONG), mode, BACKENDS, ITSELF, PER_STEP, 1.1)
        for case in LOOPS
        for mode in ("forward", "training")
    ),
    *(Floor(replace(case, steps=LONG), "forward", BACKENDS, ITSELF, OUTPUT_ONLY, SHARE_OF_OUTPUTS) for case in LOOPS),
    *(
        Floor(case, mode, WITH_PEER, UPSTREAM, FASTER, 1)  # no slower, wherever it has the cell
        for case in CENTERS
        if case.cell in UPSTREAM_CELLS
        for mode in MODES
    ),
)


@dataclass(frozen=True)
class Check:
    """A floor on one backend: what is measured for it."""

    floor: Floor
    question: Question

    def verdict(self, record: Record) -> Verdict:
        """What its record says."""
        figure, bound, at_least = self.floor.figure.of(record), self.floor.bound, self.floor.figure.at_least
        quartiles = self.floor.figure.quartiles(record)
        ours, _ = self.floor.figure.failures(record)
        if figure is None:
            word = MISSED if ours else NOT_MEASURED
        elif quartiles and quartiles[0] < bound < quartiles[1]:
            word = UNDECIDED
        else:
            word = KEPT if (figure >= bound if at_least else figure <= bound) else MISSED
        return Verdict(self, record, figure, quartiles, word)


@dataclass(frozen=True)
class Verdict:
    """What was reached of a floor, and whether that is enough.

    Attributes:
        check: the floor.
        record: what was measured.
        figure: what is compared; None where ours or the peer could not be measured.
        quartiles: of the figure's turns, if it has any.
        word: the verdict; undecided where the bound lies between the quartiles.
    """

    check: Check
    record: Record
    figure: float | None
    quartiles: tuple[float, float] | None
    word: str

    @property
    def reason(self) -> str:
        """Why there is no figure; "" if there is one."""
        return "" if self.figure is not None else next(filter(None, self.check.floor.figure.failures(self.record)), "")


def checks(
    backends: Collection[str] = BACKENDS, cells: Sequence[str] = (), long: int = LONG, floors: Sequence[Floor] = FLOORS
) -> Iterator[Check]:
    """The floors on each backend: those of some backends and cells, with another length instead of the longest.

    Of two floors for the same figure, the first counts.
    """
    stated_before = set()
    for floor in floors:
        for backend in floor.backends:
            if backend not in backends or not named(floor.case, cells) or not runs(backend, floor.mode, floor.case):
                continue
            case = replace(floor.case, steps=long) if floor.case.steps == LONG else floor.case
            asked = question(floor, case.of_mode(floor.mode), backend)
            if (asked, floor.figure) not in stated_before:
                stated_before.add((asked, floor.figure))
                yield Check(floor, asked)


def question(floor: Floor, case: Case, backend: str) -> Question:
    """What is measured for a floor on a backend."""
    ours = Side(OURS, backend, floor.fast)
    if floor.against == ITSELF:
        return Question(case, floor.mode, ours, ours, replace(case, steps=STEPS))
    if floor.against == LIMIT:
        return Question(case, floor.mode, ours)
    other = peer(floor.against, backend, case)
    if floor.peer_framework:
        other = Side(floor.against, floor.peer_framework)
    return Question(case, floor.mode, ours, other)


def measured(check: Check, bench: Bench) -> Verdict:
    """Measures what a check needs, and judges."""
    measure = bench.memory if check.floor.figure.memory else bench.time
    return check.verdict(measure(check.question))


def stated(check: Check, records: Sequence[Record]) -> Verdict | None:
    """The verdict of records that were read; None where none answers the check."""
    verdicts = [check.verdict(record) for record in records if answers(record, check.question)]
    return next((verdict for verdict in verdicts if verdict.figure is not None), verdicts[0] if verdicts else None)


def answers(record: Record, asked: Question) -> bool:
    """Whether a record has what is asked: beside whom it was measured is no matter where it is the limit."""
    if asked.against is None:
        return (record.case, record.mode, record.side) == (asked.case, asked.mode, asked.ours)
    return asked.is_of(record)
