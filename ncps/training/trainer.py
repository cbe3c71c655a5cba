"""Keras' training surface."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ncps import optimizers, saving
from ncps.callbacks import CallbackList, History, tell_validation
from ncps.training.data import Arrays, Batch, Batches, batches_of, split
from ncps.training.measures import Measures
from ncps.training.session import Session, silent

ClassWeight = Mapping[int, float] | None
PathLike = str | os.PathLike[str]


class Trainer:
    """`compile`, `fit`, `evaluate` and `predict` with Keras' arguments.

    The inputs of a batch reach `call` as they are: an array is its first argument, a tuple gives the first arguments in
    order (sequences, timespans, mask), a dictionary gives arguments by name.

    Example:
        >>> from ncps.layers import Dense, Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones")])
        >>> model.compile(loss="mse")  # before `fit` also an optimizer
        >>> model.evaluate(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        1.0
    """

    scope: Callable[[], Any]

    @property
    def session(self) -> Session:
        """What `compile` and `fit` keep."""
        found = vars(self).get("_session")
        if found is None or found.owner() is not self:  # as nnx.merge hands on whatever it does not know
            found = Session(self)
            object.__setattr__(self, "_session", found)
        return found

    # -- configuration

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | str = "auto",
        mixed_precision: str | None = None,
    ) -> None:
        """Says how to train.

        Args:
            optimizer: a name (``"adam"``), one of `ncps.optimizers`, or one of the framework's own: a
                `torch.optim.Optimizer` of the model's parameters, an optax transformation or `nnx.Optimizer`, one of
                `mlx.optimizers`.
            loss: a name, one of `ncps.losses`, or a function ``(y_true, y_pred)`` that gives the values of the samples;
                for several outputs a list or a dictionary of them.
            loss_weights: factors of the losses of several outputs.
            metrics: a list of names, objects of `ncps.metrics`, or functions.
            weighted_metrics: the same; these count the sample weights.
            run_eagerly: compiles nothing, for those who look for an error.
            mixed_precision: ``"bfloat16"`` or ``"float16"``: products are computed in this type where the framework
                can, the weights stay as they are. On torch (`torch.autocast`, with scaled gradients for float16); under
                keras give layers `dtype="mixed_bfloat16"`, elsewhere `dtype="bfloat16"`.
            jit_compile: ``"auto"``: jax, mlx and tensorflow compile the step, torch runs it as it is. True: torch
                compiles the model, tensorflow uses XLA. False: tensorflow traces only, jax and mlx compile nothing.

        Raises:
            ValueError: nobody knows a name; the message has the nearest known one.
        """
        session, measures = self.session, Measures(loss, loss_weights, metrics, weighted_metrics)
        session.optimizer, session.measures, session.functions = optimizers.get(optimizer), measures, {}
        session.arguments = {
            "optimizer": session.optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
            "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly, "jit_compile": jit_compile,
            "mixed_precision": mixed_precision,
        }  # fmt: skip

    @property
    def optimizer(self) -> Any:
        """How it trains: what `compile` was given, and once training has begun that on the weights of the model.

        Then it has the framework's own as ``native``, and ``learning_rate``, which can be set, and ``iterations``.
        """
        return self.session.optimizer

    @property
    def history(self) -> History | None:
        """What the last `fit` returned."""
        return self.session.history

    @property
    def stop_training(self) -> bool:
        """Callbacks set it to end `fit` after the epoch."""
        return self.session.stop

    # -- training

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Iterable[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: ClassWeight = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Trains the model.

        Args:
            x: arrays (samples, ...), a tuple or dictionary of them, or what gives batches ``(x, y)`` or
                ``(x, y, sample_weight)``: a generator, a DataLoader, a `tf.data.Dataset`.
            y: targets of arrays.
            batch_size: samples of a step, 32 by default.
            epochs: the number of the epoch after which it ends.
            verbose: 0 shows nothing, 1 a bar, 2 a line for each epoch; ``"auto"`` a bar on a terminal, else nothing.
            callbacks: of `ncps.callbacks`, of Keras, or your own.
            validation_split: this share of the samples, the last ones, is for validation.
            validation_data: ``(x, y)``, ``(x, y, sample_weight)``, or what gives batches.
            shuffle: whether each epoch goes through arrays in a new order, in every `fit`. The orders depend on
                `ncps.set_seed`, and on how many came before.
            class_weight: factor of each class, for targets that are classes (B,), classes of each step (B, T) or
                (B, T, 1), or one-hot (B, C) or (B, T, C). Integers (B, T) with a single 1 in each row are one-hot if T
                is the number of classes in `class_weight`, else classes of each step.
            sample_weight: factor of each sample (B,), or of each time step (B, T).
            initial_epoch: the number of the first epoch, for those who go on: without `steps_per_epoch` arrays come in
                the orders of the training that was not interrupted.
            steps_per_epoch: batches of an epoch. The next one goes on where it ended, and the data begin again at their
                end; a generator must have enough for all epochs.
            validation_steps: batches of a validation: the first ones, each time the same; those of a generator go on.
            validation_batch_size: samples of its batches.
            validation_freq: epochs from one validation to the next; callbacks that watch it skip those between.

        Returns:
            The `History`.

        Raises:
            FloatingPointError: the loss or a gradient became NaN or infinite; the weights are as before that step.
            RuntimeError: the model is not compiled.
            UnsupportedOperationError: on NumPy.
            ValueError: there is no data, its parts are of different length, or shapes do not fit.
        """
        session = self.compiled_session()
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = split(x, y, sample_weight, validation_split)
        passes = session.numbers(initial_epoch) if shuffle else None
        data = batches_of(x, y, sample_weight, batch_size, passes, steps_per_epoch, class_weight, goes_on=True)
        held_out = None
        if validation_data is not None:
            held_out = validation_batches(validation_data, validation_batch_size or batch_size, validation_steps)
        callbacks = list(callbacks or ())
        tell_validation(callbacks, held_out is not None)
        session.history, session.stop = History(), False
        params = {"verbose": verbose, "epochs": epochs, "steps": data.steps}
        chain = CallbackList([*callbacks, session.history], self, params)
        with self.scope(), progress(verbose, epochs, data.steps) as shown:
            source = Peeked(data)
            session.build(self, source.first())
            session.bind_optimizer(self)
            chain.on_train_begin()
            for epoch in range(initial_epoch, epochs):
                chain.on_epoch_begin(epoch)
                logs = session.train(self, source, chain, shown.epoch(epoch))
                if held_out is not None and (epoch + 1) % validation_freq == 0:
                    results = session.test(self, held_out, chain, silent)
                    logs |= {f"val_{name}": value for name, value in results.items()}
                chain.on_epoch_end(epoch, logs)
                shown.end_of_epoch(logs)
                if session.stop:
                    break
            chain.on_train_end()
        return session.history

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: ClassWeight = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch: its loss and metrics, in the form of `evaluate`."""
        session, data = self.compiled_session(), Arrays(x, y, sample_weight, WHOLE, class_weight=class_weight)
        with self.scope():
            session.build(self, next(iter(data)))
            session.bind_optimizer(self)
            results = session.train(self, data, CallbackList((), self, {}), silent)
        return results if return_dict else flat(results)

    # -- testing and predicting

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Iterable[Any] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics over all data.

        Args:
            x: as in `fit`.
            y: targets of arrays.
            batch_size: samples of a batch, 32 by default.
            verbose: as in `fit`.
            sample_weight: as in `fit`.
            steps: batches; None for all.
            callbacks: as in `fit`.
            return_dict: whether the result is a dictionary by name.

        Returns:
            The loss, or a list of the loss and the metrics, or the dictionary.
        """
        session, data = self.compiled_session(), batches_of(x, y, sample_weight, batch_size, steps=steps)
        chain = CallbackList(callbacks or (), self, {"verbose": verbose, "epochs": 1, "steps": data.steps})
        with self.scope(), progress(verbose, 1, data.steps) as shown:
            source = Peeked(data)
            session.build(self, source.first())
            results = session.test(self, source, chain, shown.epoch(0))
            shown.end_of_epoch(results)
        return results if return_dict else flat(results)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """The loss and the metrics of one batch, in the form of `evaluate`."""
        return self.evaluate(x, y, WHOLE, 0, sample_weight, return_dict=return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Iterable[Any] | None = None,
    ) -> Any:
        """The outputs for all inputs, as NumPy arrays.

        Args:
            x: inputs as in `fit`; of batches ``(x, y)`` only x counts.
            batch_size: samples of a batch, 32 by default.
            verbose: as in `fit`.
            steps: batches; None for all.
            callbacks: as in `fit`.
        """
        data = batches_of(x, batch_size=batch_size, steps=steps)
        chain = CallbackList(callbacks or (), self, {"verbose": verbose, "epochs": 1, "steps": data.steps})
        with self.scope(), progress(verbose, 1, data.steps) as shown:
            source = Peeked(data)
            self.session.build(self, source.first())
            return self.session.predict(self, source, chain, shown.epoch(0))

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        return self.predict(x, WHOLE, 0)

    # -- looking at it

    def summary(self, print_fn: Callable[[str], Any] | None = None, line_length: int | None = None) -> None:
        """Shows the layers, their shapes, parameters and synapses, see `ncps.models.summary`."""
        from ncps.models.summary import summary  # with rich, which takes a while to import

        summary(self, print_fn, line_length)

    # -- files

    def save(self, path: PathLike, optimizer: bool = False) -> None:
        """Writes the model into a file, see `ncps.saving.save`."""
        saving.save(self, path, optimizer)

    def save_weights(self, path: PathLike) -> None:
        """Writes the weights into a file, see `ncps.saving.save_weights`."""
        saving.save_weights(self, path)

    def load_weights(self, path: Any, strict: bool = True) -> list[str]:
        """Sets the weights from a file, see `ncps.saving.load_weights`."""
        if not isinstance(path, (str, os.PathLike)):  # mlx' own takes lists
            return super().load_weights(path, strict)  # type: ignore[misc]
        return saving.load_weights(self, path, strict)

    @property
    def compile_arguments(self) -> dict[str, Any]:
        """What `compile` was given, empty before."""
        return self.session.arguments

    def optimizer_state(self) -> dict[str, Any]:
        """What the optimizer remembers and the number of passes, as NumPy arrays; empty before any training."""
        if not hasattr(self.optimizer, "native"):
            return {}
        return {**self.optimizer.state(), "passes": np.int64(self.session.passes)}

    def set_optimizer_state(self, state: dict[str, Any]) -> None:
        """Sets it in a model that is built and compiled."""
        session = self.compiled_session()
        with self.scope():
            session.bind_optimizer(self)
            self.optimizer.restore({name: array for name, array in state.items() if name != "passes"})
        session.passes = int(state.get("passes", 0))

    # -- helpers

    def compiled_session(self) -> Session:
        """The session.

        Raises:
            RuntimeError: the model is not compiled.
        """
        if self.session.measures is None:
            raise RuntimeError(
                f"Expected a compiled model. Received: {type(self).__name__}, not compiled. Call "
                "model.compile(optimizer, loss) first."
            )
        return self.session

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "stop_training":  # a property would have to be known to every framework's own __setattr__
            self.session.stop = bool(value)
        else:
            super().__setattr__(name, value)


def progress(verbose: int | str, epochs: int, steps: int | None) -> Any:
    """The `Progress` of a run; rich takes a while to import."""
    from ncps.training.progress import Progress

    return Progress(verbose, epochs, steps)


WHOLE = 2**62  # a batch of all samples


class Peeked:
    """Batches whose first one may be looked at before the pass."""

    def __init__(self, data: Iterable[Batch]) -> None:
        self.data = data
        self.begun: Iterator[Batch] | None = None

    def first(self) -> Batch:
        """The first batch; the next pass begins with it all the same."""
        rest = iter(self.data)
        first = next(rest)
        self.begun = itertools.chain((first,), rest)
        return first

    def __iter__(self) -> Iterator[Batch]:
        begun, self.begun = self.begun, None
        return iter(self.data) if begun is None else begun


def validation_batches(data: Any, batch_size: int | None, steps: int | None) -> Arrays | Batches:
    """What is given as validation data: a tuple of arrays, or batches."""
    if isinstance(data, tuple):
        x, y, sample_weight = (*data, None, None)[:3]
        return batches_of(x, y, sample_weight, batch_size, steps=steps)
    return batches_of(data, steps=steps)


def flat(results: Mapping[str, float]) -> Any:
    """The loss alone, or with the metrics in a list."""
    values = list(results.values())
    return values[0] if len(values) == 1 else values
