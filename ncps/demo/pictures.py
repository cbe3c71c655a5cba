"""The pictures of the demo: the wiring and the training curve. They need the extra `viz`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ncps.wirings import Wiring

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
QUIET = "0.35"  # gray of what is read second


def new_figure(width: float, height: float, title: str, subtitle: str) -> tuple[Figure, Axes]:
    """A figure that needs no display, and its axes below a title and a quieter line.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f'The pictures need matplotlib ({error}). Install it with: pip install "ncps[viz]"'
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=26)
    axes.annotate(subtitle, (0, 1), (0, 8), "axes fraction", "offset points", fontsize=9.5, color=QUIET)
    return figure, axes


def save_wiring(wiring: Wiring, path: Path) -> None:
    """Draws a built wiring in columns, from the inputs to the motor neurons.

    Raises:
        ImportError: matplotlib or networkx is not installed.
    """
    synapses = wiring.synapse_count + wiring.sensory_synapse_count
    subtitle = (
        f"{wiring.input_dim} inputs, {wiring.units} neurons, {synapses} synapses (green excites, orange inhibits)"
    )
    figure, axes = new_figure(8, 7.5, type(wiring).__name__, subtitle)
    handles = wiring.draw_graph(layout="layered", ax=axes)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(handles), frameon=False)
    axes.set_axis_off()
    figure.savefig(path, dpi=DPI)


def save_curve(losses: Sequence[float], test_accuracy: float, title: str, path: Path) -> None:
    """Draws the mean loss of every epoch.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure, axes = new_figure(7, 4.2, title, f"{test_accuracy:.1%} of the test series recognised after training")
    epochs = range(1, len(losses) + 1)
    axes.plot(epochs, losses, color="tab:blue", linewidth=2, marker="o", markersize=4)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss (cross-entropy)")
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=DPI)
