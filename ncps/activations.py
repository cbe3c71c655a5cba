"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ncps import ops
from ncps.naming import nearest

__all__ = [
    "get",
]

NAMED: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": ops.relu,
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "lecun_tanh": ops.lecun_tanh,
    "softplus": ops.softplus,
    "silu": ops.silu,
    "gelu": ops.gelu,  # by tanh
    "gelu_exact": lambda x: ops.gelu(x, approximate=False),
    "elu": ops.elu,
    "leaky_relu": ops.leaky_relu,
    "softmax": ops.softmax,
    "exp": ops.exp,
}


def get(activation: str | Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """The activation of a name, or the function itself; None is linear.

    Raises:
        ValueError: nobody knows the name.

    Example:
        >>> get("relu")([-1.0, 2.0])
        array([0., 2.], dtype=float32)
    """
    if callable(activation):
        return activation
    if activation is None:
        return NAMED["linear"]
    if activation not in NAMED:
        raise ValueError(
            f"Expected an activation out of {', '.join(NAMED)}, or a function. Received: {activation!r}. "
            f"{nearest(activation, NAMED)}"
        )
    return NAMED[activation]
