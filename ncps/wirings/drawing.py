"""Wirings as pictures of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ncps.wirings.graph import import_viz
from ncps.wirings.layouts import Positions, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from networkx import DiGraph

# Of the palette of Okabe and Ito (2008), which people who see no red or no green tell apart; 1.0.1 had green and red.
NEURON_COLORS = {"sensory": "#56B4E9", "inter": "#0072B2", "command": "#CC79A7", "motor": "#E69F00"}
SYNAPSE_COLORS = {"excitatory": "#009E73", "inhibitory": "#D55E00"}
OTHER_NEURONS = "tab:gray"  # types that only a user's wiring knows


def draw(
    graph: DiGraph,
    layout: str,
    neuron_colors: Mapping[str, str] | None,
    synapse_colors: str | Mapping[str, str] | None,
    draw_labels: bool,
    ax: Axes | None,
    widths: Mapping[tuple[str, str], float] | None = None,
) -> list[Patch]:
    """Draws a graph of a wiring; see `Wiring.draw_graph`. `widths` are those of the edges, in points."""
    nx, patches = map(import_viz, ("networkx", "matplotlib.patches"))
    from ncps.wirings.arrows import add_arrows  # it imports matplotlib

    neuron_colors = NEURON_COLORS | dict(neuron_colors or {})
    synapse_colors = _synapse_colors(synapse_colors)
    place = positions(graph, layout)
    size = _node_size(graph)
    ax = import_viz("matplotlib.pyplot").gca() if ax is None else ax
    ax.margins(0.1)

    types = _nodes_by_type(graph, neuron_colors)
    for kind, nodes in types.items():
        color = neuron_colors.get(kind, OTHER_NEURONS)
        nx.draw_networkx_nodes(graph, place, nodes, ax=ax, node_color=color, node_size=size)
    for polarity, edges in _edges_by_polarity(graph).items():
        starts, ends = (np.array([place[node] for node in nodes]) for nodes in zip(*edges, strict=True))
        bends = np.array([_bend(graph, place, *edge) for edge in edges])
        points = None if widths is None else np.array([widths[edge] for edge in edges])
        add_arrows(ax, starts, ends, bends, node_size=size, color=synapse_colors[polarity], widths=points)
    if draw_labels:
        labels = {node: node.rpartition("_")[2] for node in graph}
        nx.draw_networkx_labels(graph, place, labels, ax=ax, font_size=max(4, 0.5 * size**0.5), font_color="white")
    return [
        patches.Patch(color=neuron_colors.get(kind, OTHER_NEURONS), label=f"{kind.capitalize()} neurons")
        for kind in types
    ]


def _synapse_colors(colors: str | Mapping[str, str] | None) -> dict[str, str]:
    """Returns the color of every polarity.

    Raises:
        ValueError: if there is a color for an unknown polarity.
    """
    if isinstance(colors, str):
        return dict.fromkeys(SYNAPSE_COLORS, colors)
    colors = dict(colors or {})
    if unknown := colors.keys() - SYNAPSE_COLORS.keys():
        raise ValueError(
            f"Expected synapse_colors to be one color or colors for {', '.join(SYNAPSE_COLORS)}. "
            f"Received: synapse_colors={colors!r}. Leave out {', '.join(map(repr, unknown))}."
        )
    return SYNAPSE_COLORS | colors


def _node_size(graph: DiGraph) -> float:
    """Returns an area in square points at which the nodes of a large wiring still stand apart."""
    return min(300.0, max(30.0, 12000 / max(len(graph), 1)))


def _nodes_by_type(graph: DiGraph, order: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the nodes of every type that occurs, in the order of the colors, other types last."""
    nodes: dict[str, list[str]] = {kind: [] for kind in order}
    for node, kind in graph.nodes(data="neuron_type"):
        nodes.setdefault(kind, []).append(node)
    return {kind: members for kind, members in nodes.items() if members}


def _edges_by_polarity(graph: DiGraph) -> dict[str, list[tuple[str, str]]]:
    edges: dict[str, list[tuple[str, str]]] = {}
    for source, target, polarity in graph.edges(data="polarity"):
        edges.setdefault(polarity, []).append((source, target))
    return edges


def _bend(graph: DiGraph, place: Positions, source: str, target: str) -> float:
    """Returns how far an edge is bent, so that it neither hides behind neurons nor behind the edge back."""
    if place[source][0] == place[target][0]:
        return 0.6  # they stand in one column, perhaps with others between them
    return 0.08 if graph.has_edge(target, source) else 0.0
