"""The one loop of training, testing and predicting, over what each backend supplies: a step and a compiler."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ncps import ops, tree
from ncps.backend import NCPSBackend, backend_scope, training_mode
from ncps.callbacks import CallbackList
from ncps.training.data import Batch, call_arguments
from ncps.training.measures import Measures
from ncps.training.steps import Carry, Compilation, counters, prepare

Tree = Any
Numbers = dict[str, float]


class Session:
    """What `compile` and `fit` keep with a model, and the loops over batches.

    For the model's framework it is nothing: equal to any other, and empty in a copy of the model.
    """

    def __init__(self, owner: Any = None) -> None:
        self.owner = (lambda: None) if owner is None else weakref.ref(owner)
        self.arguments: dict[str, Any] = {}  # of `compile`
        self.measures: Measures | None = None
        self.optimizer: Any = None  # data, and once the model is built that of its framework
        self.functions: dict[str, Callable[..., Any]] = {}
        self.layers: list[int] = []  # identities of those that the functions were compiled for
        self.history: Any = None
        self.passes = 0  # through shuffled arrays, each in an order of its own
        self.stop = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Session)

    def __hash__(self) -> int:
        return hash(Session)

    def __reduce__(self) -> Any:
        return Session, ()

    def numbers(self, first: int) -> Iterator[int]:
        """Numbers of the passes through shuffled arrays, which no later `fit` repeats.

        Args:
            first: the smallest. With the number of the first epoch a training that goes on in a new process draws the
                orders that the uninterrupted one would have drawn.
        """
        self.passes = max(self.passes, first)
        while True:
            self.passes += 1
            yield self.passes - 1

    # -- loops

    def train(self, model: Any, data: Iterable[Batch], chain: CallbackList, advance: Callable[..., None]) -> Numbers:
        """One pass of training through the data: the loss and the metrics."""
        self.follow_layers(model)
        carry, wanted = self.start(), chain.listen_to("on_train_batch_end", "on_batch_end")
        for i, batch in enumerate(data):
            chain.on_train_batch_begin(i)
            self.optimizer.follow_schedule()
            carry = self.function(model, "train_step")(carry, tensors(batch))
            read = functools.partial(self.read, carry)
            chain.on_train_batch_end(i, read() if wanted else None)
            advance(i, read)
        return self.read(carry)

    def test(self, model: Any, data: Iterable[Batch], chain: CallbackList, advance: Callable[..., None]) -> Numbers:
        """One pass without: the loss and the metrics."""
        chain.on_test_begin()
        self.follow_layers(model)
        carry, wanted = self.start(), chain.listen_to("on_test_batch_end")
        for i, batch in enumerate(data):
            chain.on_test_batch_begin(i)
            carry = self.function(model, "test_step")(carry, tensors(batch))
            read = functools.partial(self.read, carry)
            chain.on_test_batch_end(i, read() if wanted else None)
            advance(i, read)
        results = self.read(carry)
        chain.on_test_end(results)
        return results

    def predict(self, model: Any, data: Iterable[Batch], chain: CallbackList, advance: Callable[..., None]) -> Tree:
        """The outputs for all batches, as NumPy arrays."""
        chain.on_predict_begin()
        self.follow_layers(model)
        parts = []
        for i, batch in enumerate(data):
            chain.on_predict_batch_begin(i)
            outputs = self.function(model, "predict_step")(tensors(batch.x))
            parts.append(tree.map(ops.convert_to_numpy, outputs))
            chain.on_predict_batch_end(i, {"outputs": parts[-1]})
            advance(i, None)
        chain.on_predict_end()
        return tree.map(lambda *each: np.concatenate(each), *parts)

    # -- the steps that backends differentiate and compile

    def train_step(self, model: Any, carry: Carry, batch: Batch) -> tuple[Any, Carry]:
        """The loss of a batch, to be differentiated, and the sums with it."""
        return self.measured(model, carry, batch, training=True)

    def test_step(self, model: Any, carry: Carry, batch: Batch) -> Carry:
        """The sums with one more batch."""
        return self.measured(model, carry, batch, training=False)[1]

    def predict_step(self, model: Any, x: Tree) -> Tree:
        """The outputs of a batch."""
        return forward(model, x, training=False)[0]

    def measured(self, model: Any, carry: Carry, batch: Batch, training: bool) -> tuple[Any, Carry]:
        """The loss of a batch, and the sums with it."""
        assert self.measures is not None
        outputs, mask = forward(model, batch.x, training)
        loss = self.measures.value(batch.y, outputs, batch.sample_weight, mask)
        sums = self.measures.update(carry["sums"], loss, batch.y, outputs, batch.sample_weight, mask)
        return loss, {**carry, "sums": sums}

    def function(self, model: Any, name: str) -> Callable[..., Any]:
        """The compiled step of a name, made when it is first asked for."""
        if name not in self.functions:
            how = Compilation(**{key: self.arguments[key] for key in Compilation._fields if key in self.arguments})
            if name == "train_step":
                ready = functools.partial(prepare, self.optimizer.given)
                self.functions[name] = self.optimizer.step(self.train_step, ready, how)
            else:
                self.functions[name] = NCPSBackend.active_ops()["compiled"](model, getattr(self, name), how)
        return self.functions[name]

    def follow_layers(self, model: Any) -> None:
        """Forgets the compiled steps if layers were exchanged since: some compilers hold on to the weights they saw."""
        layers = [id(weight.owner) for weight in model.walk()]
        if layers != self.layers:
            self.functions, self.layers = {}, layers

    # -- around the steps

    def build(self, model: Any, batch: Batch) -> None:
        """Builds the model by a call with this batch, and assigns the metrics to its outputs."""
        if is_built(model) and (self.measures is None or self.measures.metrics is not None):
            return
        outputs, _ = forward(model, tensors(batch.x), training=False)
        for layer in model.layers_within():
            if getattr(layer, "stateful", False):
                layer.reset_state()
        if self.measures is not None:
            self.measures.arrange(outputs)

    def bind_optimizer(self, model: Any) -> None:
        """Makes the framework's own optimizer, for the weights of a model that is built; anew where it trains others.

        Raises:
            ValueError: the user gave the framework's own, made for the weights of before.
        """
        if not hasattr(self.optimizer, "native"):
            self.optimizer = NCPSBackend.active_ops()["optimizer"](model, self.optimizer)
        elif not self.optimizer.fits():
            self.optimizer, self.functions = self.optimizer.bound_anew(), {}

    def start(self) -> Carry:
        """What is carried through the steps, before the first."""
        assert self.measures is not None
        return tensors({**counters(), "sums": self.measures.start()})

    def read(self, carry: Carry) -> Numbers:
        """The loss and the metrics.

        Raises:
            FloatingPointError: a step was not taken, since its loss or gradients were not finite.
        """
        assert self.measures is not None
        found = tree.map(ops.convert_to_numpy, carry)
        if found["healthy"] != found["steps"]:
            raise not_finite(int(found["healthy"]) + 1)
        with backend_scope("numpy"):  # frameworks would compile these few operations
            return self.measures.results(found["sums"])


def is_built(model: Any) -> bool:
    """Whether the model and all layers within are built; some may have come since."""
    return all(layer.built for layer in model.layers_within())


def not_finite(step: int) -> FloatingPointError:
    """The error for a step of this epoch that was not taken."""
    return FloatingPointError(
        f"The loss or its gradient became NaN or infinite in step {step} of this epoch; the weights are as they were "
        "before it. Try a smaller learning rate, gradient clipping (global_clipnorm=1.0), or a loss from logits; look "
        "for NaN in the data, and with ncps.inspect in the network."
    )


def silent(step: int, read: Any) -> None:
    """Shows nothing after a step."""


def tensors(arrays: Tree) -> Tree:
    """Arrays as tensors of the active backend."""
    return tree.map(ops.convert_to_tensor, arrays)


def forward(model: Any, x: Tree, training: bool) -> tuple[Tree, Any]:
    """The outputs for the inputs of a batch, and the mask among these."""
    args, kwargs = call_arguments(model.call, x)
    bound = inspect.signature(model.call).bind_partial(*args, **kwargs).arguments
    if takes_training(model):
        kwargs["training"] = training
    with training_mode(training):
        return model(*args, **kwargs), bound.get("mask", x.get("mask") if isinstance(x, dict) else None)


def takes_training(model: Any) -> bool:
    """Whether the model's `call` has an argument `training`."""
    return "training" in inspect.signature(model.call).parameters
