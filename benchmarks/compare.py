"""How fast and how small: ours beside ncps 1.0.1, beside LSTMs, and beside what the machine can do.

    python -m benchmarks.compare --quick
    python -m benchmarks.compare --cases grid floors growth --json speed.json --plot --page
    python -m benchmarks.compare --from speed.json --page

The peer is installed into a folder of its own, since its package has the name of ours:

    python -m pip install --no-deps --target .peers/ncps-1.0.1 ncps==1.0.1 future==1.0.0
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.comparing import floors, growth, page, plots, tables
from benchmarks.comparing.bench import Bench, Options, Question
from benchmarks.comparing.cases import CENTERS, LONG, MODES, QUICK, VARIED, Case, grid, named
from benchmarks.comparing.records import Record, Results, about, merged
from benchmarks.comparing.sides import BACKENDS, LSTM, OURS, PEERS, UPSTREAM, Side, installed, packages, peer, runs

LISTS = ("grid", "floors", "growth")
QUICK_LONG = 1_000
HURRIED = {"rounds": 3, "round_ms": 5.0, "budget_s": 3.0, "patience_s": 120.0}
QUICK_SIZES = {"batches": (8,), "steps": (20,)}
ALL, NONE = "all", "none"
DOCS = Path(__file__).parents[1] / "docs"
WRITTEN = (
    ("--plot", DOCS / "pictures", "draw plots into this folder"),
    ("--page", DOCS / "benchmarks.md", "write the page with the results"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures or reads, and shows; the exit status, 1 if floors were asked for and one was missed."""
    args = parsed(arguments)
    console, progress = Console(), Console(stderr=True)
    results = args.results
    if not args.read:
        measure(args, results, progress)
    verdicts = judged(args)
    grown = growth.fits(results.records)
    show(console, results, verdicts, grown)
    pictures = plots.draw(results.records, args.plot) if args.plot else []
    if args.page:
        links = [os.path.relpath(picture, args.page.parent) for picture in pictures]
        args.page.write_text(page.text(results, verdicts, grown, links), encoding="utf-8")
    asked = args.read or "floors" in args.cases
    return int(bool(asked) and any(verdict.word == floors.MISSED for verdict in verdicts))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, and with them the results that there are."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cases", nargs="+", choices=LISTS, default=["grid"], help="lists to measure (default: grid)")
    add(
        "--backends", nargs="+", default=[ALL], metavar="NAME",
        help=f"{', '.join(BACKENDS)}; keras means all three (default: those that are installed, or that were read)",
    )  # fmt: skip
    add("--peers", nargs="+", default=[ALL], choices=[ALL, NONE, *PEERS], help="whom the grid is compared with")
    add("--cells", nargs="+", default=[], metavar="NAME", help='as "LTC", "CfC(64)", "LTC AutoNCP(64, 8)"')
    add("--modes", nargs="+", default=list(MODES), choices=MODES)
    add("--batch", nargs="+", type=int, default=[], help="batch sizes of the grid")
    add("--steps", nargs="+", type=int, default=[], help="lengths of the grid")
    add("--units", nargs="+", type=int, default=[], help="numbers of units of the grid")
    add(
        "--quick", action="store_true",
        help="few and short turns, small cases in the grid and short ones elsewhere, no memory: to see that it works",
    )  # fmt: skip
    add("--threads", type=int, default=cores(), help="of each process (default: all cores)")
    add("--device", choices=("cpu", "gpu"), default="cpu")
    add("--patience", type=float, help="seconds that a side may take for one answer (default: 600)")
    add("--no-memory", dest="memory", action="store_false", help="measure no memory")
    add("--peers-dir", type=Path, default=Path(".peers"), metavar="DIR", help="where peers are installed")
    add("--json", type=Path, metavar="FILE", help="write records here, after each measurement")
    add("--resume", action="store_true", help="go on with the run whose records are in the file of --json")
    add("--from", dest="read", nargs="+", type=Path, metavar="FILE", help="measure nothing, read records")
    for name, place, purpose in WRITTEN:
        add(name, type=Path, nargs="?", const=place, metavar="PATH", help=f"{purpose} (default: {place})")
    args = parser.parse_args(arguments)
    try:
        args.results = opened(args)
        args.backends = chosen(args.backends, read_from(args.results) if args.read else installed)
        args.memory &= not args.quick
        check_names(args.cells)
        if not args.read:
            check_questions(args)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return args


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_from(results: Results) -> Callable[[str], bool]:
    """Whether there are records of a backend."""
    return {record.backend for record in results.records}.__contains__


