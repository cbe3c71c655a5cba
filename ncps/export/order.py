"""Which layers a model calls, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ncps import tree
from ncps.export import keras_layers
from ncps.layers.symbols import Symbol
from ncps.models import Functional, Model
from ncps.models.functional import read
from ncps.saving import convert


def steps_of(layer: Any) -> Iterator[Any]:
    """The layers that are no models, in the order in which a model calls them."""
    if keras_layers.is_model(layer):
        try:
            inner = keras_layers.layers_in_line(layer)
        except ValueError as error:
            raise in_one_line(layer, str(error)) from None
    elif isinstance(layer, Model):
        inner = layers_called_by(layer)
    else:
        yield layer
        return
    for each in inner:
        yield from steps_of(each)


def layers_called_by(model: Any) -> list[Any]:
    """The layers that a model calls one after another, found by calling it with a symbol.

    Raises:
        ValueError: it does something else as well, or its graph branches.
    """
    if model.bound_to == "keras":  # whose layers take no symbols but its own
        model = convert(model, "numpy")
    try:
        with model.scope():
            found = model.call(symbols_for(model))
    except (TypeError, AttributeError, ValueError, NotImplementedError, RuntimeError) as error:
        raise in_one_line(model, f"{type(error).__name__}: {error}") from error
    called: list[Any] = []
    while isinstance(found, Symbol) and found.node is not None:
        node = found.node
        others = tree.flatten([node.args[1:], {name: x for name, x in node.kwargs.items() if name != "mask"}])[0]
        if any(isinstance(x, Symbol) and x.node is not None for x in others):
            raise in_one_line(model, f"{type(node.layer).__name__} with several inputs")
        called.append(node.layer)
        found = node.args[0]
    if not isinstance(found, Symbol):
        raise in_one_line(model, f"{len(tree.flatten(found)[0])} outputs")
    return called[::-1]


def symbols_for(model: Any) -> Any:
    """Symbols in place of the inputs of a model; sizes come from the built layers."""
    if isinstance(model, Functional):
        return [Symbol(tuple(each["shape"])) for each in read(model._graph)["inputs"]]
    return Symbol((None, None, None))


def in_one_line(model: Any, received: str) -> ValueError:
    """The error for a model that is more than layers after one another."""
    return ValueError(
        f"Expected {type(model).__name__} to call its layers one after another. Received: {received}. Put the layers "
        "to export into an ncps.Sequential([...])."
    )
