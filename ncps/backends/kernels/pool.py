"""Kernels over ranges of samples, on threads of our own or a framework's.

numba's own parallel regions are no choice for a library: its workqueue layer aborts the process when two threads use
it at once, and its OpenMP layer kills a forked child. So kernels are serial, release the interpreter's lock, and are
handed ranges of samples here. The threads are made at first use, and anew in a forked process, which inherits none.

A framework may lend its threads: those of OpenMP keep turning for a while after they have worked, and on a machine
without cores to spare others get half of one beside them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

LITTLE = 60_000  # operations for a thread below which handing over to it costs more than it gains (about 0.1 ms)
BLOCK = 32  # samples that a kernel holds in the first-level cache at once; ranges are multiples of it where they can be

FEW = 32  # samples times steps below which weights are taken as they lie

Range = tuple[int, int]


Work = Callable[[], None]
Team = Callable[[Work, int], None]  # calls a function in as many threads, one of them the caller's, and waits


class _Pool:
    """The threads of this process."""

    executor: ThreadPoolExecutor | None = None
    size = 0
    lock = threading.Lock()
    lent: Team | None = None  # those of a framework

    @classmethod
    def run(cls, work: Work, number: int) -> None:
        """Calls `work` in `number` threads, or in fewer."""
        if cls.lent is not None:
            cls.lent(work, number)
            return
        executor, others = cls.threads(number - 1), []
        with suppress(RuntimeError):  # a larger one has taken its place, or the interpreter ends: fewer threads will do
            others.extend(executor.submit(work) for _ in range(number - 1))
        work()
        for other in others:
            other.result()

    @classmethod
    def threads(cls, number: int) -> ThreadPoolExecutor:
        """An executor with at least `number` threads."""
        with cls.lock:
            if cls.executor is None or cls.size < number:
                if cls.executor is not None:
                    cls.executor.shutdown(wait=False)  # what it was given before is still done
                cls.executor, cls.size = ThreadPoolExecutor(number, "ncps"), number
            return cls.executor

    @classmethod
    def forget(cls) -> None:
        """A forked process has the executor but not its threads, and perhaps a lock that nobody will release."""
        cls.executor, cls.size, cls.lock, cls.lent = None, 0, threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Pool.forget)


def is_few(samples: int, steps: int) -> bool:
    """Whether laying weights out for a run would cost more than it gains."""
    return samples * steps < FEW


def lend(team: Team) -> None:
    """From now on, kernels run on these threads; in a forked process on our own."""
    _Pool.lent = team


def ranges(samples: int, work: float, threads: int, unit: int = 0) -> list[Range]:
    """Ranges of samples, one for each thread that is worth it.

    Args:
        samples: number of samples, at least 1.
        work: operations of the whole, roughly.
        threads: how many threads there are to use.
        unit: samples that take no longer than one of them; of 0, those of a block where there are enough.
    """
    parts = min(threads, -(-samples // (unit or 1)), int(work // LITTLE))
    if parts <= 1:
        return [(0, samples)]
    unit = unit or (BLOCK if samples >= BLOCK * parts else 1)
    units = -(-samples // unit)
    edges = [min(samples, unit * (units * i // parts)) for i in range(parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def spread(kernel: Callable[[int, int, int], None], parts: list[Range]) -> None:
    """Calls ``kernel(part, begin, end)`` for all ranges of samples, in as many threads.

    Raises:
        Exception: what a kernel raised, after all have ended.
    """
    if len(parts) == 1:
        kernel(0, *parts[0])
        return
    left, errors = list(enumerate(parts)), []

    def work() -> None:
        while True:
            try:
                number, part = left.pop()
            except IndexError:
                return
            try:
                kernel(number, *part)
            except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
                errors.append(error)

    _Pool.run(work, len(parts))
    for error in errors:
        raise error
