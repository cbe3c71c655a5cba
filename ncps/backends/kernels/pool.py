"""Kernels over ranges of samples, on threads of our own.

numba's own parallel regions are no choice for a library: its workqueue layer aborts the process when two threads use
it at once, and its OpenMP layer kills a forked child. So kernels are serial, release the interpreter's lock, and are
handed ranges of samples here. The threads are made at first use, and anew in a forked process, which inherits none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

LITTLE = 20_000  # operations below which handing over to a thread costs more than it gains (about 30 microseconds)
BLOCK = 32  # samples that a kernel holds in the first-level cache at once; ranges are multiples of it where they can be

Range = tuple[int, int]


class _Pool:
    """The threads of this process."""

    executor: ThreadPoolExecutor | None = None
    size = 0
    lock = threading.Lock()

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
        cls.executor, cls.size, cls.lock = None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Pool.forget)


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
    executor = _Pool.threads(len(parts) - 1)
    others = [executor.submit(kernel, i, *part) for i, part in enumerate(parts) if i > 0]
    try:
        kernel(0, *parts[0])
    finally:
        errors = [other.exception() for other in others]  # waits
    for error in errors:
        if error is not None:
            raise error
