"""Where the neurons stand in a drawing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ncps.naming import nearest
from ncps.wirings.graph import import_viz

if TYPE_CHECKING:
    from networkx import DiGraph

Positions = dict[str, np.ndarray]

_SWEEPS = 8  # the order of the columns hardly changes any more after this many


def layered(graph: DiGraph) -> Positions:
    """Places every type of neuron in a column of its own, in the direction of the synapses.

    Within the columns, neurons stand close to those with which they have synapses (barycenter heuristic).
    """
    columns = _columns(graph)
    height = {node: (position + 0.5) / len(column) for column in columns for position, node in enumerate(column)}
    neighbors = graph.to_undirected(as_view=True)
    for _ in range(_SWEEPS):
        for column in columns:
            inside = set(column)
            others = {node: [height[other] for other in neighbors[node] if other not in inside] for node in column}
            wanted = {node: np.mean(heights) if heights else height[node] for node, heights in others.items()}
            column.sort(key=wanted.__getitem__)
            height |= {node: (position + 0.5) / len(column) for position, node in enumerate(column)}
    return {node: np.array([x, -height[node]]) for x, column in enumerate(columns) for node in column}


def _columns(graph: DiGraph) -> list[list[str]]:
    """Returns the nodes by type: sensory, then other types in the order of their ids, backwards (motor is first)."""
    columns: dict[str, list[str]] = {}
    for node, kind in graph.nodes(data="neuron_type"):
        columns.setdefault(kind, []).append(node)
    sensory = [columns.pop("sensory")] if "sensory" in columns else []
    return sensory + list(columns.values())[::-1]


def _of_networkx(name: str, **options: int) -> Callable[[DiGraph], Positions]:
    return lambda graph: getattr(import_viz("networkx"), name)(graph, **options)


LAYOUTS: dict[str, Callable[[DiGraph], Positions]] = {
    "circular": _of_networkx("circular_layout"),
    "kamada": _of_networkx("kamada_kawai_layout"),
    "layered": layered,
    "random": _of_networkx("random_layout", seed=0),
    "shell": _of_networkx("shell_layout"),
    "spectral": _of_networkx("spectral_layout"),
    "spiral": _of_networkx("spiral_layout"),
    "spring": _of_networkx("spring_layout", seed=0),
}


def positions(graph: DiGraph, layout: str) -> Positions:
    """Returns the position of every node.

    Raises:
        ImportError: if the layout needs a package that is not installed.
        ValueError: if there is no such layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(
            f"Expected layout to be one of {', '.join(LAYOUTS)}. Received: layout={layout!r}. "
            f"{nearest(layout, LAYOUTS)}"
        )
    try:
        return LAYOUTS[layout](graph)
    except ModuleNotFoundError as error:  # some of networkx' layouts need scipy
        raise ImportError(
            f"Expected the packages that layout={layout!r} needs to be installed. Received: {error}. "
            f'Install them with: pip install "ncps[viz]" {error.name}, or draw layout="layered".'
        ) from error
