"""Stand-ins for tensors: a layer that is called with one notes the call for a graph, see `ncps.Model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Shape = Sequence[int | None]


class Node(NamedTuple):
    """A noted call of a layer; its arguments hold symbols."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Symbol:
    """A tensor that a graph will have: an input, or an output of a layer.

    Args:
        shape: its shape, with the batch first; None where any size goes.
        name: of an input.
        node: the call that gives it, None for an input.
        leaf: which output of the call it is.
    """

    def __init__(self, shape: Shape, name: str | None = None, node: Node | None = None, leaf: int = 0) -> None:
        self.shape, self.name, self.node, self.leaf = tuple(shape), name, node, leaf

    def __repr__(self) -> str:
        what = f"input {self.name!r}" if self.node is None else f"output of {type(self.node.layer).__name__}"
        return f"<Symbol, {what}, shape {self.shape}>"


def noted(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The outputs of a layer for symbols: it is built for them, and the call is noted.

    Raises:
        NotImplementedError: the layer does not tell the shape of its outputs.
    """
    layer.ensure_built(args[0].shape)
    if not hasattr(layer, "compute_output_shape"):
        raise NotImplementedError(
            f"Expected {type(layer).__name__} to tell the shape of its outputs, as it is part of a graph. Received: "
            "one "
            "without compute_output_shape(self, input_shape). Define it."
        )
    node = Node(layer, args, {name: value for name, value in kwargs.items() if value is not None})
    shapes = layer.compute_output_shape(args[0].shape)
    if any(isinstance(part, (tuple, list)) for part in shapes):
        return tuple(Symbol(shape, node=node, leaf=i) for i, shape in enumerate(shapes))
    return Symbol(shapes, node=node)
