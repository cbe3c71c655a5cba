"""Losses as in Keras: by name or as objects, with sample weights and masks, written once for all backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ncps import ops
from ncps.naming import find, snake_case
from ncps.serialization import register_serializable

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "FunctionLoss",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
]

Tensor = Any
EPSILON = 1e-7  # how near to 0 and 1 probabilities may come, as in Keras


@dataclass(frozen=True)
class Loss:
    """Base of the losses: `call` gives the values of all samples, calling the loss their mean.

    A loss of your own defines `call`, or is a plain function ``(y_true, y_pred)`` of the same meaning.

    Example:
        >>> class Quartic(Loss):
        ...     def call(self, y_true, y_pred):
        ...         return ops.mean((y_true - y_pred) ** 4, axis=-1)
        >>> float(Quartic()(np.float32([[1], [2]]), np.float32([[1], [4]])))
        8.0
    """

    @property
    def name(self) -> str:
        """``"mean_squared_error"`` for `MeanSquaredError`."""
        return snake_case(type(self).__name__)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample, or for each sample and time step: the last axis is reduced."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(self, y_true, y_pred). Define it.")

    def counted(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """Which values of `call` count, True or False for each; None, as here, if all do."""
        return None

    def evaluated(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor | None]:
        """The values of all samples (and time steps), and which of them count."""
        return evaluate(lambda *pair: (self.call(*pair), self.counted(*pair)), y_true, y_pred)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Mean over all samples and time steps.

        Args:
            y_true: targets, of the shape of the predictions or without their last axis of length 1.
            y_pred: predictions (B, ..., F).
            sample_weight: factors (B,) or (B, T); the divisor is the number of values, not the sum of these.
            mask: (B, T), False where a series is padded; left aside where there is no value for each step.

        Returns:
            A scalar.

        Raises:
            ValueError: the shapes do not fit.
        """
        values, counted = self.evaluated(y_true, y_pred)
        return mean_of(values, sample_weight, both(mask, counted, values))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return dict(vars(self))


def evaluate(function: Callable[[Tensor, Tensor], Any], y_true: Tensor, y_pred: Tensor) -> Any:
    """``function(y_true, y_pred)`` of tensors; predictions of half precision are widened first."""
    y_pred = ops.convert_to_tensor(y_pred)
    if ops.dtype(y_pred) in ("float16", "bfloat16"):
        y_pred = ops.cast(y_pred, "float32")
    return function(ops.convert_to_tensor(y_true), y_pred)


