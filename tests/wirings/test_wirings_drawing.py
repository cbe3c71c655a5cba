"""Graphs and pictures."""

import sys

import numpy as np
import pytest

from ncps.wirings import AutoNCP, FullyConnected, Wiring

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("networkx")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.collections import PathCollection  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from ncps.wirings.arrows import ArrowHeads  # noqa: E402
from ncps.wirings.drawing import NEURON_COLORS, SYNAPSE_COLORS  # noqa: E402
from ncps.wirings.layouts import LAYOUTS, positions  # noqa: E402


@pytest.fixture
def wiring():
    wiring = AutoNCP(12, 2)
    wiring.build(5)
    return wiring


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def node_groups(ax):
    """Colors and positions of the nodes, one entry for each call."""
    groups = [artist for artist in ax.collections if artist.get_zorder() == 2]
    return {tuple(group.get_facecolor()[0, :3]): np.array(group.get_offsets()) for group in groups}


def test_graph(wiring):
    graph = wiring.get_graph()
    kinds = [kind for _, kind in graph.nodes(data="neuron_type")]
    assert kinds == [wiring.get_type_of_neuron(neuron) for neuron in range(12)] + ["sensory"] * 5
    assert graph.number_of_edges() == wiring.synapse_count + wiring.sensory_synapse_count
    for source, target, polarity in zip(*wiring.synapses, strict=True):
        edge = graph.edges[f"neuron_{source}", f"neuron_{target}"]
        assert edge == {"polarity": "excitatory" if polarity == 1 else "inhibitory"}


def test_graph_without_sensory_neurons(wiring):
    graph = wiring.get_graph(include_sensory_neurons=False)
    assert list(graph) == [f"neuron_{neuron}" for neuron in range(12)]
    assert graph.number_of_edges() == wiring.synapse_count


def test_unbuilt_is_told():
    with pytest.raises(ValueError, match=r"Call wiring.build\(input_dim\)"):
        AutoNCP(12, 2).get_graph()
    with pytest.raises(ValueError, match=r"Call wiring.build\(input_dim\)"):
        AutoNCP(12, 2).draw_graph()


def test_handles_and_colors(wiring, ax):
    mine = {"motor": "black"}
    handles = wiring.draw_graph("circular", mine, ax=ax)
    assert mine == {"motor": "black"}
    assert [(handle.get_label(), handle.get_facecolor()[:3]) for handle in handles] == [
        ("Sensory neurons", to_rgb(NEURON_COLORS["sensory"])),
        ("Inter neurons", to_rgb(NEURON_COLORS["inter"])),
        ("Command neurons", to_rgb(NEURON_COLORS["command"])),
        ("Motor neurons", to_rgb("black")),
    ]
    sizes = {color: len(places) for color, places in node_groups(ax).items()}
    assert sizes == {
        to_rgb(NEURON_COLORS["sensory"]): 5,
        to_rgb(NEURON_COLORS["inter"]): 6,
        to_rgb(NEURON_COLORS["command"]): 4,
        to_rgb("black"): 2,
    }


def test_only_types_that_occur_are_explained(ax):
    handles = FullyConnected(4).frozen(2).draw_graph(ax=ax)
    assert [handle.get_label() for handle in handles] == ["Sensory neurons", "Motor neurons"]


def test_types_of_a_user_are_drawn(ax):
    class Typed(Wiring):
        def get_type_of_neuron(self, neuron_id):
            return "clock" if neuron_id == 0 else super().get_type_of_neuron(neuron_id)

    handles = Typed(3).frozen(1).draw_graph("layered", {"clock": "red"}, ax=ax)
    assert [handle.get_label() for handle in handles] == ["Sensory neurons", "Motor neurons", "Clock neurons"]
    assert len(node_groups(ax)[to_rgb("red")]) == 1


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        (None, set(SYNAPSE_COLORS.values())),
        ("gray", {"gray"}),
        ({"inhibitory": "black"}, {SYNAPSE_COLORS["excitatory"], "black"}),
    ],
)
def test_synapse_colors(wiring, ax, colors, expected):
    wiring.draw_graph(synapse_colors=colors, ax=ax)
    lines = [artist for artist in ax.collections if artist.get_zorder() == 1 and len(artist.get_facecolor()) == 0]
    assert {tuple(line.get_edgecolor()[0, :3]) for line in lines} == {to_rgb(color) for color in expected}


def test_every_synapse_has_an_arrow(wiring, ax):
    wiring.draw_graph(ax=ax)
    ax.figure.canvas.draw()
    lines = [artist for artist in ax.collections if artist.get_zorder() == 1 and len(artist.get_facecolor()) == 0]
    heads = [artist for artist in ax.collections if artist.get_zorder() == 1 and len(artist.get_facecolor())]
    loops = int(np.count_nonzero(np.diag(wiring.adjacency_matrix)))
    drawn = sum(len(line.get_offsets()) if line.get_offset_transform() == ax.transData else 0 for line in lines)
    assert drawn == loops
    synapses = wiring.synapse_count + wiring.sensory_synapse_count - loops
    assert sum(len(head.get_offsets()) for head in heads) == synapses
    assert sum(len(head.get_paths()) for head in heads) == synapses


