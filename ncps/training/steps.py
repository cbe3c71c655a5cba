"""What happens to gradients between the backward pass and the optimizer: written once for all backends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ncps import ops, tree
from ncps.backend import NCPSBackend, backend_scope, training_mode
from ncps.errors import UnsupportedOperationError
from ncps.optimizers import Adam, Optimizer

Tensor = Any
Carry = dict[str, Any]


class Compilation(NamedTuple):
    """How steps are compiled, as `compile` was told."""

    jit_compile: bool | str = "auto"
    run_eagerly: bool = False
    mixed_precision: str | None = None

    @property
    def eager(self) -> bool:
        """Whether frameworks that compile by custom shall not."""
        return self.run_eagerly or self.jit_compile is False

    @property
    def asked_for(self) -> bool:
        """Whether frameworks that do not by custom shall."""
        return self.jit_compile is True and not self.run_eagerly

    def in_one_precision(self, framework: str) -> Compilation:
        """This, for frameworks that mix no precisions.

        Raises:
            UnsupportedOperationError: it was asked for.
        """
        if self.mixed_precision is None:
            return self
        raise UnsupportedOperationError(
            f"Expected mixed_precision=None on {framework}. Received: {self.mixed_precision!r}. Train on torch, or "
            'under keras with layers of dtype="mixed_bfloat16"; elsewhere dtype="bfloat16" has all in this type.'
        )


def counters() -> Carry:
    """Steps made, and steps made before the first whose loss or gradients were not finite."""
    return {"steps": np.int32(0), "healthy": np.int32(0)}


def prepare(
    optimizer: Any, loss: Tensor, gradients: Sequence[Tensor], carry: Carry
) -> tuple[list[Tensor], Tensor, Carry]:
    """The gradients within the limits of the optimizer, whether the step shall be taken, and what is carried on.

    After the first step with a loss or a gradient that is not finite none is taken any more, so that the weights stay
    as they were before it, however much later somebody looks.
    """
    norm = global_norm(gradients)
    steps, healthy = carry["steps"], carry["healthy"]
    finite = ops.logical_and(ops.isfinite(loss), ops.isfinite(norm))
    taken = ops.logical_and(finite, ops.equal(healthy, steps))
    carry = {**carry, "steps": steps + 1, "healthy": healthy + ops.cast(taken, ops.dtype(healthy))}
    return limited(gradients, optimizer, norm) if isinstance(optimizer, Optimizer) else list(gradients), taken, carry


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together."""
    total = None
    for gradient in gradients:
        part = ops.sum(ops.square(ops.cast(gradient, "float32")))
        total = part if total is None else total + part
    return ops.sqrt(total)


def limited(gradients: Sequence[Tensor], optimizer: Optimizer, norm: Tensor) -> list[Tensor]:
    """The gradients within `clipnorm`, `clipvalue` or `global_clipnorm` of the optimizer."""
    if optimizer.global_clipnorm:
        return [scaled(g, norm, optimizer.global_clipnorm) for g in gradients]
    if optimizer.clipnorm:
        return [scaled(g, global_norm([g]), optimizer.clipnorm) for g in gradients]
    if optimizer.clipvalue:
        return [ops.clip(g, -optimizer.clipvalue, optimizer.clipvalue) for g in gradients]
    return list(gradients)


def scaled(gradient: Tensor, norm: Tensor, limit: float) -> Tensor:
    """The gradient times limit / norm where the norm is larger."""
    return gradient * ops.cast(limit / ops.maximum(norm, limit), ops.dtype(gradient))


def training_step(
    model: Any, loss: Callable[..., Any], learning_rate: float = 1e-3, clip_norm: float | None = None
) -> Callable[..., Any]:
    """A function that makes one step of Adam (epsilon 1e-7, as in Keras) on a batch and returns the loss.

    Compiled where that is the framework's custom: jax, mlx, tensorflow, and keras on them. For epochs, metrics and
    callbacks see `ncps.Model`.

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
        raise ValueError(
            f"Expected a model that is built. Received: {type(model).__name__}, not built. Call it once, or give its "
            "layers input_size=."
        )

    def training_loss(model: Any, *batch: Any) -> Any:
        with training_mode(True), backend_scope(backend):
            return loss(model, *batch)

    with backend_scope(backend):
        own = NCPSBackend.active_ops()
        if "training_step" in own:
            return own["training_step"](model, training_loss, learning_rate, clip_norm)
        adam = Adam(learning_rate, global_clipnorm=clip_norm)
        return loss_of(own["optimizer"](model, adam), training_loss)


def loss_of(optimizer: Any, loss: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a batch that makes a step of a bound optimizer and returns the loss."""

    def objective(model: Any, carry: Carry, batch: Any) -> Any:
        value = loss(model, *batch)
        return value, {**carry, "loss": ops.stop_gradient(value)}

    update = optimizer.step(objective, functools.partial(prepare, optimizer.given), Compilation())
    start: Carry = {}

    def step(*batch: Any) -> Any:
        with optimizer.model.scope():
            if not start:
                start.update(tree.map(ops.convert_to_tensor, {**counters(), "loss": np.float32(0)}))
            return update(start, tree.map(ops.convert_to_tensor, batch))["loss"]

    return step


def backend_of(model: Any) -> str:
    """The backend that a model lives on; what is no layer of ours is Keras' own."""
    return getattr(model, "bound_to", None) or "keras"
