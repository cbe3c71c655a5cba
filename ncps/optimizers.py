"""Optimizers by name with Keras' arguments and defaults; the work is done by those of the framework underneath.

`torch.optim`, `optax`, `mlx.optimizers`, those of TensorFlow and of Keras agree about the update as long as gradients
are far above `epsilon`, which some add before and some after the bias correction or the root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from ncps.naming import find, snake_case
from ncps.serialization import register_serializable

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "SGD",
    "get",
]

LearningRate = float | Callable[[int], Any]


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers: what to use, as data; each backend makes its framework's own of it.

    Args:
        learning_rate: step size, or a function of the number of steps made so far, such as an optax schedule.
        weight_decay: λ: every step first takes the share λ · learning_rate from each weight (Loshchilov and Hutter
            2019, Decoupled weight decay regularization).
        clipnorm: limit of the Euclidean norm of the gradient of each weight.
        clipvalue: limit of the absolute value of each element of the gradients.
        global_clipnorm: limit of the norm of all gradients together.

    Raises:
        ValueError: a number is negative, or more than one limit is given.
    """

    learning_rate: LearningRate = 0.001
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.arguments().items():
            if isinstance(value, (int, float)) and not value >= 0:
                raise ValueError(
                    f"Expected {name} of at least 0. Received: {name}={value!r}. Give a number from 0, or leave it out."
                )
        limits = [name for name in LIMITS if getattr(self, name) is not None]
        if len(limits) > 1:
            raise ValueError(
                f"Expected one of {', '.join(LIMITS)} at most. Received: {', '.join(limits)}. Leave the others out."
            )

    @property
    def name(self) -> str:
        """``"adam"`` for `Adam`."""
        return NAMES.get(type(self).__name__, snake_case(type(self).__name__))

    def arguments(self) -> dict[str, Any]:
        """All arguments by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def own_arguments(self) -> dict[str, Any]:
        """The arguments that not every optimizer has."""
        shared = {field.name for field in fields(Optimizer)}
        return {name: value for name, value in self.arguments().items() if name not in shared}

    def get_config(self) -> dict[str, Any]:
        """The arguments; a learning rate that is a function cannot be written down.

        Raises:
            TypeError: it is one.
        """
        if callable(self.learning_rate):
            raise TypeError(
                "Expected a learning rate that is a number, which a configuration can hold. Received: a function. "
                "Save without the optimizer, or compile with a number and ncps.callbacks.LearningRateScheduler."
            )
        return self.arguments()


LIMITS = ("clipnorm", "clipvalue", "global_clipnorm")
NAMES = {"SGD": "sgd", "RMSprop": "rmsprop", "AdamW": "adamw"}  # the others follow from the class


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class SGD(Optimizer):
    """w ← w - η g; with momentum, v ← m v - η g and w ← w + v; Nesterov's looks one step ahead."""

    learning_rate: LearningRate = 0.01
    momentum: float = 0.0
    nesterov: bool = False


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """w ← w - η g / √v with v the moving average of g²; `centered` takes off the square of that of g.

    Source: Hinton (2012), Neural networks for machine learning, lecture 6.
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class Adam(Optimizer):
    """w ← w - η m / √v with bias-corrected moving averages m of g and v of g² (Kingma and Ba 2015)."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay (Loshchilov and Hutter 2019)."""

    weight_decay: float | None = 0.004


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class Adamax(Optimizer):
    """Adam with the largest |g| of late, decayed, in place of √v (Kingma and Ba 2015, section 7)."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016)."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """w ← w - η g / √Σ g² (Duchi et al. 2011)."""

    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class Adadelta(Optimizer):
    """w ← w - η g √(moving average of past squared steps) / √(moving average of g²) (Zeiler 2012)."""

    rho: float = 0.95
    epsilon: float = 1e-7


@register_serializable("ncps.optimizers")
@dataclass(frozen=True)
class Lion(Optimizer):
    """w ← w - η sign of a moving average of g (Chen et al. 2023)."""

    beta_1: float = 0.9
    beta_2: float = 0.99


NAMED: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "adamax": Adamax,
    "nadam": Nadam,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "lion": Lion,
}


def get(optimizer: Any) -> Any:
    """The optimizer of a name with Keras' defaults; anything else as it is, for the backend to say whether it knows it.

    Raises:
        ValueError: nobody knows the name.

    Example:
        >>> get("sgd").learning_rate
        0.01
    """
    return find("optimizer", optimizer, NAMED)() if isinstance(optimizer, str) else optimizer
