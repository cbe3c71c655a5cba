"""Models as `keras.Model` and `keras.Sequential`: Keras trains them; ours are the cells, and an eye on NaN."""

from __future__ import annotations

import functools
import inspect
import math

import keras
import numpy as np

from ncps import losses, metrics, optimizers, tree
from ncps.backend import backend_scope
from ncps.backends.keras import masks, ops
from ncps.backends.keras.module import KerasLayer
from ncps.backends.keras.ops import FRAMEWORK
from ncps.callbacks import tell_validation
from ncps.naming import find
from ncps.serialization import deserialize, serialize
from ncps.training.data import call_arguments
from ncps.training.session import not_finite
from ncps.training.steps import Compilation

PACKAGE = "ncps.training"


class StopsAtNaN:
    """Keras' training with our optimizers, losses and metrics; a step with a loss that is not finite is not taken."""

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        mixed_precision=None,
        **options,
    ):
        arguments = {
            "optimizer": optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "mixed_precision": mixed_precision, **options,
        }  # fmt: skip
        object.__setattr__(self, "_compile_arguments", arguments)  # Keras would track what is in it
        super().compile(
            optimizer=keras_optimizer(optimizer),
            loss=each(keras_loss, loss),
            loss_weights=loss_weights,
            metrics=each(keras_metric, metrics),
            weighted_metrics=each(keras_metric, weighted_metrics),
            **options,
        )

    def compile_from_config(self, config):  # Keras' own leaves models alone whose `compile` is not Keras'
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        call = getattr(self, "through", self.call)
        args, kwargs = spread(call, (x,), {})
        masked(y_pred, argument(call, "mask", args, kwargs))  # jax has lost it on the way out of the gradient
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def compile_arguments(self):
        return vars(self).get("_compile_arguments")

    def optimizer_state(self):
        if getattr(self.optimizer, "built", False):
            return {str(i): np.asarray(ops.convert_to_numpy(v)) for i, v in enumerate(self.optimizer.variables)}
        return {}

    def set_optimizer_state(self, state):
        self.optimizer.build(self.trainable_variables)
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(state[str(i)])

    def make_train_function(self, force=False):
        Compilation(mixed_precision=(self.compile_arguments or {}).get("mixed_precision")).in_one_precision("keras")
        return super().make_train_function(force)

    def fit(self, *args, **options):
        given = inspect.signature(super().fit).bind(*args, **options).arguments
        given["callbacks"] = [*(given.get("callbacks") or ()), RaisesAtNaN()]
        validates = given.get("validation_data") is not None or bool(given.get("validation_split"))
        tell_validation(given["callbacks"], validates)
        given.setdefault("shuffle", tree.is_arrays(given.get("x")))  # Keras warns that a loader has an order
        return super().fit(**given)

    def train_on_batch(self, *args, return_dict=False, **options):
        self.reset_metrics()  # of this batch alone, as on the other backends
        logs = super().train_on_batch(*args, return_dict=True, **options)
        if not math.isfinite(logs["loss"]):
            raise not_finite(1)
        return logs if return_dict else losses_and_metrics(logs)

    if FRAMEWORK == "jax":

        def train_step(self, state, data):
            logs, after = super().train_step(state, data)
            taken = finite(logs["loss"], after[0])
            kept = keras.tree.map_structure(
                lambda new, old: keras.ops.where(taken, new, old), tuple(after[:3]), tuple(state[:3])
            )
            return logs, (*kept, after[3])

    elif FRAMEWORK in ("torch", "tensorflow"):

        def train_step(self, data):
            variables = [*self.variables, *self.optimizer.variables]
            variables = [v for v in variables if keras.backend.is_float_dtype(v.dtype)]
            before = [keras.ops.copy(v) for v in variables]
            logs = super().train_step(data)
            taken = finite(logs["loss"], [v.value for v in self.trainable_variables])
            for variable, old in zip(variables, before, strict=True):
                variable.assign(keras.ops.where(taken, variable.value, old))
            return logs


