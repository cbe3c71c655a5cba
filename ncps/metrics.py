"""Metrics as in Keras, by name or as objects: sums that a training step carries on, whichever backend runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncps import losses, ops
from ncps.losses import Loss, alike, broadcast, class_numbers
from ncps.naming import find, snake_case
from ncps.serialization import deserialize, register_serializable, serialize

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "FunctionMetric",
    "LossMetric",
    "MeanAbsoluteError",
    "MeanMetric",
    "MeanSquaredError",
    "Metric",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "get",
]

Tensor = Any
State = tuple[Any, ...]


@dataclass(frozen=True)
class Metric:
    """Base of the metrics: pure functions of a state, which is a tuple of sums.

    The state goes through the compiled training step, so that nothing waits for a number before the epoch ends.

    Example:
        >>> metric = MeanAbsoluteError()
        >>> state = metric.update(metric.start(), np.float32([[1]]), np.float32([[3]]))
        >>> float(metric.result(metric.update(state, np.float32([[1]]), np.float32([[1]]))))
        1.0
    """

    @property
    def name(self) -> str:
        """``"mean_squared_error"`` for `MeanSquaredError`."""
        return snake_case(type(self).__name__)

    def start(self) -> State:
        """The state before the first batch, as NumPy arrays."""
        raise NotImplementedError(f"{type(self).__name__} does not define start(self).")

    def update(
        self,
        state: State,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> State:
        """The state after one more batch, computed with `ncps.ops`."""
        raise NotImplementedError(f"{type(self).__name__} does not define update(self, state, y_true, y_pred, ...).")

    def result(self, state: State) -> Tensor:
        """The number that a state stands for, computed with `ncps.ops`."""
        raise NotImplementedError(f"{type(self).__name__} does not define result(self, state).")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return dict(vars(self))


@dataclass(frozen=True)
class MeanMetric(Metric):
    """Base of the metrics that are a mean over the samples: `call` gives the values, as in a loss.

    Example:
        >>> class Bias(MeanMetric):
        ...     def call(self, y_true, y_pred):
        ...         return ops.mean(y_pred - y_true, axis=-1)
        >>> metric = Bias()
        >>> state = metric.update(metric.start(), np.float32([[1.0], [2.0]]), np.float32([[3.0], [2.0]]))
        >>> float(metric.result(state))
        1.0
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        raise NotImplementedError(f"{type(self).__name__} does not define call(self, y_true, y_pred).")

    def evaluated(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor | None]:
        """The values of all samples (and time steps), and which of them count; None, as here, if all do."""
        return losses.evaluate(self.call, y_true, y_pred), None

    def start(self) -> State:
        """Zeros: the weighted sum of the values, and that of the weights."""
        return np.float32(0), np.float32(0)

    def update(
        self,
        state: State,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> State:
        """Adds a batch."""
        values, counted = self.evaluated(y_true, y_pred)
        weights = weights_like(values, sample_weight, losses.both(mask, counted, values))
        values = ops.where(ops.greater(weights, 0), values, ops.zeros_like(values))  # padding may hold NaN
        return add(state, (ops.sum(values * weights), ops.sum(weights)))

    def result(self, state: State) -> Tensor:
        """The mean, 0 of nothing."""
        return ratio(*state)


def weights_like(values: Tensor, sample_weight: Tensor | None, mask: Tensor | None) -> Tensor:
    """What each value counts: its sample's weight, 0 where it is masked."""
    weights = ops.ones_like(values)
    if mask is not None and len(values.shape) >= len(mask.shape):
        weights = ops.cast(broadcast(ops.convert_to_tensor(mask), values), ops.dtype(values))
    if sample_weight is not None:
        weights = weights * broadcast(ops.cast(ops.convert_to_tensor(sample_weight), ops.dtype(values)), values)
    return weights


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, 0 where b is not above 0."""
    some = ops.greater(b, 0)
    return ops.where(some, a / ops.where(some, b, ops.ones_like(b)), ops.zeros_like(b))


def add(state: State, more: State) -> State:
    """The sums of two states, in the type of the first."""
    return tuple(total + ops.cast(part, ops.dtype(total)) for total, part in zip(state, more, strict=True))


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class MeanSquaredError(MeanMetric):
    """Mean of (y - ŷ)².

    Example:
        >>> metric = MeanSquaredError()
        >>> state = metric.update(metric.start(), np.float32([[1.0]]), np.float32([[3.0]]))
        >>> float(metric.result(state))
        4.0
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        return losses.MeanSquaredError().call(y_true, y_pred)


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class MeanAbsoluteError(MeanMetric):
    """Mean of |y - ŷ|.

    Example:
        >>> metric = MeanAbsoluteError()
        >>> state = metric.update(metric.start(), np.float32([[1.0]]), np.float32([[3.0]]))
        >>> float(metric.result(state))
        2.0
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        return losses.MeanAbsoluteError().call(y_true, y_pred)


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class RootMeanSquaredError(MeanSquaredError):
    """Square root of the mean of (y - ŷ)².

    Example:
        >>> metric = RootMeanSquaredError()
        >>> state = metric.update(metric.start(), np.float32([[1.0]]), np.float32([[3.0]]))
        >>> float(metric.result(state))
        2.0
    """

    def result(self, state: State) -> Tensor:
        """The root."""
        return ops.sqrt(super().result(state))


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class BinaryAccuracy(MeanMetric):
    """Share of the predictions on the right side of a threshold.

    Args:
        threshold: probabilities above it are the class 1; 0 for logits.

    Example:
        >>> metric = BinaryAccuracy(threshold=0.0)
        >>> state = metric.update(metric.start(), np.float32([[1], [0]]), np.float32([[2.0], [3.0]]))
        >>> float(metric.result(state))
        0.5
    """

    threshold: float = 0.5

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        chosen = ops.cast(ops.greater(y_pred, self.threshold), ops.dtype(y_pred))
        return ops.mean(ops.cast(ops.equal(y_true, chosen), ops.dtype(y_pred)), axis=-1)


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class CategoricalAccuracy(MeanMetric):
    """Share of the samples whose largest prediction is at the largest target.

    Example:
        >>> metric = CategoricalAccuracy()
        >>> state = metric.update(metric.start(), np.float32([[0, 1], [1, 0]]), np.float32([[0.2, 0.8], [0.4, 0.6]]))
        >>> float(metric.result(state))
        0.5
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        y_true, y_pred = alike(y_true, y_pred)
        return hits(ops.argmax(y_true, axis=-1), y_pred)


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class SparseCategoricalAccuracy(MeanMetric):
    """Share of the samples whose largest prediction is that of the right class, whose number is the target.

    Example:
        >>> metric = SparseCategoricalAccuracy()
        >>> state = metric.update(metric.start(), np.int32([1, 0]), np.float32([[0.2, 0.8], [0.4, 0.6]]))
        >>> float(metric.result(state))
        0.5
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        return hits(class_numbers(y_true, y_pred), y_pred)


def hits(wanted: Tensor, y_pred: Tensor) -> Tensor:
    """1 where the largest prediction is at the wanted class, else 0."""
    right = ops.equal(ops.cast(wanted, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
    return ops.cast(right, ops.dtype(y_pred))


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class Accuracy(MeanMetric):
    """The accuracy that fits the shapes, as Keras chooses it for the name ``"accuracy"``.

    Binary for predictions with a last axis of length 1, sparse for targets that are the number of a class, else
    categorical.

    Example:
        >>> metric = Accuracy()
        >>> float(metric.result(metric.update(metric.start(), np.int32([1, 0]), np.float32([[0.2, 0.8], [0.4, 0.6]]))))
        0.5
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One value for each sample (and time step)."""
        if y_pred.shape[-1] == 1:
            return BinaryAccuracy().call(y_true, y_pred)
        sparse = len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1
        return (SparseCategoricalAccuracy() if sparse else CategoricalAccuracy()).call(y_true, y_pred)


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class AUC(Metric):
    """Area under the curve of a binary classifier, from the counts at evenly spaced thresholds, as in Keras.

    Args:
        num_thresholds: number of thresholds between 0 and 1: as many steps has the curve.
        curve: ``"ROC"`` (true positives against false positives) or ``"PR"`` (precision against recall, interpolated).
        from_logits: predictions are logits, else probabilities.

    Source: Davis and Goadrich (2006), The relationship between precision-recall and ROC curves, section 4.

    Example:
        >>> metric = AUC()
        >>> state = metric.update(metric.start(), np.float32([0, 0, 1, 1]), np.float32([0, 0.5, 0.3, 0.9]))
        >>> round(float(metric.result(state)), 3)
        0.75
    """

    num_thresholds: int = 200
    curve: str = "ROC"
    from_logits: bool = False

    def __post_init__(self) -> None:
        if self.num_thresholds < 2 or self.curve not in ("ROC", "PR"):
            raise ValueError(
                "Expected num_thresholds of at least 2 and curve='ROC' or 'PR'. Received: "
                f"num_thresholds={self.num_thresholds!r}, curve={self.curve!r}. Leave them out for 200 and 'ROC'."
            )

    @property
    def name(self) -> str:
        """``"auc"``."""
        return "auc"

    def start(self) -> State:
        """Zeros: weights of the positives and negatives by the number of thresholds below their prediction."""
        return np.zeros(self.num_thresholds + 1, np.float32), np.zeros(self.num_thresholds + 1, np.float32)

    def update(
        self,
        state: State,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> State:
        """Adds a batch."""
        y_true, y_pred = losses.evaluate(alike, y_true, y_pred)
        p = ops.sigmoid(y_pred) if self.from_logits else y_pred
        weights = weights_like(p, sample_weight, mask)
        p = ops.where(ops.greater(weights, 0), p, ops.zeros_like(p))
        # The first threshold lies just below 0, the last just above 1; those between at i / (n - 1).
        below = ops.cast(ops.ceil(ops.clip(p, 0.0, 1.0) * (self.num_thresholds - 1)), "int32")
        below = ops.reshape(ops.clip(below, 1, self.num_thresholds - 1), (-1,))
        chosen = ops.one_hot(below, self.num_thresholds + 1, dtype=ops.dtype(p))
        parts = (ops.reshape(weights * part, (1, -1)) for part in (y_true, 1 - y_true))
        return add(state, tuple(ops.reshape(ops.matmul(part, chosen), (-1,)) for part in parts))

    def result(self, state: State) -> Tensor:
        """The area; 0 as long as one of the classes has not occurred."""
        positives, negatives = map(above_thresholds, state)
        if self.curve == "PR":
            return interpolated_precision(positives, negatives)
        hit, missed = (ratio(part, ops.broadcast_to(part[:1], part.shape)) for part in (positives, negatives))
        return ops.sum((missed[:-1] - missed[1:]) * (hit[:-1] + hit[1:]) / 2)


def above_thresholds(counts: Tensor) -> Tensor:
    """Weights of the predictions above each threshold, of those by the number of thresholds below."""
    return ops.flip(ops.cumsum(ops.flip(counts, 0), 0), 0)[1:]


def interpolated_precision(true_positives: Tensor, false_positives: Tensor) -> Tensor:
    """Area under precision against recall, with counts that are linear between thresholds."""
    found = true_positives + false_positives
    steps = true_positives[:-1] - true_positives[1:]
    slope = ratio(steps, found[:-1] - found[1:])
    intercept = true_positives[1:] - slope * found[1:]
    quotient = ratio(found[:-1], found[1:])
    logarithm = ops.log(ops.where(ops.greater(quotient, 0), quotient, ops.ones_like(quotient)))
    return ratio(ops.sum(slope * (steps + intercept * logarithm)), true_positives[0])


@register_serializable("ncps.metrics")
@dataclass(frozen=True)
class LossMetric(MeanMetric):
    """The mean of a loss, under its name.

    Args:
        loss: one of `ncps.losses`, or of your own.

    Example:
        >>> metric = LossMetric(losses.Huber())
        >>> state = metric.update(metric.start(), np.float32([[1.0]]), np.float32([[3.0]]))
        >>> metric.name, float(metric.result(state))
        ('huber', 1.5)
    """

    loss: Loss

    @property
    def name(self) -> str:
        """The loss'."""
        return self.loss.name

    def evaluated(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss' values, and which of them it does not ignore."""
        return self.loss.evaluated(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as JSON-able data."""
        return {"loss": serialize(self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LossMetric:
        """The metric of a configuration."""
        return cls(deserialize(config["loss"]))


@dataclass(frozen=True)
class FunctionMetric(MeanMetric):
    """The mean of a user's function ``(y_true, y_pred)``.

    Example:
        >>> metric = get(lambda y, prediction: ops.mean(ops.absolute(y - prediction), axis=-1))
        >>> state = metric.update(metric.start(), np.float32([[1.0]]), np.float32([[3.0]]))
        >>> type(metric).__name__, float(metric.result(state))
        ('FunctionMetric', 2.0)
    """

    function: Callable[[Tensor, Tensor], Tensor]

    @property
    def name(self) -> str:
        """The function's."""
        return getattr(self.function, "__name__", "metric")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """What the function returns."""
        return self.function(y_true, y_pred)


NAMED: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "root_mean_squared_error": RootMeanSquaredError,
    "auc": AUC,
    "huber": lambda: LossMetric(losses.Huber()),
    "binary_crossentropy": lambda: LossMetric(losses.BinaryCrossentropy()),
    "categorical_crossentropy": lambda: LossMetric(losses.CategoricalCrossentropy()),
    "sparse_categorical_crossentropy": lambda: LossMetric(losses.SparseCategoricalCrossentropy()),
}


def get(metric: str | Metric | Loss | Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """The metric of a name, an object as it is, or the mean of a function or a loss.

    Raises:
        ValueError: nobody knows the name.

    Example:
        >>> get("mae")
        MeanAbsoluteError()
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, Loss):
        return LossMetric(metric)
    return FunctionMetric(metric) if callable(metric) else find("metric", metric, NAMED)()
