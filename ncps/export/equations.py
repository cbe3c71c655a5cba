"""Which known layer computes the same as one of a class that derives from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncps.layers.layer import Layer

# What a subclass may define anew without changing what is computed: how it is made, and what it is called.
OWN = frozenset({
    "arguments", "compute_mask", "compute_output_shape", "from_config", "get_config", "make_cell", "recomputes",
    "sequence_op",
})  # fmt: skip
ENTRIES = frozenset({"__call__", "forward"})  # the frameworks' own ways in, which `call` and `step` stand behind


def known_form(layer: Layer, forms: Mapping[Any, Any]) -> Any:
    """What a table has for the class of a layer, or for the nearest class that it derives from unchanged.

    A subclass computes the same unless it defines one of the methods anew that make up the equation. The ways in that
    frameworks have count too, except where the library itself defines them: the faces in `ncps.torch`, `ncps.keras` and
    `ncps.tf` take their arguments in another order, and compute the same.

    Returns:
        The entry; None where the table has no such class, or the equation is another.
    """
    lineage = type(layer).__mro__
    for i, known in enumerate(lineage):
        if known in forms:
            equation = names_of(known)
            return None if any(changed(each, equation) for each in lineage[:i]) else forms[known]
    return None


def names_of(known: type) -> frozenset[str]:
    """The names of the methods and attributes that a layer class, and those it derives from, define."""
    own = [vars(each) for each in known.__mro__ if issubclass(each, Layer) and each is not Layer]
    return frozenset(name for name in {"call"}.union(*own) - OWN if not name.startswith("__"))


def changed(cls: type, equation: frozenset[str]) -> bool:
    """Whether a class defines a part of an equation anew; what binds a layer to its framework does not."""
    if vars(cls).get("bound_to"):
        return False
    ours = cls.__module__.partition(".")[0] == __name__.partition(".")[0]
    return bool(vars(cls).keys() & (equation if ours else equation | ENTRIES))
