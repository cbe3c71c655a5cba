"""What is read of a layer: its weights, its activations by name; and the error for what has no exported form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ncps import ops
from ncps.backend import backend_scope
from ncps.export.blocks import Array

STEPPING = (
    "Exported are layers that compute one time step after the other: Dense, Activation, Dropout, LayerNormalization, "
    "TimeDistributed of these, and LTC, CfC, CTRNN, NeuralODE, MixedMemory and StackedRNNCells of their cells"
)


def no_form(layer: Any, way_out: str, what: str = "") -> TypeError:
    """The error for a layer that cannot be exported."""
    name = getattr(layer, "name", None)
    return TypeError(
        f"{STEPPING}. Received: {type(layer).__name__}{f' {name!r}' if name else ''}{what}, which has no such form. "
        f"{way_out}."
    )


def check_finite(values: Array, model: Any, path: str) -> None:
    """Raises unless float32 holds all values of a weight.

    Raises:
        ValueError: it does not.
    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.asarray(values).astype(np.float32)).all()
    if not finite:
        raise ValueError(
            f"Expected finite weights that float32 holds. Received: {path} of {type(model).__name__} with NaN or "
            "infinity. Train it again with a smaller learning rate, or load a good file."
        )


def weight(layer: Any, name: str) -> Array:
    """A weight as the layer uses it."""
    return np.asarray(layer.read_weight(name), np.float32)


def array(layer: Any, compute: Callable[[], Any]) -> Array:
    """What a layer computes, as an array."""
    with backend_scope(layer.bound_to):
        return np.asarray(ops.convert_to_numpy(compute()), np.float32)


def activation(layer: Any, name: Any) -> str:
    """The name of an activation.

    Raises:
        TypeError: it is a function, of which nobody knows what it computes.
    """
    if name is not None and not isinstance(name, str):
        text = getattr(name, "__name__", repr(name))
        raise no_form(layer, "Name one of the activations of ncps.activations", f", whose activation is {text}")
    return name or "linear"
