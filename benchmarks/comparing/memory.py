"""The peak of memory of this process, above what it had before."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

MB = 2.0**20
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"  # of the things that can be reset
TRIM = "malloc_trim"  # of glibc: gives memory that was freed back to the system


class Meter:
    """Measures calls.

    On Linux the peak can be reset, and by most frameworks that of an accelerator, so that what compiling took does not
    count. Elsewhere the peak only grows: the figure is then what a call needs above all that came before it.

    Args:
        release: empties what the framework keeps for later use, and resets the accelerator's peak.
        device_peak: the most bytes that an accelerator held; None measures this process instead.
    """

    def __init__(
        self, release: Callable[[], object] = gc.collect, device_peak: Callable[[], float] | None = None
    ) -> None:
        self.release = release
        self.read = peak if device_peak is None else lambda: device_peak() / MB
        self.resets = device_peak is None and can_reset()
        self.start = self.settled()

    def settled(self) -> float:
        """What there is when nothing is kept without need, in MB."""
        self.release()
        gc.collect()
        trim = getattr(ctypes.CDLL(None), TRIM, None) if sys.platform == "linux" else None
        if trim is not None:
            trim(0)
        if self.resets:
            RESET.write_text(PEAK)
        return self.read()

    def above_start(self, call: Callable[[], object]) -> float:
        """The peak in MB during a call, above what there was at the start."""
        self.settled()
        call()
        return max(0.0, self.read() - self.start)


def can_reset() -> bool:
    """Whether the system lets a process reset the peak of its memory."""
    try:
        RESET.write_text(PEAK)
    except OSError:
        return False
    return True


def peak() -> float:
    """The most memory that the process had, in MB."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    import resource

    bytes_of_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_of_unit / MB


def resident(process: int) -> float:
    """Memory of another process in MB; 0 where the system does not tell."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / MB


def available() -> float:
    """Memory of the machine that is free, in MB; infinity where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next(float(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1024