def chosen(names: Sequence[str], there: Callable[[str], bool] = installed) -> list[str]:
    """Backends by name; "keras" means all of Keras' frameworks, "all" what is there.

    Raises:
        ValueError: there is no such backend.
    """
    if list(names) == [ALL]:
        return [backend for backend in BACKENDS if there(backend)]
    found = [backend for backend in BACKENDS if backend in names or backend.split("-")[0] in names]
    unknown = [name for name in names if not any(name in (backend, backend.split("-")[0]) for backend in found)]
    if unknown:
        raise ValueError(f"Expected backends out of {', '.join(BACKENDS)}. Received: {', '.join(unknown)}")
    return found


def peers_of(names: Sequence[str]) -> list[str]:
    """Peers by name."""
    return [] if NONE in names else [name for name in PEERS if name in names or ALL in names]


def check_names(cells: Sequence[str]) -> None:
    """Raises if a name begins no network.

    Raises:
        ValueError: it does not.
    """
    unknown = [name for name in cells if not any(named(case, [name]) for case in CENTERS)]
    if unknown:
        networks = ", ".join(case.network for case in CENTERS)
        raise ValueError(f"Expected beginnings of {networks}. Received: {', '.join(unknown)}. Leave them out for all.")


def check_questions(args: argparse.Namespace) -> None:
    """Sees that there is something to measure, and everybody that it takes.

    Raises:
        ValueError: nothing is asked.
        FileNotFoundError: a peer is not installed.
    """
    asked = [question for name in args.cases for question in QUESTIONS[name](args)]
    if not asked:
        raise ValueError(
            f"Expected cells, backends and modes of which {' and '.join(args.cases)} ask something. Received: "
            f"{', '.join((*args.cells, *args.backends, *args.modes))}. Name others, or more --cases."
        )
    for question in asked:
        if question.peer is not None:
            packages(question.peer, args.peers_dir)


def opened(args: argparse.Namespace) -> Results:
    """Results that were read, those of the run that goes on, or none yet.

    Raises:
        ValueError: they do not go together, or a file would be lost.
    """
    if args.read:
        return merged([Results.read(file) for file in args.read])
    if args.resume and args.json is None:
        raise ValueError("Expected --json FILE beside --resume. Received: none. Name the file whose run goes on.")
    new = Results(about(args.threads, args.device, args.peers_dir, args.quick), [])
    if args.json is None or not args.json.exists():
        return new
    if not args.resume:
        raise ValueError(
            f"Expected a new file for --json. Received: {args.json}, which is there. Go on with its run by --resume, "
            "or delete it."
        )
    return merged([Results.read(args.json), new])


def measure(args: argparse.Namespace, results: Results, progress: Console) -> None:
    """Measures the lists that were asked for."""

    def changed(record: Record) -> None:
        if not any(record is known for known in results.records):
            results.records.append(record)
        if args.json:
            results.write(args.json)

    given = {"threads": args.threads, "device": args.device, "peers": args.peers_dir}
    given |= HURRIED if args.quick else {}
    given |= {"patience_s": args.patience} if args.patience else {}
    bench = Bench(Options(**given), changed, tuple(results.records))
    steps: dict[str, Callable[[], None]] = {
        "grid": lambda: run_all(bench, grid_questions(args), args.memory, progress),
        "growth": lambda: run_all(bench, missing(growth_questions(args), args), args.memory, progress),
        "floors": lambda: run_floors(bench, measured_floors(args), progress),
    }
    for name in LISTS:
        if name in args.cases:
            steps[name]()


def run_all(bench: Bench, questions: Sequence[Question], memory: bool, progress: Console) -> None:
    """Measures times, and memory if wanted."""
    for number, question in enumerate(questions, 1):
        record = bench.time(question)
        if memory:
            bench.memory(question)
        progress.print(f"{number}/{len(questions)} {line(record)}", highlight=False, markup=False, soft_wrap=True)


def run_floors(bench: Bench, checks: Sequence[floors.Check], progress: Console) -> None:
    """Measures what the floors need."""
    for number, check in enumerate(checks, 1):
        verdict = floors.measured(check, bench)
        told = f"{tables.digits(verdict.figure)} {check.floor.figure.text}, {verdict.word}"
        progress.print(
            f"{number}/{len(checks)} {line(verdict.record)}: {told}", highlight=False, markup=False, soft_wrap=True
        )


