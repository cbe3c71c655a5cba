"""Plots: time against units, batch, length and backend, and memory against length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.comparing.cases import CFC_64, LTC_64, Case
from benchmarks.comparing.records import Record, curve
from benchmarks.comparing.sides import BACKENDS

BASES = (LTC_64, CFC_64)
SHADES = {"training": "C0", "forward": "C1"}


class Plot(NamedTuple):
    """A field of records drawn against another.

    Attributes:
        name: of the file.
        x: the field on the horizontal axis.
        y: the field on the vertical axis.
        title: what it shows.
        label: of the vertical axis.
    """

    name: str
    x: str
    y: str
    title: str
    label: str


PLOTS = (
    Plot("speed_units", "units", "median_ms", "Time against units", "ms"),
    Plot("speed_batch", "batch", "median_ms", "Time against batch", "ms"),
    Plot("speed_length", "steps", "median_ms", "Time against length", "ms"),
    Plot("memory_length", "steps", "peak_mb", "Memory against length", "MB"),
)
BARS = "speed_backends"


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draws what the records allow; the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [lines(plot, records) for plot in PLOTS] + [bars(records)]
    files = []
    for name, figure in filter(None, drawn):
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110)
    return files


def axes_for_bases(title: str) -> tuple[Any, dict[Case, Any]]:
    """A figure with a panel for each network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(BASES))
    for base, panel in zip(BASES, panels, strict=True):
        panel.set_title(f"{base.cell}, training (solid) and forward (dashed)", fontsize="medium")
    return figure, dict(zip(BASES, panels, strict=True))


def lines(plot: Plot, records: Sequence[Record]) -> tuple[str, Any] | None:
    """Lines of ours, one for each backend and mode; None where there are no two points on any."""
    from matplotlib.ticker import NullFormatter

    figure, panels = axes_for_bases(plot.title)
    named: dict[str, Any] = {}
    for base, panel in panels.items():
        like = [record for record in records if differs_only_in(plot.x, record, base)]
        drawn: set[float] = set()
        for number, backend in enumerate(BACKENDS):
            for mode, style in (("training", "-"), ("forward", "--")):
                own = [record for record in like if (record.backend, record.mode) == (backend, mode)]
                points = curve(own, plot.x, plot.y)
                if len(points) > 1:
                    (line,) = panel.loglog([*points], [*points.values()], style, marker=".", color=f"C{number}")
                    named.setdefault(backend, line)
                    drawn |= {*points}
        panel.set(xlabel=plot.x, ylabel=plot.label)
        if drawn:
            panel.set_xticks(sorted(drawn), [f"{x:,}" for x in sorted(drawn)], fontsize="small")
            panel.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(BACKENDS), fontsize="small")
    return (plot.name, figure) if named else None


def differs_only_in(field: str, record: Record, base: Case) -> bool:
    """Whether a record is of the base, but for one field."""
    given = {name: getattr(record.case, name) for name in ("cell", "wiring", "units", "batch", "steps", "features")}
    return record.fast and Case(**{**given, field: getattr(base, field)}) == base


def beside_upstream(record: Record) -> bool:
    """Whether a record tells how many times faster than ncps 1.0.1 ours is."""
    return record.fast and record.ratio is not None and "1.0.1" in (record.peer or "")


def bars(records: Sequence[Record]) -> tuple[str, Any] | None:
    """How many times faster than ncps 1.0.1 each backend is; None where that was not measured."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure, panels = axes_for_bases("Times faster than ncps 1.0.1")
    any_bar = False
    for base, panel in panels.items():
        own = [
            record for record in records if record.case == base and record.mode in SHADES and beside_upstream(record)
        ]
        names = [name for name in BACKENDS if any(record.backend == name for record in own)]
        for record in own:
            shift = 0.2 if record.mode == "forward" else -0.2
            panel.bar(names.index(record.backend) + shift, record.ratio, 0.4, color=SHADES[record.mode])
            any_bar = True
        panel.set_title(f"{base.network}: training (blue), forward (orange)", fontsize="medium")
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter("{x:g}")
        panel.axhline(1, color="gray", linewidth=0.8)
        panel.set_xticks(range(len(names)), names, rotation=30, ha="right")
    return (BARS, figure) if any_bar else None
