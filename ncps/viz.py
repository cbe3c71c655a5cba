"""Pictures of what `ncps.inspect` sees. They need the extra `viz`: matplotlib, and networkx for `draw_synapses`.

Every function draws on the axes that it is given, else in a new figure of pyplot, and returns the axes:
``plot_time_constants(...).figure.savefig("time_constants.png")``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ncps import ops
from ncps.inspect import Activity, check_layer, to_array
from ncps.layers.rnn import RNN
from ncps.layers.synaptic import SynapticCell
from ncps.wirings import Wiring
from ncps.wirings.drawing import NEURON_COLORS, OTHER_NEURONS, SYNAPSE_COLORS, draw
from ncps.wirings.graph import import_viz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_synapses", "plot_activity", "plot_time_constants"]

MOST_LABELS = 40  # neurons whose ids are written beside their rows
MOST_LINES = 10  # lines that a legend tells apart
THINNEST, THICKEST = 0.3, 4.0  # lines of synapses, in points
BAR = 0.012  # width of the bars that tell the types of neurons, as a share of the axes
GRID = "0.9"
Group = tuple[str, list[int]]  # a type of neuron, and the ids


def plot_activity(
    activity: Activity | ArrayLike,
    wiring: Wiring | None = None,
    *,
    sample: int = 0,
    times: ArrayLike | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> Axes:
    """Draws the state of every neuron over time as rows of colors, and the outputs as lines below.

    Args:
        activity: what `ncps.inspect.activity` returned, or an array of states (B, T, N) or (T, N).
        wiring: that of the neurons, `layer.cell.wiring`: their rows then stand by type, from the inputs to the motor
            neurons, with labels in the colors of the wiring's own drawing.
        sample: which sample of a batch.
        times: points in time (T,) of the steps, ascending, as the sums of the timespans; by default steps are counted.
        ax: the axes for the neurons, or a pair for the neurons and the outputs; by default a new figure has all.

    Returns:
        The axes of the neurons.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: states are no array (T, N), or `times`, `sample` or the wiring do not fit them.

    Example:
        >>> from ncps import inspect, viz
        >>> from ncps.wirings import AutoNCP
        >>> from matplotlib.figure import Figure
        >>> layer = LTC(AutoNCP(8, 2))
        >>> seen = inspect.activity(layer, np.ones((5, 7, 3), "float32"))
        >>> viz.plot_activity(seen, layer.cell.wiring, ax=Figure().subplots(2)).get_ylabel()
        'neuron'
    """
    states = one_sample("states", activity.states if isinstance(activity, Activity) else activity, sample)
    outputs = one_sample("outputs", activity.outputs, sample) if isinstance(activity, Activity) else None
    instants = check_times(times, len(states))
    groups = groups_of(wiring, states.shape[1])
    upper, lower = activity_axes(ax, outputs is not None, states.shape[1])
    limit = np.max(np.abs(states), where=np.isfinite(states), initial=0.0) or 1.0
    rows = [neuron for _, neurons in groups for neuron in neurons]
    image = upper.pcolormesh(
        edges(instants), np.arange(len(rows) + 1) - 0.5, states[:, rows].T, cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    upper.figure.colorbar(image, ax=upper, label="state", pad=0.02, fraction=0.05)
    label_rows(upper, groups, wiring is not None)
    last = upper if lower is None else lower
    if lower is not None and outputs is not None:
        plot_outputs(lower, instants, outputs)
        lower.set_xlim(upper.get_xlim())
        upper.tick_params(labelbottom=False)
    last.set_xlabel("step" if times is None else "time")
    return upper


def plot_time_constants(
    time_constants: ArrayLike,
    wiring: Wiring | None = None,
    *,
    sample: int = 0,
    times: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws time constants over time, one line for each neuron, on a logarithmic scale.

    Args:
        time_constants: what `ncps.inspect.time_constants` returned, (B, T, N) or (T, N).
        wiring: that of the neurons, `layer.cell.wiring`, whose types then color the lines.
        sample: which sample of a batch.
        times: points in time (T,) of the steps, ascending; by default steps are counted.
        ax: where to draw; by default in a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the time constants are no array (T, N), or `times`, `sample` or the wiring do not fit them.

    Example:
        >>> from ncps import inspect, viz
        >>> from matplotlib.figure import Figure
        >>> seen = inspect.time_constants(LTC(4), np.ones((5, 7, 3), "float32"))
        >>> len(viz.plot_time_constants(seen, ax=Figure().add_subplot()).lines)
        4
    """
    values = one_sample("time_constants", time_constants, sample)
    instants = check_times(times, len(values))
    groups = groups_of(wiring, values.shape[1])
    ax = new_axes(7.5, 3.8) if ax is None else ax
    for (kind, neurons), neuron in ((group, neuron) for group in groups for neuron in group[1]):
        style = {"color": color_of(kind), "label": label_of(kind) if neuron == neurons[0] else None}
        if wiring is None:
            style = {"label": f"neuron {neuron}"} if values.shape[1] <= MOST_LINES else {"color": "tab:blue"}
        ax.plot(instants, values[:, neuron], linewidth=1.3, alpha=0.8, **style)
    ax.set_yscale("log")
    plain_ticks(ax)
    ax.set_xlabel("step" if times is None else "time")
    ax.set_ylabel("time constant\n(unit of the timespans)")
    finish(ax)
    if wiring is not None or values.shape[1] <= MOST_LINES:
        legend_above(ax)
    return ax


