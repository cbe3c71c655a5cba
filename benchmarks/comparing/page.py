"""The page in docs/ that shows results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparing import tables
from benchmarks.comparing.floors import Verdict
from benchmarks.comparing.growth import Growth
from benchmarks.comparing.records import Record, Results
from benchmarks.comparing.sides import UPSTREAM

INTRODUCTION = """# Speed

What the layers cost beside ncps 1.0.1, beside an LSTM of as many units, and beside what the machine can do at all. The
ratio is the result: the sides take turns (A B B A), each in a process of its own with the same number of threads, so
that all of them see the same state of the machine. Milliseconds are medians, "spread" is the least and the most. Ratios
are medians of those of turns that followed each other, "quartiles" between which half of these lie.

- **Forward** is a call without gradients; **training** a step of it: forward, mean squared error, backward, Adam;
  **control** one step of one stream, which carries its state.
- All run as users of the framework write it: torch eager, jax under `jax.jit`, mlx with or without `mx.compile` and
  TensorFlow with or without XLA, whichever is faster, Keras in a training loop on each of its frameworks. A control
  step, too, is the faster of two: under `jax.jit` it takes the weights as arguments or has them as constants; of ncps
  1.0.1 and Keras' LSTM it is one of the layer, or of its cell alone ("cell").
- ncps 1.0.1 has torch and Keras: our jax and TensorFlow layers run beside its Keras layers there, NumPy and mlx beside
  its torch. mlx is made for Apple's GPUs; on the CPU of another machine it is slow, so that its floors are between
  lengths of its own. MixedMemory of ncps 1.0.1 differs between the two (memory to the input, or to the state): each
  runs beside the same of ours.
- **Itself** is the same network in the same way over another length, by the step. GRU(64) stands for the cells that
  have no op of their own for a sequence.
- **compile s** is the time of the first call. Kernels are compiled once on a machine: of ours it is mostly a read of
  machine code from the disk.
- **MB** is the peak of memory in one run, above what the process had after a tiny network of the same kind.
- **Of the limit** is the time that the matrix products and sigmoids of the case take alone, in large pieces, over ours.
  A sequence goes step by step, so small networks stay far below. Both are torch's own: above 100 %, ours are faster, as
  the sigmoids of our kernels are.
- Options have their defaults on every side. So ncps 1.0.1 on torch keeps weights positive by a softplus, ours by max.
- Where several machines are named, both sides of a row ran on the same; lines and exponents are of one of them.

{warning}This page is written by a script; make it anew on your machine:

```sh
python -m pip install --no-deps --target .peers/ncps-1.0.1 ncps==1.0.1 future==1.0.0
python -m benchmarks.compare --cases grid floors growth --json speed.json --plot --page
```
"""
WARNING = "**These numbers are of a quick run on a busy machine: they show the form of the page, not the speed.**\n\n"
COLUMNS = [
    "network", "B", "T", "backend", "machine", "ms", "spread", "compile s", "MB", "peer", "its ms", "its MB",
    "times faster", "quartiles", "less memory", "of the limit",
]  # fmt: skip
LABEL = UPSTREAM.replace("-", " ")  # as sides show it
GLANCE = """## At a glance

How many times faster than ncps 1.0.1: the median of all networks and sizes below, the least and the most of them, and
their number."""
FLOORS = """## Floors

What must be reached, B = 64, 20 inputs, float32; with the quartiles of what was. A floor between these is undecided."""
TITLES = {"training": "Training step", "forward": "Forward pass", "control": "One control step"}


def text(results: Results, verdicts: Sequence[Verdict], growth: Sequence[Growth], pictures: Sequence[str]) -> str:
    """The page."""
    parts = [INTRODUCTION.format(warning=WARNING if results.about["quick"] else ""), conditions(results.about)]
    beside = [
        record for record in results.records if compared(record) and record.fast and record.peer.startswith(LABEL)
    ]
    if beside:
        parts.append(GLANCE)
        parts.append(
            tables.markdown(["backend", *TITLES, "training, less memory"], tables.glance(beside, list(TITLES)))
        )
    parts += [f"![{Path(name).stem}]({name})" for name in pictures]
    if verdicts:
        parts.append(FLOORS)
        parts.append(tables.markdown([*tables.FLOORS[:-1], "verdict"], tables.floors(verdicts)))
    for mode, title in TITLES.items():
        own = [record for record in results.records if record.mode == mode and compared(record)]
        if own:
            parts += [f"## {title}\n", tables.markdown(COLUMNS, columns(own))]
    if growth:
        parts.append("## Growth\n\nThe power with which time and memory grow.\n")
        parts.append(tables.markdown(tables.GROWTH, tables.growth(growth)))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def compared(record: Record) -> bool:
    """Whether a record is of interest by itself: it has times and a peer, and is not about growth."""
    return record.median_ms is not None and record.peer is not None and record.peer_steps is None


def columns(found: Sequence[Record]) -> tables.Rows:
    """The columns of the page out of all."""
    places = [tables.RECORDS.index(name) for name in COLUMNS]
    return [[row[place] for place in places] for row in tables.records(found)]


def conditions(about: dict) -> str:
    """On what and with what was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    code = ", ".join(f"`{commit}`" for commit in about["commits"]) or "unknown"
    settings = ", ".join(f"`{name}={value}`" for name, value in about["environment"].items()) or "none"
    return (
        f"Measured on {about['date']} with {about['threads']} threads on the {about['device'].upper()} of: "
        f"{'; '.join(about['machines'])}.\nState of the code: {code}.\nVersions: {versions}.\n"
        f"Settings in the environment: {settings}.\n"
    )
