"""Measures: the sides of a case take turns, each in a process of its own."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.comparing import limit
from benchmarks.comparing.cases import Case
from benchmarks.comparing.memory import available
from benchmarks.comparing.process import Failed, Worker
from benchmarks.comparing.records import Record, machine
from benchmarks.comparing.sides import Side, environment, limit as limit_side

LEAST_ROUNDS = 3
SLOW_MS = 1000.0
OWN, PEER, LIMIT = "", "peer_", "limit_"  # beginnings of a record's fields
TURNS = (PEER, OWN, LIMIT)  # ours is next to both
SHARE_OF_MEMORY = 0.7  # of what is free, for one worker: beyond it the machine would begin to swap
SMALLEST_MB = 0.1  # memory is counted in pages: less than some of them is no figure to divide by


class Runs(Protocol):
    """What takes turns: runs some times, perhaps once more before, and tells the mean ms."""

    def run(self, repeats: int, warm: bool = False) -> float: ...


@dataclass(frozen=True)
class Options:
    """How long and with what is measured.

    Attributes:
        rounds: turns of each side.
        round_ms: the time that a turn takes at least.
        pause_s: between turns, until the threads of the side before have gone to sleep.
        budget_s: where runs are slow, there are fewer turns so that a measurement takes about this long.
        patience_s: how long a side may take for one answer.
        threads: of each process.
        device: ``"cpu"`` or ``"gpu"``.
        peers: the folder where peers are installed.
        limit: whether the limit of the machine takes turns as well.
    """

    rounds: int = 24
    round_ms: float = 30.0
    pause_s: float = 0.05
    budget_s: float = 12.0
    patience_s: float = 600.0
    threads: int = 1
    device: str = "cpu"
    peers: Path = Path(".peers")
    limit: bool = True


class Question(NamedTuple):
    """What is to be measured.

    Attributes:
        case: the case.
        mode: ``"forward"``, ``"training"`` or ``"control"``.
        ours: our side.
        peer: whom it is compared with.
        peer_case: the peer's case, if it is another one.
    """

    case: Case
    mode: str
    ours: Side
    peer: Side | None = None
    peer_case: Case | None = None

    @property
    def against(self) -> str | None:
        """The peer as tables show it."""
        if self.peer_case is not None:
            return f"itself, T = {self.peer_case.steps:,}"
        return None if self.peer is None else self.peer.label

    def case_of(self, prefix: str) -> Case:
        """The case of a side."""
        return (self.peer_case if prefix == PEER else None) or self.case

    def is_of(self, record: Record) -> bool:
        """Whether a record is the answer."""
        asked = self.case, self.mode, self.ours, self.against
        return (record.case, record.mode, record.side, record.peer) == asked


@dataclass
class Bench:
    """Measures each question once, however often it is asked.

    Attributes:
        options: how.
        changed: called after each measurement.
        earlier: records of a run that goes on.
    """

    options: Options
    changed: Callable[[Record], None] = lambda record: None
    earlier: Sequence[Record] = ()
    records: dict[Question, Record] = field(default_factory=dict)
    _ways: dict[tuple[Side, Case, str], str] = field(default_factory=dict)

    def record(self, question: Question) -> Record:
        """The record of a question, empty at first."""
        if question not in self.records:
            found = next((record for record in self.earlier if question.is_of(record)), None)
            self.records[question] = found or self._empty(question)
        return self.records[question]

    def _empty(self, question: Question) -> Record:
        case, ours = question.case, question.ours
        return Record(
            case.cell, case.wiring, case.units, case.outputs, case.features, limit.synapses_of(case), case.batch,
            case.steps, question.mode, ours.framework, self.options.device, ours.fast, machine(),
            peer=question.against, peer_steps=question.peer_case and question.peer_case.steps,
        )  # fmt: skip

    def time(self, question: Question) -> Record:
        """The record with its times."""
        record = self.record(question)
        if record.median_ms is None and record.failure is None:
            with contextlib.ExitStack() as stack:
                workers, factor = self._prepared(question, record, stack)
                if record.failure is None:
                    self._turns(question, record, workers, factor)
            self.changed(record)
        return record

    def memory(self, question: Question) -> Record:
        """The record with its memory."""
        record = self.record(question)
        if record.peak_mb is None and record.memory_failure is None and question.mode != "control":
            sides = {OWN: question.ours, PEER: question.peer}
            for prefix, side in sides.items():
                if side is None or getattr(record, f"{prefix}failure"):
                    continue
                try:
                    peak = self._peak(side, question.case_of(prefix), question.mode)
                except Failed as reason:
                    setattr(record, f"{prefix}memory_failure", str(reason))
                else:
                    setattr(record, f"{prefix}peak_mb", peak)
            if record.peak_mb is not None and record.peer_peak_mb is not None:
                record.memory_ratio = record.peer_peak_mb / max(record.peak_mb, SMALLEST_MB)
            self.changed(record)
        return record

    def _worker(self, side: Side) -> Worker:
        options = self.options
        given = environment(side, options.threads, options.device, options.peers)
        return Worker(side, given, options.patience_s, SHARE_OF_MEMORY * available())

    def _prepared(
        self, question: Question, record: Record, stack: contextlib.ExitStack
    ) -> tuple[dict[str, Worker], float]:
        """Workers of ours, the peer and the limit, those that can; and the factor of the limit's times."""
        sides = {OWN: question.ours, PEER: question.peer, LIMIT: limit_side() if self.options.limit else None}
        started = {prefix: stack.enter_context(self._worker(side)) for prefix, side in sides.items() if side}
        workers, factor = {}, 1.0
        for prefix, worker in started.items():
            case = question.case_of(prefix)
            try:
                # Two lengths are compared in one way: short sequences may have more of them.
                answer = worker.prepare(case, question.mode, record.way if case != question.case else None)
            except Failed as reason:
                if not note(record, prefix, reason):
                    break
                continue
            workers[prefix] = worker
            if prefix == LIMIT:
                factor = answer["factor"]
                continue
            self._ways[worker.side, case, question.mode] = answer["way"]
            setattr(record, f"{prefix}way", answer["way"])
            setattr(record, f"{prefix}compile_s", answer["compile_s"])
        return {prefix: workers[prefix] for prefix in TURNS if prefix in workers}, factor

    def _turns(self, question: Question, record: Record, workers: dict[str, Worker], factor: float) -> None:
        """Lets the workers take turns and writes down the times; if the peer fails in its turn, ours runs alone."""
        try:
            turns = take_turns(list(workers.values()), self.options, alike=question.peer_case is not None)
            times = dict(zip(workers, turns, strict=True))
        except Failed as reason:
            (prefix,) = (prefix for prefix, worker in workers.items() if worker is reason.worker)
            del workers[prefix]
            if note(record, prefix, reason):
                self._turns(question, record, workers, factor)
            return
        for prefix in {OWN, PEER} & set(workers):
            for name, of in (("median", statistics.median), ("min", min), ("max", max)):
                setattr(record, f"{prefix}{name}_ms", of(times[prefix]))
        if PEER in times:
            share = question.case.steps / question.case_of(PEER).steps
            record.ratio_low, record.ratio, record.ratio_high = quartiles(share, times[PEER], times[OWN])
        if LIMIT in times:
            record.limit_ms = factor * statistics.median(times[LIMIT])
            record.fraction_low, record.fraction, record.fraction_high = quartiles(factor, times[LIMIT], times[OWN])

    def _peak(self, side: Side, case: Case, mode: str) -> float:
        """The peak of memory of a side in MB, in the way that was fastest."""
        with self._worker(side) as worker:
            if (side, case, mode) not in self._ways:
                with self._worker(side) as first:
                    self._ways[side, case, mode] = first.prepare(case, mode)["way"]
            return worker.memory(case, mode, self._ways[side, case, mode])