def draw_synapses(
    layer: RNN,
    *,
    layout: str = "layered",
    draw_labels: bool = True,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draws the wiring of a layer with its synapses as they are now, in a trained layer as they were learned.

    The width of a line is proportional to the largest conductance w of the synapse. The color is that of the sign of
    its reversal potential in an LTC, of h in an LRC or STC: training may turn what the wiring made excitatory.

    Args:
        layer: a built `LTC`, `LRC` or `STC`, or an `RNN` of such a cell.
        layout: see `Wiring.draw_graph`.
        draw_labels: whether the neurons are labelled with their ids.
        legend: whether types of neurons and synapses are explained below the picture.
        ax: where to draw; by default in a new figure.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib or networkx is not installed.
        TypeError: the layer's cell has no synapses with conductances.
        ValueError: the layer is not built, or the layout is unknown.

    Example:
        >>> from ncps import viz
        >>> from ncps.wirings import AutoNCP
        >>> from matplotlib.figure import Figure
        >>> ax = viz.draw_synapses(LTC(AutoNCP(8, 2), input_size=3), ax=Figure().add_subplot())
        >>> [text.get_text() for text in ax.get_legend().get_texts()][:2]
        ['Sensory neurons', 'Inter neurons']
    """
    cell = check_synaptic(layer)
    graph, widths, largest = cell.wiring.get_graph(), {}, largest_conductance(cell)
    for kind, prefix, ends in (
        ("neuron", "", cell.wiring.synapses),
        ("sensory", "sensory_", cell.wiring.sensory_synapses),
    ):
        for source, target, w, sign in zip(ends.source, ends.target, *strengths(cell, prefix), strict=True):
            edge = f"{kind}_{source}", f"neuron_{target}"
            graph.edges[edge]["polarity"] = "excitatory" if sign >= 0 else "inhibitory"
            widths[edge] = width_of(w, largest)
    ax = new_axes(8.5, 5.0) if ax is None else ax
    handles = draw(graph, layout, None, None, draw_labels, ax, widths)
    ax.set_axis_off()
    if legend:
        handles = [*handles, *synapse_handles(largest)]
        ax.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, frameon=False, fontsize="small"
        )
    return ax


# ---- what is drawn


def one_sample(name: str, values: Any, sample: int) -> np.ndarray:
    """Of values (B, T, N) or (T, N) those of one sample, (T, N).

    Raises:
        ValueError: they are no such array, or there is no such sample.
    """
    if isinstance(values, (tuple, dict)):
        raise ValueError(
            f"Expected {name} as one array. Received: a nested state of {len(values)}. Give one of its arrays, as "
            "plot_activity(activity.states[0])."
        )
    array = np.asarray(values, np.float64)
    if array.ndim == 3:
        if not -len(array) <= sample < len(array):
            raise ValueError(
                f"Expected a sample below {len(array)}. Received: sample={sample}. Give the number of a series in "
                "the batch."
            )
        array = array[sample]
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"Expected {name} (B, T, N) or (T, N). Received: shape {np.shape(values)}. Give what ncps.inspect.activity "
            "returns."
        )
    return array


def check_times(times: ArrayLike | None, steps: int) -> np.ndarray:
    """Points in time (T,); the numbers of the steps by default.

    Raises:
        ValueError: they are not (T,), or do not ascend.
    """
    if times is None:
        return np.arange(steps, dtype=float)
    instants = np.asarray(times, float)
    if instants.shape != (steps,) or not (np.diff(instants) > 0).all():
        raise ValueError(
            f"Expected times ({steps},), ascending. Received: shape {instants.shape}. Give the points in time of one "
            "sample, as np.cumsum(timespans[0])."
        )
    return instants


def edges(instants: np.ndarray) -> np.ndarray:
    """Where the columns (T + 1,) of points in time begin and end: half-way between them."""
    if len(instants) == 1:
        return instants[0] + np.array([-0.5, 0.5])
    middle = (instants[1:] + instants[:-1]) / 2
    return np.concatenate([[2 * instants[0] - middle[0]], middle, [2 * instants[-1] - middle[-1]]])


def groups_of(wiring: Wiring | None, units: int) -> list[Group]:
    """The types of neurons with their ids, from the inputs to the motor neurons; one without name without a wiring.

    Raises:
        ValueError: the wiring has another number of neurons.
    """
    if wiring is None:
        return [("", list(range(units)))]
    if wiring.units != units:
        raise ValueError(
            f"Expected the wiring of {units} neurons. Received: one of {wiring.units}. Give layer.cell.wiring, or None."
        )
    kinds: dict[str, list[int]] = {}
    for neuron in range(units):
        kinds.setdefault(wiring.get_type_of_neuron(neuron), []).append(neuron)
    return list(kinds.items())[::-1]  # motor neurons have the first ids


def color_of(kind: str) -> str:
    """The color of a type of neuron."""
    return NEURON_COLORS.get(kind, OTHER_NEURONS)


def label_of(kind: str) -> str:
    """A type of neuron in a legend."""
    return f"{kind.capitalize()} neurons"


# ---- synapses


def check_synaptic(layer: Any) -> SynapticCell:
    """The built cell of a layer, with synapses.

    Raises:
        TypeError: it has none.
        ValueError: the layer is not built.
    """
    check_layer(layer)
    if not isinstance(layer.cell, SynapticCell):
        raise TypeError(
            "Expected a layer whose synapses have conductances: LTC, LRC or STC. Received: a layer of "
            f"{type(layer.cell).__name__}. A wiring alone is drawn by wiring.draw_graph()."
        )
    if not layer.built:
        raise ValueError(
            f"Expected a built layer, whose synapses exist. Received: {type(layer).__name__}, not built. Call it once, "
            "or give input_size= to the constructor."
        )
    return layer.cell


def strengths(cell: SynapticCell, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """w and what tells the sign of the synapses, arrays (E,)."""
    with cell.scope():
        w, direction = (to_array(ops.stop_gradient(x)) for x in cell.strengths(prefix))
    return w, direction


def largest_conductance(cell: SynapticCell) -> float:
    """The largest w of all synapses; 1 if all are 0."""
    values = np.concatenate([strengths(cell, prefix)[0] for prefix in ("", "sensory_")])
    return float(np.max(values, where=np.isfinite(values), initial=0.0)) or 1.0


def width_of(w: float, largest: float) -> float:
    """The width of the line of a synapse."""
    return max(THINNEST, THICKEST * w / largest) if np.isfinite(w) else THINNEST


def synapse_handles(largest: float) -> list[Any]:
    """What the legend says of colors and widths."""
    line = import_viz("matplotlib.lines").Line2D
    colors = [
        line([], [], color=color, linewidth=2, label=f"{name.capitalize()} synapses")
        for name, color in SYNAPSE_COLORS.items()
    ]
    widths = [
        line([], [], color="0.4", linewidth=width_of(w, largest), label=f"w = {w:.2g}") for w in (largest / 4, largest)
    ]
    return [*colors, *widths]


# ---- axes


def new_axes(width: float, height: float) -> Axes:
    """The axes of a new figure of pyplot."""
    return import_viz("matplotlib.pyplot").subplots(figsize=(width, height), layout="constrained")[1]


def activity_axes(ax: Any, with_outputs: bool, units: int) -> tuple[Axes, Axes | None]:
    """The axes for the neurons and, if they are to be drawn, for the outputs."""
    if ax is not None:
        pair = list(np.ravel(np.asarray(ax, object)))
        if len(pair) > 2:
            raise ValueError(
                f"Expected ax as axes, or a pair of axes. Received: {len(pair)}. Leave it out for a figure of its own."
            )
        return pair[0], pair[1] if len(pair) == 2 else None
    height = min(6.0, 1.2 + 0.18 * units)
    if not with_outputs:
        return new_axes(7.5, height + 0.6), None
    ratios = {"height_ratios": [height, 1.7]}
    _, (upper, lower) = import_viz("matplotlib.pyplot").subplots(
        2, figsize=(7.5, height + 2.2), layout="constrained", gridspec_kw=ratios
    )
    return upper, lower


def label_rows(ax: Axes, groups: list[Group], typed: bool) -> None:
    """Writes the ids beside the rows, as far as there is room, and marks the types of neurons."""
    rows = [(kind, neuron) for kind, neurons in groups for neuron in neurons]
    ax.invert_yaxis()
    ax.set_ylabel("neuron")
    if len(rows) <= MOST_LABELS:
        ax.set_yticks(range(len(rows)), [str(neuron) for _, neuron in rows], fontsize="x-small")
    elif typed:
        ax.set_yticks([])
        ax.yaxis.labelpad = 14
    if typed:
        mark_types(ax, groups)


def mark_types(ax: Axes, groups: list[Group]) -> None:
    """Draws a bar in the color of each type of neuron left of its rows, and explains them above."""
    rectangle = import_viz("matplotlib.patches").Rectangle
    ends = list(itertools.accumulate((len(neurons) for _, neurons in groups), initial=0))
    bars = [
        rectangle(
            (-BAR, start - 0.5), BAR, end - start, transform=ax.get_yaxis_transform(), clip_on=False, linewidth=0,
            facecolor=color_of(kind), label=label_of(kind),
        )
        for (kind, _), start, end in zip(groups, ends, ends[1:], strict=False)
    ]  # fmt: skip
    for bar in bars:
        ax.add_patch(bar)
    for start in ends[1:-1]:
        ax.axhline(start - 0.5, color="black", linewidth=0.8)
    ax.tick_params(axis="y", length=0, pad=9)
    legend_above(ax, bars)


def plot_outputs(ax: Axes, instants: np.ndarray, outputs: np.ndarray) -> None:
    """Draws the outputs as lines."""
    few = outputs.shape[1] <= MOST_LINES
    for i, values in enumerate(outputs.T):
        ax.plot(instants, values, linewidth=1.5, **({"label": f"output {i}"} if few else {"color": "tab:orange"}))
    ax.set_ylabel("outputs")
    finish(ax)
    if few:
        legend_above(ax)


def plain_ticks(ax: Axes) -> None:
    """Numbers in place of powers of ten, as a logarithmic scale may span less than one."""
    ticker = import_viz("matplotlib.ticker")
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())


def finish(ax: Axes) -> None:
    """Leaves out what says nothing."""
    ax.grid(axis="y", color=GRID)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0)


def legend_above(ax: Axes, handles: list[Any] | None = None) -> None:
    """A legend above the axes, where it hides nothing."""
    ax.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=5,
        frameon=False,
        fontsize="small",
        borderaxespad=0.0,
    )