def test_heads_point_along_the_arrows_on_the_screen(ax):
    wiring = Wiring(3)
    wiring.set_output_dim(1)
    wiring.add_synapse(1, 0, 1)  # downwards or upwards, as neurons 1 and 2 stand in one column
    wiring.build(0)
    wiring.draw_graph("layered", ax=ax)
    ax.figure.canvas.draw()
    place = positions(wiring.get_graph(), "layered")
    source, target = ax.transData.transform([place["neuron_1"], place["neuron_0"]])
    forwards = (target - source) / np.linalg.norm(target - source)
    assert abs(forwards[1]) > 0.1
    head = next(artist for artist in ax.collections if isinstance(artist, ArrowHeads))
    tip, left, right = head.get_paths()[0].vertices[:3]
    np.testing.assert_allclose(tip, -np.linalg.norm(tip) * forwards, atol=1e-9)  # beside the neuron, not on it
    base = (left + right) / 2 - tip
    np.testing.assert_allclose(base, -np.linalg.norm(base) * forwards, atol=1e-9)
    assert min(np.linalg.norm(tip), np.linalg.norm(base)) > 3


def test_few_artists(ax):
    wiring = FullyConnected(24)
    wiring.build(4)
    wiring.draw_graph(ax=ax)
    assert not ax.patches
    assert len(ax.collections) <= 8
    assert all(isinstance(artist, PathCollection) for artist in ax.collections)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_layouts_are_finite_and_repeat(wiring, layout):
    if layout == "kamada":
        pytest.importorskip("scipy")
    graph = wiring.get_graph()
    first, second = positions(graph, layout), positions(graph, layout)
    assert first.keys() == set(graph)
    for node in graph:
        assert np.all(np.isfinite(first[node]))
        np.testing.assert_array_equal(first[node], second[node])
    places = {tuple(np.round(place, 6)) for place in first.values()}
    assert len(places) > 10 if layout == "spectral" else len(places) == len(graph)  # it may place twins together


def test_layers_are_columns(wiring):
    place = positions(wiring.get_graph(), "layered")
    x = {node: position[0] for node, position in place.items()}
    inter, command, motor = wiring.layers
    columns = [
        {x[f"sensory_{i}"] for i in range(5)},
        *({x[f"neuron_{neuron}"] for neuron in layer} for layer in (inter, command, motor)),
    ]
    assert columns == [{0}, {1}, {2}, {3}]


def test_layers_are_ordered_to_avoid_crossings(ax):
    wiring = Wiring(6)
    wiring.set_output_dim(3)
    for source, target in ((3, 2), (4, 1), (5, 0)):
        wiring.add_synapse(source, target, 1)
    place = positions(wiring.frozen(0).get_graph(), "layered")
    for source, target in ((3, 2), (4, 1), (5, 0)):
        assert place[f"neuron_{source}"][1] == pytest.approx(place[f"neuron_{target}"][1])


def test_unknown_layout_names_the_choices(wiring, ax):
    with pytest.raises(ValueError, match=r"circular, kamada, layered.*Received: layout='round'"):
        wiring.draw_graph("round", ax=ax)


def test_unknown_polarity_names_the_choices(wiring, ax):
    with pytest.raises(ValueError, match=r"excitatory, inhibitory.*Leave out 'neutral'"):
        wiring.draw_graph(synapse_colors={"neutral": "gray"}, ax=ax)


def test_labels(wiring, ax):
    wiring.draw_graph(ax=ax)
    assert not ax.texts
    wiring.draw_graph("shell", None, None, True, ax=ax)
    assert sorted(text.get_text() for text in ax.texts) == sorted(
        [str(i) for i in range(12)] + [str(i) for i in range(5)]
    )


def test_matplotlib_stays_as_it_was(wiring, ax):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    wiring.draw_graph("layered", draw_labels=True, ax=ax)
    ax.figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_current_axes_by_default(wiring, monkeypatch, ax):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "gca", lambda: ax)
    wiring.draw_graph()
    assert sum(map(len, node_groups(ax).values())) == 17


@pytest.mark.parametrize("missing", ["networkx", "matplotlib.patches"])
def test_missing_packages_are_named(wiring, monkeypatch, ax, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf'Expected {missing} to be installed.*pip install "ncps\[viz\]"'):
        wiring.draw_graph(ax=ax)


def test_missing_scipy_is_named(wiring, monkeypatch, ax):
    def lacking(graph):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setitem(LAYOUTS, "kamada", lacking)
    with pytest.raises(ImportError, match=r'layout=\'kamada\'.*pip install "ncps\[viz\]" scipy'):
        wiring.draw_graph("kamada", ax=ax)
