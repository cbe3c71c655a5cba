"""One step of training, with the autodiff and the Adam of the model's own framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ncps.backend import NCPSBackend, backend_scope, training_mode

Loss = Callable[..., Any]


def training_step(
    model: Any, loss: Loss, learning_rate: float = 1e-3, clip_norm: float | None = None
) -> Callable[..., Any]:
    """A function that makes one step of Adam (epsilon 1e-7, as in Keras) on a batch and returns the loss.

    Compiled where that is the framework's custom: jax, mlx, tensorflow, and keras on them.

    Args:
        model: a layer that is built.
        loss: ``loss(model, *batch)`` is a scalar tensor, written against `ncps.ops`.
        learning_rate: of Adam.
        clip_norm: limit of the norm of all gradients together.

    Raises:
        UnsupportedOperationError: on NumPy.
        ValueError: the model is not built.

    Example:
        >>> step = training_step(model, lambda model, x, y: ops.mean((model(x) - y) ** 2))  # doctest: +SKIP
        >>> step(x, y)  # doctest: +SKIP
    """
    backend = backend_of(model)
    if not model.built:
        raise ValueError("Expected a model that is built: call it once, or give its layers input_size=.")

    def training_loss(model: Any, *batch: Any) -> Any:
        with training_mode(True), backend_scope(backend):
            return loss(model, *batch)

    with backend_scope(backend):
        return NCPSBackend.active_ops()["training_step"](model, training_loss, learning_rate, clip_norm)


def backend_of(model: Any) -> str:
    """The backend that a model lives on; what is no layer of ours is Keras' own."""
    return getattr(model, "bound_to", None) or "keras"
