"""Tables of results, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from benchmarks.comparing.floors import Verdict
from benchmarks.comparing.growth import Growth
from benchmarks.comparing.records import Record

NOTHING = "–"
Rows = list[list[str]]
CHOSEN = ("compiled", "graph", "xla", "fixed weights", "cell")  # parts of ways to run, each one of several

RECORDS = ["network", "B", "T", "mode", "backend", "machine", "ms", "spread", "compile s", "MB", "peer", "its ms",
           "its MB", "times faster", "quartiles", "less memory", "of the limit"]  # fmt: skip
FLOORS = ["network", "T", "mode", "backend", "machine", "against", "figure", "reached", "floor", ""]
GROWTH = ["network", "mode", "backend", "against", "range", "time", "memory"]


def digits(number: float | None, suffix: str = "") -> str:
    """Three significant digits."""
    if number is None:
        return NOTHING
    if number >= 1000:
        return f"{number:,.0f}{suffix}"
    text = f"{number:.3g}"
    return (f"{number:.0f}" if "e" in text and number >= 1 else text) + suffix


def told(number: float | None, failure: str | None) -> str:
    """A number, or why there is none."""
    return digits(number) if failure is None else f"failed: {failure}"


def between(low: float | None, high: float | None) -> str:
    """A spread."""
    return NOTHING if low is None else f"{digits(low)} to {digits(high)}"


def backend_of(record: Record) -> str:
    """The backend, and what is unusual of the way it ran."""
    notes = [*unusual(record.way), *([] if record.fast else ["not fast"])]
    return f"{record.backend} ({', '.join(notes)})" if notes else record.backend


def machine_of(record: Record) -> str:
    """The processor."""
    return (record.machine or NOTHING).split(",")[0]


def peer_of(record: Record) -> str:
    """The peer, and what is unusual of the way it ran."""
    return ", ".join([record.peer, *unusual(record.peer_way)]) if record.peer else NOTHING


def unusual(way: str | None) -> list[str]:
    """The parts of a way to run that tell it from others."""
    return [part for part in (way or "").split(", ") if part in CHOSEN]


def records(found: Sequence[Record]) -> Rows:
    """A row for each record."""
    return [
        [
            record.case.network,
            f"{record.batch}",
            f"{record.steps:,}",
            record.mode,
            backend_of(record),
            machine_of(record),
            told(record.median_ms, record.failure),
            between(record.min_ms, record.max_ms),
            digits(record.compile_s),
            told(record.peak_mb, record.memory_failure),
            peer_of(record),
            told(record.peer_median_ms, record.peer_failure),
            told(record.peer_peak_mb, record.peer_memory_failure),
            digits(record.ratio),
            between(record.ratio_low, record.ratio_high),
            digits(record.memory_ratio),
            digits(None if record.fraction is None else 100 * record.fraction, " %"),
        ]
        for record in found
    ]


def floors(verdicts: Sequence[Verdict]) -> Rows:
    """A row for each floor."""
    return [
        [
            verdict.record.case.network,
            f"{verdict.record.steps:,}",
            verdict.record.mode,
            backend_of(verdict.record),
            machine_of(verdict.record),
            peer_of(verdict.record) if verdict.check.question.against else verdict.check.floor.against,
            verdict.check.floor.figure.text,
            digits(verdict.figure) + (f" ({between(*verdict.quartiles)})" if verdict.quartiles else ""),
            f"{'≥' if verdict.check.floor.figure.at_least else '≤'} {digits(verdict.check.floor.bound)}",
            verdict.word + (f": {verdict.reason}" if verdict.reason else ""),
        ]
        for verdict in verdicts
    ]


def glance(found: Sequence[Record], modes: Sequence[str]) -> Rows:
    """A row for each backend: how many times faster in each mode, and how many times less memory it trains with."""
    rows = []
    for backend in dict.fromkeys(record.backend for record in found):
        own = [record for record in found if record.backend == backend]
        ratios = [[record.ratio for record in own if record.mode == mode] for mode in modes]
        memory = [record.memory_ratio for record in own if record.mode == "training"]
        rows.append([backend, *(middle(numbers) for numbers in (*ratios, memory))])
    return rows


def middle(numbers: Sequence[float | None]) -> str:
    """The median, the least and the most of those that are known, and how many these are."""
    known = [number for number in numbers if number is not None]
    if not known:
        return NOTHING
    return f"{digits(median(known))} ({digits(min(known))} to {digits(max(known))}; {len(known)})"


def growth(found: Sequence[Growth]) -> Rows:
    """A row for each series, mode, backend and range."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for fit in found:
        key = (fit.series.base.network, fit.mode, fit.backend, fit.series.against, f"{fit.low:,} to {fit.high:,}")
        rows.setdefault(key, {})[fit.quantity] = f"{fit.exponent:.2f}"
    return [[*key, fits.get("time", NOTHING), fits.get("memory", NOTHING)] for key, fits in rows.items()]


def without_the_machine(header: Sequence[str], rows: Rows) -> tuple[list[str], Rows]:
    """A table that does not tell the machine where it is the same everywhere."""
    place = header.index("machine") if "machine" in header else None
    if place is None or len({row[place] for row in rows}) > 1:
        return list(header), rows
    return [*header[:place], *header[place + 1 :]], [[*row[:place], *row[place + 1 :]] for row in rows]


def shown(title: str, header: Sequence[str], rows: Rows) -> Table:
    """For the terminal."""
    header, rows = without_the_machine(header, rows)
    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(header: Sequence[str], rows: Rows) -> str:
    """As Markdown."""
    header, rows = without_the_machine(header, rows)
    cells = ([cell.strip().replace("|", "\\|") for cell in row] for row in (header, ["---"] * len(header), *rows))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
