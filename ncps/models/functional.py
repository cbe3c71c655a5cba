"""Models as graphs of layers, for those with several inputs or outputs."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ncps import tree
from ncps.backend import NCPSBackend
from ncps.layers.containers import List
from ncps.layers.symbols import Node, Symbol
from ncps.models.model import Model
from ncps.serialization import deserialize, serialize

Tree = Any
_numbers = itertools.count()


def Input(shape: Sequence[int | None], name: str | None = None, dtype: str | None = None) -> Any:  # noqa: N802
    """An input of a graph; under keras a `keras.Input`.

    Args:
        shape: shape of one sample, such as ``(None, 3)`` for series of any length with three features.
        name: by which a dictionary of inputs gives it.
        dtype: of the tensor; layers convert to their own.

    Example:
        >>> series, elapsed = Input((None, 3), name="series"), Input((None,), name="elapsed")
        >>> outputs = Dense(1)(CfC(8)(series, timespans=elapsed))
        >>> model = Model([series, elapsed], outputs)
        >>> model.predict({"series": np.ones((4, 5, 3)), "elapsed": np.full((4, 5), 0.1)}).shape
        (4, 1)
    """
    if NCPSBackend.get_backend() == "keras":
        return NCPSBackend.active_ops()["input"](tuple(shape), name=name, dtype=dtype)
    return Symbol((None, *shape), name or f"input_{next(_numbers)}")


class Functional(Model):
    """The model of a graph, as ``ncps.Model(inputs, outputs)`` makes it.

    Args:
        inputs: symbols of `Input`: one, or a list or dictionary of some.
        outputs: what layers returned for them, in any tree.
        options: `name`.

    Raises:
        TypeError: something among them is no symbol.
        ValueError: the outputs need an input that is not among the inputs, or two inputs have one name.

    Example:
        >>> import ncps
        >>> from ncps.layers import CfC, Dense
        >>> sequences = ncps.Input((None, 3))
        >>> model = ncps.Model(sequences, Dense(2)(CfC(8)(sequences)))
        >>> type(model).__name__, model.predict(np.zeros((4, 7, 3)), verbose=0).shape
        ('Functional', (4, 2))
    """

    takes_seed = False

    def __init__(self, inputs: Tree, outputs: Tree, **options: Any) -> None:
        super().__init__(**options)
        symbols = tree.flatten(inputs)[0]
        for symbol in (*symbols, *tree.flatten(outputs)[0]):
            if not isinstance(symbol, Symbol):
                raise TypeError(
                    f"Expected inputs and outputs of a graph. Received: {type(symbol).__qualname__}. Begin with "
                    "ncps.Input(...), and call layers with what it returns."
                )
        nodes = list(in_order(outputs))
        layers = list({id(node.layer): node.layer for node in nodes}.values())
        self.layers = List(layers)
        names = [symbol.name for symbol in symbols]
        if len(set(names)) < len(names):
            raise ValueError(
                f"Expected inputs of different names. Received: {', '.join(map(str, names))}. Give each its own name=."
            )
        self._graph = json.dumps(written(symbols, nodes, layers, outputs))  # text, as frameworks look into containers

    def build(self, input_shape: Any) -> None:
        """Nothing: the layers were built when they were called with symbols."""

    def defines_build(self) -> bool:
        """No: it is as built as its layers."""
        return False

    def call(self, inputs: Tree, training: bool | None = None) -> Tree:
        """Runs the layers.

        Args:
            inputs: tensors in the order of the inputs, by their names, or a single one.
            training: reaches all layers.

        Raises:
            ValueError: there are others than those of the graph.
        """
        graph, layers = read(self._graph), list(self.layers)
        values = by_name([each["name"] for each in graph["inputs"]], inputs)
        results: list[Any] = []
        for node in graph["nodes"]:
            args, kwargs = filled(node["args"], values, results), filled(node["kwargs"], values, results)
            results.append(tree.flatten(layers[node["layer"]](*args, **kwargs))[0])
        return filled(graph["outputs"], values, results)

    def get_config(self) -> dict[str, Any]:
        """The layers, and the graph as data."""
        layers = [serialize(layer) for layer in self.layers]
        return {"layers": layers, "graph": read(self._graph), **self.native_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The model of the same graph, on the active backend."""
        layers, graph = [deserialize(layer) for layer in config["layers"]], config["graph"]
        inputs = {each["name"]: Input(each["shape"][1:], each["name"]) for each in graph["inputs"]}
        results: list[Any] = []
        for node in graph["nodes"]:
            args, kwargs = filled(node["args"], inputs, results), filled(node["kwargs"], inputs, results)
            results.append(tree.flatten(layers[node["layer"]](*args, **kwargs))[0])
        options = {name: config[name] for name in config.keys() - {"layers", "graph"}}
        return Functional(list(inputs.values()), filled(graph["outputs"], inputs, results), **options)