def finite(loss, weights):
    """Whether the loss and all weights are; that of Keras is a mean, so that it stays NaN for the epoch."""
    total = keras.ops.cast(loss, "float32")
    for weight in weights:
        total = total + keras.ops.sum(keras.ops.cast(weight, "float32") * 0.0)
    return keras.ops.isfinite(total)


class RaisesAtNaN(keras.callbacks.Callback):
    """Ends the training with an error that tells the step."""

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(float(logs["loss"])):
            raise not_finite(batch + 1)


def losses_and_metrics(logs):
    """The loss alone, or with the metrics in a list."""
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


# ---- models


class KerasModel(StopsAtNaN, KerasLayer, keras.Model):
    """A `keras.Model` whose `call` gets tuples and dictionaries of inputs as its arguments."""

    def __call__(self, *args, **kwargs):
        args, kwargs = spread(self.call, args, kwargs)
        return super().__call__(*args, **kwargs)

    @staticmethod
    def bound(layer):
        inner = layer.call

        @functools.wraps(inner)
        def call(self, *args, **kwargs):
            own = functools.partial(inner, self)
            args, kwargs = spread(own, args, kwargs)
            with backend_scope("keras"):  # Keras' stateless_call comes here past __call__
                return masked(own(*args, **kwargs), argument(own, "mask", args, kwargs))

        layer.call = call
        KerasLayer.bound(layer)


@keras.saving.register_keras_serializable("ncps.models")
class Sequential(StopsAtNaN, keras.Sequential):
    """A `keras.Sequential` whose inputs may come with timespans and a mask, as a tuple or a dictionary."""

    def call(self, inputs, timespans=None, mask=None, training=None, **options):
        if timespans is None and not isinstance(inputs, (tuple, list, dict)):
            return super().call(inputs, training=training, mask=mask, **options)
        args, given = call_arguments(self.through, inputs)
        given |= {"training": training} | ({} if timespans is None else {"timespans": timespans})
        if not isinstance(inputs, (tuple, list, dict)):  # else `mask` is what Keras knows of the masks of each of them
            given["mask"] = mask
        return self.through(*args, **given)

    def through(self, inputs, timespans=None, mask=None, training=None):
        given = {"timespans": timespans, "mask": mask, "training": training}
        given = {name: value for name, value in given.items() if value is not None}
        for layer in self.layers:
            accepted = inspect.signature(layer.call).parameters
            inputs = layer(inputs, **{name: value for name, value in given.items() if name in accepted})
        return masked(inputs, mask)

    def compute_output_spec(self, inputs, training=None, mask=None, **options):
        if isinstance(inputs, (tuple, list, dict)):
            return keras.Operation.compute_output_spec(self, inputs, training=training, **options)
        return super().compute_output_spec(inputs, training=training, mask=mask, **options)


@keras.saving.register_keras_serializable("ncps.models")
class Functional(StopsAtNaN, keras.Model):
    """A `keras.Model` of a graph."""


def spread(call, args, kwargs):
    """The arguments of `call`, where a tuple or a dictionary of inputs stands for several."""
    if len(args) != 1 or not isinstance(args[0], (tuple, list, dict)):
        return args, kwargs
    args, named = call_arguments(call, args[0])
    return args, {**named, **kwargs}


def argument(call, name, args, kwargs):
    """The value that `call` gets for an argument, None without."""
    return inspect.signature(call).bind_partial(*args, **kwargs).arguments.get(name)


def masked(outputs, mask):
    """Outputs for every step with their mask, which Keras' losses and metrics look for there."""
    if mask is not None and hasattr(outputs, "shape") and len(outputs.shape) >= 3:
        masks.set_mask(outputs, mask)
    return outputs


# ---- ours for Keras


