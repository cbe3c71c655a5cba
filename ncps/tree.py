"""Trees of tensors: nested tuples, lists, dicts and named tuples. None is a tree without leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Tree = Any
Structure = Any  # the tree with `LEAF` in place of every leaf
LEAF = "leaf"


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """The leaves of `tree` in order, and its structure.

    Example:
        >>> flatten({"b": 1, "a": (2, None)})
        ([2, 1], {'a': ('leaf', None), 'b': 'leaf'})
    """
    leaves: list[Any] = []

    def walk(node: Tree) -> Structure:
        if node is None:
            return None
        if type(node) is dict:
            return {key: walk(node[key]) for key in sorted(node)}
        if isinstance(node, (tuple, list)):
            return like(node, [walk(child) for child in node])
        leaves.append(node)
        return LEAF

    return leaves, walk(tree)


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Tree:
    """The tree of `structure` with these leaves."""
    rest: Iterator[Any] = iter(leaves)

    def walk(node: Structure) -> Tree:
        if node is None:
            return None
        if type(node) is dict:
            return {key: walk(child) for key, child in node.items()}
        if isinstance(node, (tuple, list)):
            return like(node, [walk(child) for child in node])
        return next(rest)

    return walk(structure)


def map(function: Callable[..., Any], *trees: Tree) -> Tree:  # noqa: A001 - read as tree.map
    """Applies `function` to the corresponding leaves of trees of one structure.

    Raises:
        ValueError: the structures differ.

    Example:
        >>> map(lambda a, b: a + b, (1, [2]), (10, [20]))
        (11, [22])
    """
    if len(trees) == 1:
        return map_one(function, trees[0])
    leaves, structure = flatten(trees[0])
    rest = [flatten(tree) for tree in trees[1:]]
    for _, other in rest:
        if other != structure:
            raise ValueError(
                f"Expected trees of one structure. Received: {structure} and {other}. Give both as lists or tuples "
                "of the same lengths, or dictionaries of the same keys."
            )
    return unflatten(structure, [function(*x) for x in zip(leaves, *(other for other, _ in rest), strict=True)])


def map_one(function: Callable[[Any], Any], node: Tree) -> Tree:
    """`map` over a single tree, which needs no look at its structure."""
    if node is None:
        return None
    if type(node) is dict:
        return {key: map_one(function, node[key]) for key in sorted(node)}
    if isinstance(node, (tuple, list)):
        return like(node, [map_one(function, child) for child in node])
    return function(node)


def like(node: Tree, children: list[Any]) -> Tree:
    """`children` in a container of the type of `node`: tuple, list or named tuple."""
    if hasattr(node, "_fields"):
        return type(node)(*children)
    return tuple(children) if isinstance(node, tuple) else children


def is_arrays(x: Any) -> bool:
    """Whether `x` is an array or a tuple, list or dictionary of some, and not something that gives batches."""
    if isinstance(x, Mapping):
        return len(x) > 0 and all(is_arrays(part) for part in x.values())
    if isinstance(x, (tuple, list)):
        return len(x) > 0 and all(hasattr(part, "shape") for part in x)
    return hasattr(x, "shape") and hasattr(x, "__getitem__")
