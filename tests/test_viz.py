"""Pictures of what layers do: what is drawn where."""

import itertools
import sys

import numpy as np
import pytest

from ncps import inspect, viz
from ncps.layers import LRC, LSTM, LTC, RNN, STC, Bidirectional, CfC, LTCCell
from ncps.wirings import AutoNCP, FullyConnected

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("networkx")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.collections import QuadMesh  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

from ncps.wirings.drawing import NEURON_COLORS, SYNAPSE_COLORS  # noqa: E402

B, T, F, N = 2, 6, 3, 8
SERIES = np.random.default_rng(0).normal(size=(B, T, F)).astype(np.float32)
TYPES = ("inter", "command", "motor")


@pytest.fixture(autouse=True)
def _no_figure_is_left(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("a picture was shown"))
    yield
    plt.close("all")


@pytest.fixture
def layer():
    return LTC(AutoNCP(N, 2, seed=1), input_size=F)


@pytest.fixture
def seen(layer):
    return inspect.activity(layer, SERIES)


def new_axes(*shape, **options):
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots(*shape, **options)


def mesh(ax):
    (found,) = (artist for artist in ax.collections if isinstance(artist, QuadMesh))
    return found


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- activity


def test_rows_stand_by_type_and_hold_the_states(layer, seen):
    wiring = layer.cell.wiring
    ax = viz.plot_activity(seen, wiring, sample=1)
    ids = [int(label.get_text()) for label in ax.get_yticklabels()]
    assert sorted(ids) == list(range(N))
    kinds = [wiring.get_type_of_neuron(neuron) for neuron in ids]
    assert kinds == sorted(kinds, key=TYPES.index)
    np.testing.assert_allclose(mesh(ax).get_array(), seen.states[1][:, ids].T, rtol=1e-6)
    low, high = mesh(ax).get_clim()
    assert -low == high == pytest.approx(np.abs(seen.states[1]).max())
    assert ax.get_ylim() == (N - 0.5, -0.5)  # the first row is the highest
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    assert [bar.get_label() for bar in bars] == ["Inter neurons", "Command neurons", "Motor neurons"]
    assert [bar.get_height() for bar in bars] == [kinds.count(kind) for kind in TYPES]
    assert [bar.get_facecolor()[:3] for bar in bars] == [to_rgb(NEURON_COLORS[kind]) for kind in TYPES]


def test_outputs_are_lines_below_on_the_same_axis(layer, seen):
    times = np.cumsum([0.1, 2.0, 0.4, 0.3, 1.0, 0.2])
    upper = viz.plot_activity(seen, layer.cell.wiring, times=times)
    lower = upper.figure.axes[1]
    assert len(lower.lines) == 2
    for line, outputs in zip(lower.lines, seen.outputs[0].T, strict=True):
        np.testing.assert_allclose(line.get_xdata(), times)
        np.testing.assert_allclose(line.get_ydata(), outputs)
    assert lower.get_xlim() == upper.get_xlim()
    upper.figure.canvas.draw()
    boxes = [ax.get_position() for ax in (upper, lower)]
    assert boxes[0].x0 == pytest.approx(boxes[1].x0)
    assert boxes[0].x1 == pytest.approx(boxes[1].x1)
    assert (lower.get_xlabel(), upper.get_xlabel()) == ("time", "")
    assert legend_of(lower) == ["output 0", "output 1"]
    corners = mesh(upper).get_coordinates()[0, :, 0]
    np.testing.assert_allclose(corners[1:-1], (times[1:] + times[:-1]) / 2)
    assert (np.diff(corners) > 0).all()


def test_an_array_is_rows_in_the_order_of_the_ids(seen):
    ax = new_axes()
    assert viz.plot_activity(seen.states[0], ax=ax) is ax
    np.testing.assert_allclose(mesh(ax).get_array(), seen.states[0].T)
    assert [label.get_text() for label in ax.get_yticklabels()] == [str(i) for i in range(N)]
    assert ax.get_legend() is None
    assert ax.get_xlabel() == "step"
    assert plt.get_fignums() == []


def test_given_axes_are_used(seen):
    one, upper, lower = new_axes(3)
    assert viz.plot_activity(seen, ax=one) is one
    assert viz.plot_activity(seen, ax=(upper, lower)) is upper
    assert len(lower.lines) == 2
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match=r"a pair of axes. Received: 3"):
        viz.plot_activity(seen, ax=(one, upper, lower))