def grid_questions(args: argparse.Namespace) -> list[Question]:
    """The grid on the backends, beside the peers."""
    sizes = {"units": args.units, "batches": args.batch, "steps": args.steps}
    if args.quick:
        sizes = {**QUICK_SIZES, **{name: values for name, values in sizes.items() if values}}
    cases = grid(args.cells or ([case.network for case in QUICK] if args.quick else []), **sizes)
    questions = []
    for case in cases:
        for backend in args.backends:
            for mode in args.modes:
                if not runs(backend, mode, case):
                    continue
                asked = case.of_mode(mode), mode, Side(OURS, backend)
                questions += [Question(*asked, other) for other in beside(args.peers, backend, case)]
    return list(dict.fromkeys(questions))


def beside(names: Sequence[str], backend: str, case: Case) -> list[Side | None]:
    """The peers of a case; none at all is a peer as well.

    An LSTM is the same for all cells of a size. Unless it is asked for by name, it runs beside few of them, in every
    size, and beside those that nobody else has.
    """
    found = {name: peer(name, backend, case) for name in peers_of(names)}
    if LSTM in found and LSTM not in names and found[UPSTREAM] is not None and kind(case) not in map(kind, VARIED):
        del found[LSTM]
    return [side for side in found.values() if side] or [None]


def kind(case: Case) -> tuple[str, str]:
    """What a case has in common with those of other sizes."""
    return case.cell, case.wiring


def growth_questions(args: argparse.Namespace) -> list[Question]:
    """What the series are made of."""
    return list(dict.fromkeys(growth.questions(args.backends, args.cells, args.quick)))


def missing(questions: Sequence[Question], args: argparse.Namespace) -> list[Question]:
    """What was not measured, beside anybody."""
    wanted = "peak_mb" if args.memory else "median_ms"
    known = [record for record in args.results.records if getattr(record, wanted) is not None]
    return [asked for asked in questions if not any(floors.answers(record, asked) for record in known)]


def asked_floors(args: argparse.Namespace) -> list[floors.Check]:
    """The floors of the backends and cells that were asked for."""
    return list(floors.checks(args.backends, args.cells, QUICK_LONG if args.results.about["quick"] else LONG))


def measured_floors(args: argparse.Namespace) -> list[floors.Check]:
    """Those of them that are measured: of time, and of memory if it is."""
    return [check for check in asked_floors(args) if args.memory or not check.floor.figure.memory]


def floor_questions(args: argparse.Namespace) -> list[Question]:
    """What the floors take."""
    return [check.question for check in measured_floors(args)]


QUESTIONS: dict[str, Callable[[argparse.Namespace], list[Question]]] = {
    "grid": grid_questions,
    "floors": floor_questions,
    "growth": growth_questions,
}


def judged(args: argparse.Namespace) -> list[floors.Verdict]:
    """What the records say of the floors: all that can be judged."""
    verdicts = (floors.stated(check, args.results.records) for check in asked_floors(args))
    return [verdict for verdict in verdicts if verdict and (verdict.figure is not None or verdict.reason)]


def line(record: Record) -> str:
    """A measurement in a line, to see how far it is."""
    number = tables.digits
    failures = record.failure, record.peer_failure, record.memory_failure, record.peer_memory_failure
    return (
        f"{record.case.network} B={record.batch} T={record.steps} {record.mode}, {tables.backend_of(record)}: "
        f"{number(record.median_ms, ' ms')}, {number(record.peak_mb, ' MB')}; {record.peer or 'alone'}: "
        f"{number(record.ratio, ' times faster')}, {number(record.memory_ratio, ' times less memory')}"
        + "".join(f"; {why}" for why in failures if why)
    )


def show(
    console: Console, results: Results, verdicts: Sequence[floors.Verdict], grown: Sequence[growth.Growth]
) -> None:
    """Prints all tables that have rows."""
    wide = Console(width=max(console.width, 200)) if not console.is_terminal else console
    for title, header, rows in (
        ("Measurements", tables.RECORDS, tables.records(results.records)),
        ("Growth: exponents", tables.GROWTH, tables.growth(grown)),
        ("Floors", tables.FLOORS, tables.floors(verdicts)),
    ):
        if rows:
            wide.print(tables.shown(title, header, rows))


if __name__ == "__main__":
    sys.exit(main())