def note(record: Record, prefix: str, reason: Failed) -> bool:
    """Writes down why a side failed; whether the others may go on. The limit is no loss."""
    if prefix != LIMIT:
        setattr(record, f"{prefix}failure", str(reason))
    return prefix != OWN


def take_turns(sides: Sequence[Runs], options: Options, alike: bool = False) -> list[list[float]]:
    """Times in ms of sides that take turns, A B B A A B B A: all of them see the same state of the machine.

    How often a side runs in its turn depends on how fast it is, and how many turns there are on how slow they are. A
    turn begins with a run that does not count, since the side has been at rest, unless it is so slow that this is no
    matter.

    Args:
        sides: what takes turns.
        options: how long.
        alike: lets the turns of all take as long as one run of the slowest. A machine whose speed changes every few
            seconds is else caught in one state by a short turn and averaged by a long one; for ratios near 1 this
            matters, and for those of 10 it would cost more time than it is worth.
    """
    times: list[list[float]] = [[] for _ in sides]
    once = [first_look(side) for side in sides]
    turn_ms = max(options.round_ms, *once) if alike else options.round_ms
    repeats = [max(1, math.ceil(turn_ms / ms)) for ms in once]
    warm = [ms < SLOW_MS for ms in once]
    turn_s = 1e-3 * sum(ms * (n + more) for ms, n, more in zip(once, repeats, warm, strict=True))
    rounds = max(LEAST_ROUNDS, min(options.rounds, int(options.budget_s / turn_s)))
    forth = range(len(sides))
    for number in range(rounds):
        for i in reversed(forth) if number % 2 else forth:
            time.sleep(options.pause_s)
            times[i].append(sides[i].run(repeats[i], warm[i]))
    return times


def quartiles(factor: float, times: Sequence[float], others: Sequence[float]) -> list[float]:
    """Lower quartile, median and upper one of the ratios of turns that followed each other, times a factor.

    A machine that is slow for a while is so for both.
    """
    ratios = [factor * a / b for a, b in zip(times, others, strict=True)]
    return statistics.quantiles(ratios, n=4, method="inclusive")


def first_look(side: Runs) -> float:
    """About how many ms a side takes: the lesser of two runs, since the first is often slow."""
    ms = side.run(1)
    return min(ms, side.run(1)) if ms < SLOW_MS else ms
