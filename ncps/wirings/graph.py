"""Wirings as graphs of networkx."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from networkx import DiGraph

    from ncps.wirings.wiring import Wiring

_POLARITIES = {1: "excitatory", -1: "inhibitory"}


def import_viz(name: str) -> ModuleType:
    """Imports a module that only drawing needs.

    Raises:
        ImportError: if it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Expected {name} to be installed, which graphs and pictures need. Received: {error}. "
            'Install it with: pip install "ncps[viz]"'
        ) from error


def directed_graph(wiring: Wiring, include_sensory_neurons: bool) -> DiGraph:
    """Returns a built wiring as a directed graph; see `Wiring.get_graph`."""
    graph = import_viz("networkx").DiGraph()
    for neuron in range(wiring.units):
        graph.add_node(f"neuron_{neuron}", neuron_type=wiring.get_type_of_neuron(neuron))
    sensory = wiring.sensory_adjacency_matrix
    if include_sensory_neurons and sensory is not None:
        graph.add_nodes_from((f"sensory_{i}" for i in range(len(sensory))), neuron_type="sensory")
        _add_synapses(graph, "sensory", sensory)
    _add_synapses(graph, "neuron", wiring.adjacency_matrix)
    return graph


def _add_synapses(graph: DiGraph, source_kind: str, polarities: np.ndarray) -> None:
    for source, target in np.argwhere(polarities):
        polarity = _POLARITIES[int(np.sign(polarities[source, target]))]
        graph.add_edge(f"{source_kind}_{source}", f"neuron_{target}", polarity=polarity)