def in_order(outputs: Tree) -> Iterator[Node]:
    """The calls that outputs need, each after those that it needs itself."""
    seen: set[int] = set()

    def visit(needed: Tree) -> Iterator[Node]:
        for symbol in tree.flatten(needed)[0]:
            if isinstance(symbol, Symbol) and symbol.node is not None and id(symbol.node) not in seen:
                seen.add(id(symbol.node))
                yield from visit((symbol.node.args, symbol.node.kwargs))
                yield symbol.node

    return visit(outputs)


def written(inputs: list[Symbol], nodes: list[Node], layers: list[Any], outputs: Tree) -> dict[str, Any]:
    """A graph as data: symbols are the name of an input, or the number of a call and of its output.

    Raises:
        ValueError: an input is missing.
    """
    places = {id(node): k for k, node in enumerate(nodes)}

    def place(symbol: Any) -> Any:
        if not isinstance(symbol, Symbol):
            return symbol
        if symbol.node is not None:
            return {"call": places[id(symbol.node)], "leaf": symbol.leaf}
        if symbol not in inputs:
            raise ValueError(
                f"Expected all inputs that the outputs need. Received: {inputs}, without {symbol}. Add it to inputs."
            )
        return {"input": symbol.name}

    numbers = {id(layer): i for i, layer in enumerate(layers)}
    return {
        "inputs": [{"name": symbol.name, "shape": symbol.shape} for symbol in inputs],
        "nodes": [
            {
                "layer": numbers[id(node.layer)],
                "args": tree.map(place, node.args),
                "kwargs": tree.map(place, node.kwargs),
            }
            for node in nodes
        ],
        "outputs": tree.map(place, outputs),
    }


@functools.cache
def read(graph: str) -> dict[str, Any]:
    """A graph from its text."""
    return json.loads(graph)


def filled(data: Any, inputs: Mapping[str, Any], results: Sequence[Sequence[Any]]) -> Any:
    """Data of a graph with values in place of the symbols."""
    if isinstance(data, list):
        return [filled(item, inputs, results) for item in data]
    if not isinstance(data, dict):
        return data
    if set(data) == {"input"}:
        return inputs[data["input"]]
    if set(data) == {"call", "leaf"}:
        return results[data["call"]][data["leaf"]]
    return {name: filled(item, inputs, results) for name, item in data.items()}


def by_name(names: Sequence[str], inputs: Tree) -> dict[str, Any]:
    """The inputs of a call by their names.

    Raises:
        ValueError: these are others, or of another number.
    """
    if isinstance(inputs, Mapping):
        found = dict(inputs)
    else:
        listed = inputs if isinstance(inputs, (tuple, list)) else [inputs]
        found = dict(zip(names, listed, strict=False)) if len(listed) == len(names) else {}
    if set(found) != set(names):
        received = sorted(inputs) if isinstance(inputs, Mapping) else f"{len(listed)} without names"
        raise ValueError(
            f"Expected the inputs {', '.join(names)}, in this order or by name. Received: {received}. Give a tuple of "
            f"{len(names)}, or a dictionary with these names."
        )
    return found
