"""What the optimizers of all backends share.

A backend's `training` module provides

- ``optimizer``, a `BoundOptimizer` with a table ``KINDS`` of its framework's own for those of `ncps.optimizers`;
- ``compiled(model, function, how)``: ``function(model, *trees)`` without its first argument,
  compiled as is the custom;
- ``training_step(model, loss, learning_rate, clip_norm)``, only where the framework has a trainer of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from ncps.errors import UnsupportedOperationError
from ncps.optimizers import Optimizer
from ncps.training.steps import Compilation


class BoundOptimizer:
    """A framework's own optimizer on the weights of a model.

    Args:
        model: is built.
        given: what `compile` was given.
        before: the weights that `given` was bound to before, where the model has others since.

    Attributes:
        weights: what the model trains, see `trainable`, when this was made.
        given: what `compile` was given.
        native: the framework's own.
        learning_rate: the step size; setting it holds from the next step on.
        iterations: steps made.
    """

    FRAMEWORK: str
    KINDS: ClassVar[dict[type[Optimizer], tuple[Callable[..., Any], dict[str, Any]]]]

    def __init__(self, model: Any, given: Any, before: Mapping[Any, Any] | None = None) -> None:
        self.model, self.given, self.before = model, given, before
        self.iterations = 0
        self.weights = self.trainable()
        self.native = self.make(given) if isinstance(given, Optimizer) else self.adopt(given)

    def trainable(self) -> dict[Any, Any]:
        """The weights that the model trains, or where these are new after every step what holds them, by path."""
        raise NotImplementedError

    def fits(self) -> bool:
        """Whether the model trains the same weights as when this was made, and not others of the same shapes."""
        now = self.trainable()
        return now.keys() == self.weights.keys() and all(now[path] is held for path, held in self.weights.items())

    def bound_anew(self) -> BoundOptimizer:
        """What `compile` was given, on the weights that the model trains now; its state begins anew.

        Raises:
            ValueError: that is the framework's own, made for the weights of before.
        """
        return type(self)(self.model, self.given, self.weights)

    def make(self, given: Optimizer) -> Any:
        """The framework's own optimizer for one of ours."""
        raise NotImplementedError

    def adopt(self, given: Any) -> Any:
        """A user's own, if it is one of this framework.

        Raises:
            TypeError: it is none.
        """
        raise self.unknown(given)

    def step(self, objective: Callable[..., Any], prepare: Callable[..., Any], how: Compilation) -> Callable[..., Any]:
        """A function of what is carried through the steps and a batch that makes a step.

        Args:
            objective: ``objective(model, carry, batch)`` is the loss and what is carried on.
            prepare: ``prepare(loss, gradients, carry)`` gives the gradients to use, whether to take the step, and what
                is carried on.
            how: whether it is compiled.
        """
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """What the optimizer remembers, as NumPy arrays by name."""
        raise NotImplementedError

    def set_state(self, state: dict[str, Any]) -> None:
        """Sets it."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What goes into a file: all that the optimizer remembers, and the number of steps."""
        return {**self.get_state(), "iterations": np.int64(self.iterations), "rate": np.float64(self.learning_rate)}

    def restore(self, state: dict[str, Any]) -> None:
        """Sets what `state` returned.

        Raises:
            KeyError: something is missing.
        """
        own = {name: array for name, array in state.items() if name not in ("iterations", "rate")}
        self.iterations, self.learning_rate = int(state["iterations"]), float(state["rate"])
        self.set_state(own)

    def follow_schedule(self) -> None:
        """Before each step: sets the learning rate if that is a function of their number."""
        rate = getattr(self.given, "learning_rate", None) if isinstance(self.given, Optimizer) else None
        if callable(rate):
            self.learning_rate = float(rate(self.iterations))
        self.iterations += 1

    def first_rate(self) -> float:
        """The learning rate of the first step."""
        rate = self.given.learning_rate
        return float(rate(0) if callable(rate) else rate)

    @property
    def decay(self) -> float:
        """λ of the weight decay."""
        return (self.given.weight_decay or 0.0) if isinstance(self.given, Optimizer) else 0.0

    def kind(self, given: Optimizer) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The framework's own class and its arguments, without the learning rate.

        Raises:
            UnsupportedOperationError: it has none, or not with these arguments.
        """
        found = next((base for base in type(given).__mro__ if base in self.KINDS), None)
        if found is None:
            names = ", ".join(kind.__name__ for kind in self.KINDS)
            raise UnsupportedOperationError(
                f"Expected an optimizer that {self.FRAMEWORK} has: {names}. Received: {type(given).__name__}. "
                "Use one of these, or another backend."
            )
        make, names = self.KINDS[found]
        own = given.own_arguments()
        known = {name for ours in names.values() for name in (ours if isinstance(ours, tuple) else (ours,))}
        defaults = {field.name: field.default for field in fields(given)}
        for name, value in own.items():
            if name not in known and value != defaults[name]:
                raise UnsupportedOperationError(
                    f"Expected arguments of {type(given).__name__} that {self.FRAMEWORK}'s own has. Received: "
                    f"{name}={value!r}. Leave it out, or use another backend."
                )
        return make, {
            theirs: tuple(own[name] for name in ours) if isinstance(ours, tuple) else own[ours]
            for theirs, ours in names.items()
        }

    def of_before(self, given: Any) -> ValueError:
        """The error for a user's own that was made for weights which the model has no longer, or before some came."""
        return ValueError(
            f"Expected an optimizer of the weights that the model trains now. Received: {type(given).__qualname__}, "
            "made for those of before. Make a new one of the model as it is, and call compile with it."
        )

    def unknown(self, given: Any) -> TypeError:
        """The error for something that is no optimizer of this framework."""
        return TypeError(
            f"Expected the name of an optimizer, one of ncps.optimizers, or one of {self.FRAMEWORK}'s own. Received: "
            f"{type(given).__module__}.{type(given).__qualname__}. Give a name, such as 'adam'."
        )