def alike(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Targets in the type and the rank of the predictions, and the predictions.

    Raises:
        ValueError: their shapes differ; frameworks would broadcast them to something that nobody meant.
    """
    if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
        y_pred = ops.expand_dims(y_pred, -1)
    if not same_shape(y_true.shape, y_pred.shape):
        raise ValueError(
            f"Expected targets of the shape of the predictions. Received: targets {tuple(y_true.shape)}, predictions "
            f"{tuple(y_pred.shape)}. Targets of every step need return_sequences=True in the last layer over time; "
            "else give those of the last."
        )
    return ops.cast(y_true, ops.dtype(y_pred)), y_pred


def same_shape(one: Any, other: Any) -> bool:
    """Whether two shapes agree, as far as a compiler that leaves sizes open lets one see."""
    return len(one) == len(other) and all(a == b or a is None or b is None for a, b in zip(one, other, strict=True))


def both(mask: Tensor | None, counted: Tensor | None, values: Tensor) -> Tensor | None:
    """A mask (B, T) and which of the values count, in one mask; None if all do."""
    if mask is None or counted is None or len(values.shape) < len(mask.shape):
        return mask if counted is None else counted
    return ops.logical_and(broadcast(ops.convert_to_tensor(mask), values), counted)


def totals(values: Tensor, sample_weight: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum of the values times their weights, and the number of those that no mask leaves out.

    Args:
        values: (B,) or (B, T, ...).
        sample_weight: (B,) or (B, T).
        mask: (B, T); for values without time steps it is left aside.
    """
    if mask is not None and len(values.shape) >= len(mask.shape):
        mask = broadcast(ops.convert_to_tensor(mask), values)
        values = ops.where(mask, values, ops.zeros_like(values))  # not a product: padding may hold NaN
        count = ops.sum(ops.cast(mask, ops.dtype(values)))
    else:
        count = ops.sum(ops.ones_like(values))
    if sample_weight is not None:
        weight = ops.cast(ops.convert_to_tensor(sample_weight), ops.dtype(values))
        values = values * broadcast(weight, values)
    return ops.sum(values), count


def broadcast(factor: Tensor, values: Tensor) -> Tensor:
    """`factor` (B,) or (B, T) in the shape of `values` (B, T, ...).

    Raises:
        ValueError: its shape is not the beginning of theirs.
    """
    if len(factor.shape) == len(values.shape) + 1 and factor.shape[-1] == 1:
        factor = ops.squeeze(factor, -1)
    if not same_shape(factor.shape, tuple(values.shape)[: len(factor.shape)]):
        raise ValueError(
            f"Expected sample weights and masks of a shape that {tuple(values.shape)} begins with. Received: "
            f"{tuple(factor.shape)}. Give one for each sample (B,), or for each step (B, T)."
        )
    for _ in range(len(values.shape) - len(factor.shape)):
        factor = ops.expand_dims(factor, -1)
    return ops.broadcast_to(factor, ops.shape(values))


def mean_of(values: Tensor, sample_weight: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
    """Mean of the values that no mask leaves out, 0 if there are none."""
    total, count = totals(values, sample_weight, mask)
    return total / ops.maximum(count, 1.0)


# ---- regression


@register_serializable("ncps.losses")
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """(y - ŷ)², averaged over the last axis.

    Example:
        >>> float(MeanSquaredError()(np.float32([[0, 1]]), np.float32([[0, 3]])))
        2.0
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


@register_serializable("ncps.losses")
@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """|y - ŷ|, averaged over the last axis.

    Example:
        >>> float(MeanAbsoluteError()(np.float32([[0, 1]]), np.float32([[0, 3]])))
        1.0
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        return ops.mean(ops.absolute(y_true - y_pred), axis=-1)


@register_serializable("ncps.losses")
@dataclass(frozen=True)
class Huber(Loss):
    """e² / 2 where |e| ≤ δ, else δ |e| - δ² / 2, with e = y - ŷ, averaged over the last axis.

    Args:
        delta: δ, from where on errors count linearly.

    Source: Huber (1964), Robust estimation of a location parameter.

    Example:
        >>> float(Huber(delta=1.0)(np.float32([[0, 0]]), np.float32([[1, 3]])))
        1.5
    """

    delta: float = 1.0

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        error = ops.absolute(y_true - y_pred)
        small = ops.minimum(error, self.delta)
        return ops.mean(small * (error - 0.5 * small), axis=-1)


# ---- classification


@register_serializable("ncps.losses")
@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """-y log p - (1 - y) log(1 - p), averaged over the last axis.

    Args:
        from_logits: predictions are x with p = sigmoid(x), which is exact for any x; else they are p.
        label_smoothing: this share of the targets becomes 1/2.

    Example:
        >>> round(float(BinaryCrossentropy(from_logits=True)(np.float32([[1]]), np.float32([[0]]))), 4)
        0.6931
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        y_true = y_true * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        if self.from_logits:
            values = ops.relu(y_pred) - y_pred * y_true + ops.log1p(ops.exp(-ops.absolute(y_pred)))
        else:
            p = ops.clip(y_pred, EPSILON, 1 - EPSILON)
            values = -(y_true * ops.log(p) + (1 - y_true) * ops.log(1 - p))
        return ops.mean(values, axis=-1)


@register_serializable("ncps.losses")
@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """-Σ y log p over the classes, for targets that are probabilities or one-hot.

    Args:
        from_logits: predictions are x with p = softmax(x); else they are p, scaled to the sum 1.
        label_smoothing: this share of the targets is spread evenly over all classes.

    Example:
        >>> round(float(CategoricalCrossentropy()(np.float32([[0, 1]]), np.float32([[0.5, 0.5]]))), 4)
        0.6931
    """

    from_logits: bool = False
    label_smoothing: float = 0.0

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        y_true = y_true * (1 - self.label_smoothing) + self.label_smoothing / y_pred.shape[-1]
        return -ops.sum(y_true * log_probabilities(y_pred, self.from_logits), axis=-1)


@register_serializable("ncps.losses")
@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """-log p of the right class, for targets that are its number.

    Args:
        from_logits: predictions are x with p = softmax(x); else they are p, scaled to the sum 1.
        ignore_class: samples (or time steps) with this target are masked: the mean is that of the others.

    Example:
        >>> round(float(SparseCategoricalCrossentropy()(np.int32([1]), np.float32([[0.5, 0.5]]))), 4)
        0.6931
        >>> loss = SparseCategoricalCrossentropy(ignore_class=-1)
        >>> round(float(loss(np.int32([1, -1]), np.float32([[0.5, 0.5], [0.9, 0.1]]))), 4)
        0.6931
    """

    from_logits: bool = False
    ignore_class: int | None = None

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        counted, y_true = self.counted(y_true, y_pred), class_numbers(y_true, y_pred)
        if counted is not None:
            y_true = ops.where(counted, y_true, ops.zeros_like(y_true))
        chosen = ops.one_hot(y_true, y_pred.shape[-1], dtype=ops.dtype(y_pred))
        values = -ops.sum(chosen * log_probabilities(y_pred, self.from_logits), axis=-1)
        return values if counted is None else ops.where(counted, values, ops.zeros_like(values))

    def counted(self, y_true: Tensor, y_pred: Tensor) -> Tensor | None:
        """False where the target is the ignored class."""
        if self.ignore_class is None:
            return None
        return ops.not_equal(class_numbers(y_true, y_pred), self.ignore_class)


def class_numbers(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Targets (B, ...) as integers for predictions (B, ..., classes); a last axis of length 1 is dropped.

    Raises:
        ValueError: their shapes do not fit.
    """
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if not same_shape(y_true.shape, tuple(y_pred.shape)[:-1]):
        raise ValueError(
            f"Expected targets that are the number of a class, of shape {tuple(y_pred.shape)[:-1]}. Received: targets "
            f"{tuple(y_true.shape)}, predictions {tuple(y_pred.shape)}. One-hot targets go with "
            "'categorical_crossentropy'."
        )
    return ops.cast(y_true, "int32")


def log_probabilities(y_pred: Tensor, from_logits: bool) -> Tensor:
    """log p of predictions over the last axis."""
    if from_logits:
        return ops.log_softmax(y_pred, axis=-1)
    return ops.log(ops.clip(y_pred / ops.sum(y_pred, axis=-1, keepdims=True), EPSILON, 1 - EPSILON))


NAMED: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


@dataclass(frozen=True)
class FunctionLoss(Loss):
    """A user's function ``(y_true, y_pred)`` that gives one value for each sample (and time step)."""

    function: Callable[[Tensor, Tensor], Tensor]

    @property
    def name(self) -> str:
        """The function's."""
        return getattr(self.function, "__name__", "loss")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """What the function returns."""
        return self.function(y_true, y_pred)


def get(loss: str | Loss | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The loss of a name, an object as it is, or a function made one.

    Raises:
        ValueError: nobody knows the name.

    Example:
        >>> get("mse")
        MeanSquaredError()
    """
    if isinstance(loss, Loss):
        return loss
    return FunctionLoss(loss) if callable(loss) else find("loss", loss, NAMED)()