def test_many_neurons_and_outputs_have_no_labels():
    states, outputs = np.zeros((T, 60)), np.ones((T, 12))
    upper = viz.plot_activity(inspect.Activity(states, outputs), FullyConnected(60, 12).frozen(1))
    assert len(upper.get_yticklabels()) == 0
    lower = upper.figure.axes[1]
    assert len(lower.lines) == 12
    assert lower.get_legend() is None
    upper.figure.canvas.draw()
    assert upper.yaxis.label.get_window_extent().x1 < min(bar.get_window_extent().x0 for bar in upper.patches)


@pytest.mark.parametrize("units", [7, 19, 40])
def test_nothing_overlaps(units):
    layer = LTC(AutoNCP(units, 1 if units == 7 else 3, seed=1), input_size=F)
    ax = viz.plot_activity(inspect.activity(layer, SERIES), layer.cell.wiring)
    ax.figure.canvas.draw()
    rows = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(a.y0 > b.y1 - 1 for a, b in itertools.pairwise(rows))
    bar = min(patch.get_window_extent().x0 for patch in ax.patches)
    assert ax.yaxis.label.get_window_extent().x1 < min(row.x0 for row in rows) < max(row.x1 for row in rows) < bar
    whole = ax.figure.bbox
    for axes in ax.figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= whole.x0
        assert box.x1 <= whole.x1 + 1
        assert box.y0 >= whole.y0
        assert box.y1 <= whole.y1 + 1


def test_nan_is_left_out(seen):
    states = seen.states[0].copy()
    states[3:] = np.nan
    ax = viz.plot_activity(states, ax=new_axes())
    assert mesh(ax).get_clim()[1] == pytest.approx(np.abs(seen.states[0, :3]).max())
    ax.figure.canvas.draw()
    viz.plot_activity(np.full((T, N), np.nan), ax=new_axes()).figure.canvas.draw()


def test_what_does_not_fit_is_told(seen):
    with pytest.raises(ValueError, match=r"nested state of 2.*activity.states\[0\]"):
        viz.plot_activity(inspect.activity(LSTM(4), SERIES))
    with pytest.raises(ValueError, match=r"\(B, T, N\) or \(T, N\). Received: shape \(6,\)"):
        viz.plot_activity(seen.states[0, :, 0])
    with pytest.raises(ValueError, match=r"a sample below 2. Received: sample=2"):
        viz.plot_activity(seen, sample=2)
    with pytest.raises(ValueError, match=r"times \(6,\), ascending.*np.cumsum"):
        viz.plot_time_constants(seen.states, times=np.ones(T))
    with pytest.raises(ValueError, match=r"the wiring of 8 neurons. Received: one of 9"):
        viz.plot_activity(seen, AutoNCP(9, 2))


# ---- time constants


def test_time_constants_are_lines_in_the_colors_of_the_types(layer):
    tau = inspect.time_constants(layer, SERIES)
    wiring = layer.cell.wiring
    ax = viz.plot_time_constants(tau, wiring, sample=1, ax=new_axes())
    assert ax.get_yscale() == "log"
    drawn = {tuple(line.get_ydata()): line.get_color() for line in ax.lines}
    expected = {tuple(np.float64(tau[1, :, i])): NEURON_COLORS[wiring.get_type_of_neuron(i)] for i in range(N)}
    assert drawn == expected
    assert legend_of(ax) == ["Inter neurons", "Command neurons", "Motor neurons"]
    assert "unit of the timespans" in ax.get_ylabel()


def test_few_neurons_without_a_wiring_are_told_apart():
    tau = inspect.time_constants(CfC(4), SERIES)
    ax = viz.plot_time_constants(tau)
    assert legend_of(ax) == [f"neuron {i}" for i in range(4)]
    many = viz.plot_time_constants(np.repeat(tau, 4, axis=-1))
    assert many.get_legend() is None
    assert len(many.lines) == 16


def test_masked_and_infinite_time_constants_are_gaps():
    tau = np.ones((T, 2))
    tau[2], tau[3] = np.nan, np.inf
    viz.plot_time_constants(tau, ax=new_axes()).figure.canvas.draw()


# ---- synapses


def lines_by_color(ax):
    """Line widths of the arrows and loops, by color."""
    lines = [artist for artist in ax.collections if artist.get_zorder() == 1 and len(artist.get_facecolor()) == 0]
    widths = {}
    for line in lines:
        count = max(len(line.get_paths()) if line.get_transform() == ax.transData else len(line.get_offsets()), 0)
        widths.setdefault(tuple(line.get_edgecolor()[0, :3]), []).extend(list(line.get_linewidths())[:count])
    return {color: sorted(found) for color, found in widths.items()}