def each(convert, value):
    """`value`, or the values in lists and dictionaries, converted."""
    if isinstance(value, dict):
        return {key: each(convert, item) for key, item in value.items()}
    return [each(convert, item) for item in value] if isinstance(value, (list, tuple)) else convert(value)


def keras_optimizer(given):
    """One of `ncps.optimizers` as Keras' own; a name that Keras does not know raises."""
    if isinstance(given, str):
        return known(keras.optimizers.get, "optimizer", given, optimizers.NAMED)
    if not isinstance(given, optimizers.Optimizer):
        return given
    arguments = given.arguments()
    if callable(given.learning_rate) and not isinstance(given.learning_rate, Schedule.__base__):
        arguments["learning_rate"] = Schedule(given.learning_rate)
    return getattr(keras.optimizers, type(given).__name__)(**arguments)


def keras_loss(given):
    """One of `ncps.losses` for Keras, anything else as it is; a name that Keras does not know raises."""
    if isinstance(given, str):
        known(keras.losses.get, "loss", given, losses.NAMED)
    return KerasLoss(given) if isinstance(given, losses.Loss) else given


def keras_metric(given):
    """One of `ncps.metrics` or `ncps.losses` for Keras, anything else as it is; a name that Keras has not raises."""
    if isinstance(given, str) and given not in ("accuracy", "acc", "crossentropy", "ce"):  # Keras chooses by the shapes
        known(keras.metrics.get, "metric", given, metrics.NAMED)
    return KerasMetric(metrics.get(given)) if isinstance(given, (metrics.Metric, losses.Loss)) else given


def known(get, kind, name, names):
    """What Keras has under a name.

    Raises:
        ValueError: nothing; the message has the nearest name.
    """
    try:
        return get(name)
    except ValueError:
        return find(kind, name, names)


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is a function of the number of steps."""

    def __init__(self, function):
        self.function = function

    def __call__(self, step):
        return self.function(step)

    def get_config(self):
        raise TypeError(
            "A learning rate that is a function of yours cannot be saved: use a number or Keras' schedules."
        )


@keras.saving.register_keras_serializable(PACKAGE)
class KerasLoss(keras.losses.Loss):
    """One of `ncps.losses` for `keras.Model.compile`."""

    def __init__(self, loss, name=None, reduction="sum_over_batch_size", dtype=None):
        super().__init__(name=name or loss.name, reduction=reduction, dtype=dtype)
        self.loss = loss

    def call(self, y_true, y_pred):
        with backend_scope("keras"):
            values, counted = self.loss.evaluated(y_true, y_pred)
        if counted is not None:
            masks.set_mask(values, counted)
        return values

    def get_config(self):
        return {**super().get_config(), "loss": serialize(self.loss)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": deserialize(config["loss"])})


@keras.saving.register_keras_serializable(PACKAGE)
class KerasMetric(keras.metrics.Metric):
    """One of `ncps.metrics` for `keras.Model.compile`."""

    def __init__(self, metric, name=None, dtype=None):
        super().__init__(name=name or metric.name, dtype=dtype)
        self.metric = metric
        self.sums = [
            self.add_variable(np.shape(part), "zeros", dtype="float32", name=f"sum_{i}")
            for i, part in enumerate(metric.start())
        ]

    def update_state(self, y_true, y_pred, sample_weight=None):
        with backend_scope("keras"):
            state = tuple(part.value for part in self.sums)
            mask = masks.mask_of(y_pred)
            state = self.metric.update(state, y_true, y_pred, sample_weight, mask)
        for part, new in zip(self.sums, state, strict=True):
            part.assign(new)

    def result(self):
        """The number; computed with ops, as Keras does it within its compiled steps."""
        with backend_scope("keras"):
            return self.metric.result(tuple(part.value for part in self.sums))

    def get_config(self):
        return {"metric": serialize(self.metric), "name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "metric": deserialize(config["metric"])})
