"""Callbacks in Keras' protocol: these work in `keras.Model.fit`, and Keras' own and a user's work in ours."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "AverageWeights",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Monitor",
    "ReduceLROnPlateau",
]

Logs = Mapping[str, float] | None
VALIDATED = "val_"  # begins the names of what a validation gives


class Callback:
    """Base of the callbacks: override the moments that matter; `self.model` and `self.params` are set before.

    Example:
        >>> class Shout(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(f"EPOCH {epoch}!")
    """

    params: Mapping[str, Any] | None = None
    _model: Any = None

    @property
    def model(self) -> Any:
        """The model, as the last step has left it."""
        if hasattr(self._model, "jax_state_sync"):  # Keras on jax keeps the weights elsewhere while it trains
            self._model.jax_state_sync()
        return self._model

    def set_model(self, model: Any) -> None:
        """Tells the model, before the training begins."""
        self._model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Tells ``verbose``, ``epochs`` and ``steps`` (None if it will show)."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before each epoch, which are counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After each epoch; `logs` has the loss, the metrics, and those of the validation as ``val_...``."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before each step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After each step; `logs` has the means since the beginning of the epoch."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """The same as `on_train_batch_begin`, by its older name."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """The same as `on_train_batch_end`, by its older name."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Before a validation or an evaluation."""

    def on_test_end(self, logs: Logs = None) -> None:
        """After it."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before each of its batches."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After each of its batches."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """After it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before each of its batches."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After each of its batches."""


for _name, _moment in list(vars(Callback).items()):
    if _name.startswith("on_"):
        _moment._is_default = True  # as Keras marks its own: whoever calls it may leave it out


class History(Callback):
    """What `fit` returns: the loss and the metrics of every epoch.

    Attributes:
        history: lists by name, such as ``"loss"`` and ``"val_loss"``.
        epoch: the numbers of the epochs.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begins anew."""
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Notes the logs."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class CallbackList:
    """Calls every callback in turn.

    Args:
        callbacks: callbacks of ours, of Keras or of a user.
        model: what they are told.
        params: and what else.
    """

    def __init__(self, callbacks: Iterable[Any], model: Any, params: Mapping[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)

    def __getattr__(self, moment: str) -> Callable[..., None]:
        """``on_epoch_end`` and so on, of all callbacks."""

        def call(*args: Any) -> None:
            for callback in self.callbacks:
                getattr(callback, moment)(*args)

        return call

    def listen_to(self, *moments: str) -> bool:
        """Whether a callback does anything at these moments: numbers are fetched from a device for those only."""
        methods = (getattr(callback, moment, None) for callback in self.callbacks for moment in moments)
        return any(method is not None and not getattr(method, "_is_default", False) for method in methods)


class Monitor(Callback):
    """Base of the callbacks that watch one of the logs.

    Args:
        monitor: its name, such as ``"val_loss"``.
        mode: ``"min"``, ``"max"``, or ``"auto"`` by the name: accuracies and AUC shall grow, all else shrink.
        min_delta: smaller changes are none.

    Raises:
        ValueError: `mode` is unknown.
    """

    validates: bool | None = None  # whether `fit` has validation data, None where nobody told
    seen: bool | None = None  # whether what is watched was ever there, None before the first look

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(
                f"Expected mode='auto', 'min' or 'max'. Received: mode={mode!r}. 'auto' takes accuracies and AUC to "
                "grow, and all else to fall."
            )
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        grows = mode == "max" or (mode == "auto" and monitor.endswith(("acc", "accuracy", "auc")))
        self.sign = 1.0 if grows else -1.0

    def value(self, logs: Logs) -> float | None:
        """What is watched, None after an epoch without validation.

        Raises:
            ValueError: it is not in the logs, and no validation will bring it.
        """
        logs = logs or {}
        if self.monitor in logs:
            self.seen = True
            return float(logs[self.monitor])
        comes = self.monitor.startswith(VALIDATED) and not any(name.startswith(VALIDATED) for name in logs)
        if not comes or self.validates is False:
            raise ValueError(
                f"Expected {type(self).__name__} to watch one of {', '.join(logs)}. Received: "
                f"monitor={self.monitor!r}. What begins with val_ needs validation data."
            )
        self.seen = self.seen or False
        return None

    def on_train_end(self, logs: Logs = None) -> None:
        """Warns if there was nothing to watch."""
        if self.seen is False:
            warnings.warn(
                f"{type(self).__name__} has seen no {self.monitor}, since no epoch had a validation. Give fit "
                "validation data, and a validation_freq that falls into these epochs.",
                stacklevel=2,
            )

    def improved(self, value: float, best: float | None) -> bool:
        """Whether `value` is better than the best so far."""
        return best is None or self.sign * (value - best) > self.min_delta


def tell_validation(callbacks: Iterable[Any], validates: bool) -> None:
    """Tells callbacks that watch something whether there are validation data: Keras' protocol does not."""
    for callback in callbacks:
        if isinstance(callback, Monitor):
            callback.validates = validates


class EarlyStopping(Monitor):
    """Stops when the watched number has not become better for some epochs.

    Args:
        monitor: name of the number.
        min_delta: smaller changes are no improvement.
        patience: epochs without one before it stops.
        verbose: 1 tells.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        baseline: only improvements that surpass it begin the patience anew.
        restore_best_weights: whether the model gets the weights of the best epoch in the end.
        start_from_epoch: epochs before this one do not count.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begins anew."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best: float | None = None
        self.best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Notes an improvement, or stops."""
        value = self.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.improved(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improved(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        """Puts the best weights back."""
        super().on_train_end(logs)
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)


class ModelCheckpoint(Monitor):
    """Saves the model after every epoch, or only when it is better than before.

    Args:
        filepath: the file; ``{epoch}`` (from 1) and the names of logs are filled in: ``"{epoch:03d}-{val_loss:.2f}"``.
        monitor: name of the watched number.
        verbose: 1 tells.
        save_best_only: whether only the best one is saved.
        save_weights_only: whether the configuration is left out.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        save_freq: ``"epoch"``, or the number of steps between two files.
        initial_value_threshold: what has to be surpassed to begin with.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ValueError(
                f"Expected save_freq='epoch' or a number of steps. Received: save_freq={save_freq!r}. Give a whole "
                "number from 1 to save within epochs."
            )
        if save_best_only and save_freq != "epoch" and monitor.startswith(VALIDATED):
            raise ValueError(
                "Expected save_freq='epoch' where a validation is watched, which comes after an epoch. Received: "
                f"save_freq={save_freq!r}, monitor={monitor!r}. Watch a number of the training, such as 'loss'."
            )
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        self.best = initial_value_threshold
        self.epoch = self.steps = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Notes the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Saves every `save_freq` steps."""
        self.steps += 1
        if self.save_freq != "epoch" and self.steps % int(self.save_freq) == 0:
            self.save(logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Saves after every epoch."""
        if self.save_freq == "epoch":
            self.save(logs)

    def save(self, logs: Logs) -> None:
        """Saves if it is time to."""
        if self.save_best_only:
            value = self.value(logs)
            if value is None or not self.improved(value, self.best):
                return
            self.best = value
        path = self.path({"epoch": self.epoch + 1, **(logs or {})})
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"Epoch {self.epoch + 1}: saved {path}")

    def path(self, values: dict[str, Any]) -> Path:
        """The file with the values filled in."""
        try:
            return Path(self.filepath.format(**values))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"Expected the names of {sorted(values)} in braces, as of this epoch. Received: "
                f"filepath={self.filepath!r}. Numbers of a validation are there after one: leave val_ names out, "
                "or validate after every epoch."
            ) from error


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch.

    Args:
        schedule: ``schedule(epoch, learning_rate)`` gives the new one.
        verbose: 1 tells.
    """

    def __init__(self, schedule: Callable[[int, float], float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Sets it."""
        rate = float(self.schedule(epoch, learning_rate_of(self.model)))
        set_learning_rate(self.model, rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:.3g}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes it in the logs."""
        if logs is not None:
            logs["learning_rate"] = learning_rate_of(self.model)


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when the watched number has not become better for some epochs.

    Args:
        monitor: name of the number.
        factor: what the rate is multiplied with, below 1.
        patience: epochs without improvement before that.
        verbose: 1 tells.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        min_delta: smaller changes are no improvement.
        cooldown: epochs after a change that do not count.
        min_lr: the rate never falls below.

    Raises:
        ValueError: `factor` is 1 or more.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(
                f"Expected a factor between 0 and 1. Received: factor={factor!r}. The learning rate is multiplied by "
                "it: 0.5 halves it."
            )
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begins anew."""
        self.best: float | None = None
        self.wait = self.rest = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Notes an improvement, or lowers the rate."""
        value, rate = self.value(logs), learning_rate_of(self.model)
        logs["learning_rate"] = rate
        if value is None:
            return
        if self.rest > 0:
            self.rest, self.wait = self.rest - 1, 0
        if self.improved(value, self.best):
            self.best, self.wait = value, 0
        elif self.rest == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                set_learning_rate(self.model, max(rate * self.factor, self.min_lr))
                self.rest, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate {learning_rate_of(self.model):.3g}")


class CSVLogger(Callback):
    """Writes the logs of every epoch into a table, with ``NA`` for the validation in epochs that have none.

    Args:
        filename: the file.
        separator: between the columns.
        append: whether an existing file is continued.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = Path(filename), separator, append

    def on_train_begin(self, logs: Logs = None) -> None:
        """Opens the file."""
        continued = self.append and self.filename.exists() and self.filename.stat().st_size > 0
        self.file = self.filename.open("a" if self.append else "w", newline="", encoding="utf-8")
        self.names: list[str] | None = None
        if continued:
            with self.filename.open(newline="", encoding="utf-8") as written:
                self.names = next(csv.reader(written, delimiter=self.separator))[1:]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes a row."""
        logs, writer = logs or {}, csv.writer(self.file, delimiter=self.separator)
        if self.names is None:
            self.names = sorted(logs)
            if not any(name.startswith(VALIDATED) for name in logs):  # a later epoch may have a validation
                self.names += [VALIDATED + name for name in self.names if name != "learning_rate"]
            writer.writerow(["epoch", *self.names])
        writer.writerow([epoch, *(logs.get(name, "NA") for name in self.names)])
        self.file.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Closes the file."""
        self.file.close()


class AverageWeights(Callback):
    """Gives the model in the end the moving average of its weights over the steps, in which noise cancels out.

    Args:
        decay: share of the average that a step leaves; the first steps are soon forgotten.

    Source: Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging.
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay

    def on_train_begin(self, logs: Logs = None) -> None:
        """Begins anew."""
        self.average: list[np.ndarray] = []
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Takes the weights into the average."""
        weights = self.model.get_weights()
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        self.average = [decay * a + (1 - decay) * w for a, w in zip(self.average or weights, weights, strict=True)]

    def on_train_end(self, logs: Logs = None) -> None:
        """Sets the average."""
        if self.average:
            self.model.set_weights(self.average)


def learning_rate_of(model: Any) -> float:
    """The learning rate that a model trains with, whichever backend it lives on."""
    if hasattr(model, "learning_rate"):
        return float(model.learning_rate)
    return float(np.asarray(model.optimizer.learning_rate))


def set_learning_rate(model: Any, rate: float) -> None:
    """Sets it."""
    if hasattr(model, "learning_rate"):
        model.learning_rate = rate
    else:
        model.optimizer.learning_rate = rate
