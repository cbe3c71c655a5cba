"""Results: one record for each measurement, and what they were measured on and with."""

from __future__ import annotations

import datetime as dt
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.comparing.cases import Case
from benchmarks.comparing.memory import MB
from benchmarks.comparing.sides import OURS, ROOT, Side, environment

DISTRIBUTIONS = (
    "numpy", "torch", "jax", "jaxlib", "flax", "optax", "mlx", "tensorflow", "tensorflow-cpu", "keras", "numba",
)  # fmt: skip
STEERING = ("OPENBLAS_", "OMP_", "MKL_", "KMP_", "GOMP_", "NUMBA_", "XLA_", "TF_", "TORCH", "JAX_")
NOT_OURS = ("TF_CLI", "TF_VAR", "TF_CPP")  # of a program of the same initials, and what is logged
CONDITIONS = ("device", "threads", "quick")  # what records of one run have in common, besides
GROUPS = ("versions", "environment")
LISTS = ("commits", "machines")  # of which a run may have several
FLOAT32 = 4  # bytes
DESCRIBE = ("git", "describe", "--always", "--dirty")


@dataclass
class Record:
    """A measurement. Times in ms, of runs that took turns with those of the peer; None is not measured.

    `ratio` says how many times faster than the peer ours is (per step, where the lengths differ): the median of those
    of turns that followed each other, with their quartiles `ratio_low` and `ratio_high`; `memory_ratio` how many times
    less memory it takes. `limit_ms` is the time of the case's products and sigmoids alone, `fraction` what of it is
    reached, again turn by turn. All times are of the same `machine`.
    """

    cell: str
    wiring: str
    units: int
    outputs: int
    features: int
    synapses: int
    batch: int
    steps: int
    mode: str
    backend: str
    device: str
    fast: bool = True
    machine: str | None = None
    way: str | None = None
    median_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    compile_s: float | None = None
    peak_mb: float | None = None
    peer: str | None = None
    peer_steps: int | None = None
    peer_way: str | None = None
    peer_median_ms: float | None = None
    peer_min_ms: float | None = None
    peer_max_ms: float | None = None
    peer_compile_s: float | None = None
    peer_peak_mb: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    memory_ratio: float | None = None
    limit_ms: float | None = None
    fraction: float | None = None
    fraction_low: float | None = None
    fraction_high: float | None = None
    failure: str | None = None
    peer_failure: str | None = None
    memory_failure: str | None = None
    peer_memory_failure: str | None = None

    @property
    def case(self) -> Case:
        """The case that was measured."""
        return Case(self.cell, self.wiring, self.units, self.batch, self.steps, self.features)

    @property
    def beyond_outputs(self) -> float | None:
        """By how many times the outputs' growth memory grows, from the peer's length to this one."""
        if self.peak_mb is None or self.peer_peak_mb is None or self.peer_steps is None:
            return None
        grown = (self.steps - self.peer_steps) * self.batch * self.outputs * FLOAT32 / MB
        return (self.peak_mb - self.peer_peak_mb) / grown

    @property
    def side(self) -> Side:
        """Ours, as it was measured."""
        return Side(OURS, self.backend, self.fast)


@dataclass
class Results:
    """Records with what they were measured on."""

    about: dict[str, Any]
    records: list[Record]

    def write(self, path: Path) -> None:
        """As JSON: all of it, or the file stays as it was."""
        content = {"about": self.about, "records": [asdict(record) for record in self.records]}
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> Results:
        """From JSON."""
        content = json.loads(path.read_text(encoding="utf-8"))
        about = {**{name: [] for name in LISTS}, **content["about"]}  # older files do not tell, and have other spreads
        known = {each.name for each in fields(Record)}
        found = [{name: value for name, value in record.items() if name in known} for record in content["records"]]
        return cls(about, [Record(**record) for record in found])


def merged(parts: Sequence[Results]) -> Results:
    """The records of several runs under the same conditions, though perhaps of several states of the code.

    They may be of several machines too: figures are ratios of what ran side by side.

    Raises:
        ValueError: the conditions differ.
    """
    first = conditions(parts[0].about)
    for other in (conditions(part.about) for part in parts[1:]):
        differing = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if differing:
            expected, received = (", ".join(f"{x} = {run.get(x)}" for x in differing) for run in (first, other))
            raise ValueError(
                f"Expected the conditions of the run before: {expected}. Received: {received}. Measure under the same, "
                "or into another file, which is then shown by itself."
            )
    lists = {name: list(dict.fromkeys(x for part in parts for x in part.about[name])) for name in LISTS}
    return Results(parts[0].about | lists, [record for part in parts for record in part.records])


def curve(records: Sequence[Record], x: str, y: str) -> dict[float, float]:
    """Points of one field against another, by rising x, on the machine that has most of them.

    Of several records of a point, the first counts.
    """
    curves: dict[str | None, dict[float, float]] = {None: {}}
    for record in records:
        if getattr(record, y):
            curves.setdefault(record.machine, {}).setdefault(getattr(record, x), getattr(record, y))
    return dict(sorted(max(curves.values(), key=len).items()))


def conditions(about: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same for records that stand beside each other."""
    grouped = {name: value for group in GROUPS for name, value in about.get(group, {}).items()}
    return {name: about.get(name) for name in CONDITIONS} | grouped


def about(threads: int, device: str, peers: Path, quick: bool) -> dict[str, Any]:
    """The state of the code, the machine, the versions and the settings."""
    given = environment(Side(OURS, "numpy"), threads, device, peers)
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commits": [commit()],
        "quick": quick,
        "device": device,
        "machines": [machine()],
        "threads": threads,
        "versions": versions(),
        "environment": {name: value for name, value in sorted(given.items()) if steers(name)},
    }


def commit() -> str:
    """The state of the code: that of the checkout, or the version where there is none."""
    from ncps import __version__

    if (ROOT / ".git").exists() and shutil.which(DESCRIBE[0]):
        done = subprocess.run(DESCRIBE, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() or __version__
    return __version__


def steers(name: str) -> bool:
    """Whether a variable of a worker's environment steers how fast it is."""
    return name.startswith(STEERING) and not name.startswith(NOT_OURS)


def versions() -> dict[str, str]:
    """Versions of Python, ours and what is installed."""
    from ncps import __version__

    found = {"python": platform.python_version(), "ncps": __version__}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def machine() -> str:
    """Processor, cores and system."""
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def processor() -> str:
    """The name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor()