@pytest.mark.parametrize("make", [LTC, LRC, STC])
@pytest.mark.parametrize("implicit", [False, True])
def test_widths_are_w_and_colors_the_signs(make, implicit, backend):
    layer = make(AutoNCP(N, 2, seed=1), input_size=F, implicit_param_constraints=implicit)
    rng = np.random.default_rng(1)
    layer.set_weights([np.float32(rng.uniform(-1, 1, value.shape)) for value in layer.get_weights()])
    weights = dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))
    name = "erev" if make is LTC else "h"
    w, sign = (np.concatenate([weights[f"cell/{p}{n}"] for p in ("", "sensory_")]) for n in ("w", name))
    w = np.logaddexp(0, w) if implicit else np.maximum(w, 0)
    widths = np.maximum(0.3, 4 * w / w.max())
    ax = viz.draw_synapses(layer, ax=new_axes())
    found = lines_by_color(ax)
    np.testing.assert_allclose(found[to_rgb(SYNAPSE_COLORS["excitatory"])], sorted(widths[sign >= 0]), rtol=1e-5)
    np.testing.assert_allclose(found[to_rgb(SYNAPSE_COLORS["inhibitory"])], sorted(widths[sign < 0]), rtol=1e-5)


def test_legend_and_labels(layer):
    ax = viz.draw_synapses(layer)
    kinds = ["Sensory neurons", "Inter neurons", "Command neurons", "Motor neurons"]
    *types, weak, strong = legend_of(ax)
    assert types == [*kinds, "Excitatory synapses", "Inhibitory synapses"]
    assert float(weak.removeprefix("w = ")) == pytest.approx(float(strong.removeprefix("w = ")) / 4, rel=0.1)
    assert sorted(text.get_text() for text in ax.texts) == sorted([*map(str, range(N)), *map(str, range(F))])
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= 0
    bare = viz.draw_synapses(layer, draw_labels=False, legend=False, layout="circular", ax=new_axes())
    assert bare.get_legend() is None
    assert not bare.texts


def test_bent_arrows_stay_within_the_axes():
    ax = viz.draw_synapses(STC(5, input_size=F), ax=new_axes())
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    for artist in ax.collections:
        if artist.get_zorder() == 1 and artist.get_transform() == ax.transData:
            points = np.concatenate(
                [path.interpolated(1).to_polygons(closed_only=False)[0] for path in artist.get_paths()]
            )
            assert low < points[:, 0].min()
            assert points[:, 0].max() < high


def test_weights_of_zero_or_nan_are_drawn(layer):
    weights = dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))
    for name in ("cell/w", "cell/sensory_w"):
        weights[name][:] = 0
    weights["cell/w"][0] = np.nan
    layer.set_weights(list(weights.values()))
    ax = viz.draw_synapses(layer, ax=new_axes())
    ax.figure.canvas.draw()
    assert {width for found in lines_by_color(ax).values() for width in found} == {0.3}


def test_layers_without_synapses_are_told():
    with pytest.raises(TypeError, match=r"LTC, LRC or STC. Received: a layer of WiredCfCCell.*draw_graph"):
        viz.draw_synapses(CfC(AutoNCP(N, 2), input_size=F))
    with pytest.raises(TypeError, match="Inspect its attribute layer and its backward_layer"):
        viz.draw_synapses(Bidirectional(LTC(4)))
    with pytest.raises(ValueError, match=r"Received: RNN, not built. Call it once"):
        viz.draw_synapses(RNN(LTCCell(4)))


# ---- the packages


@pytest.mark.parametrize(
    ("missing", "draw"),
    [
        ("matplotlib.pyplot", lambda layer, seen: viz.plot_activity(seen)),
        ("matplotlib.pyplot", lambda layer, seen: viz.plot_time_constants(seen.states)),
        ("networkx", lambda layer, seen: viz.draw_synapses(layer)),
    ],
)
def test_missing_packages_are_named(monkeypatch, layer, seen, missing, draw):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf'Expected {missing} to be installed.*pip install "ncps\[viz\]"'):
        draw(layer, seen)


def test_matplotlib_stays_as_it_was(layer, seen):
    before = dict(matplotlib.rcParams)
    for ax in (viz.plot_activity(seen, layer.cell.wiring), viz.draw_synapses(layer)):
        ax.figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
