"""What the workers pass around: networks of any library, and functions that run them once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Run = Callable[[], Any]  # runs once, and returns when the result is there
Ways = dict[str, Run]  # the ways in which users of a framework may run the same; the fastest counts
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


class Model(NamedTuple):
    """A network of any library. The functions take the layer, since compilers of jax hand them another one.

    Attributes:
        layer: the framework's module.
        outputs: of a layer and sequences (B, T, F): the outputs of all steps.
        steps: ways to take one step, by name: functions of a layer, inputs (1, F) and a state, None at the start, that
            return outputs and the state.
    """

    layer: Any
    outputs: Callable[[Any, Any], Any]
    steps: dict[str, Step]
