"""Initial values of weights, drawn in NumPy in float64 and then cast, so that every backend starts from the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncps.naming import nearest
from ncps.serialization import register_serializable, serialize

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "Initializer",
    "LecunNormal",
    "Normal",
    "Orthogonal",
    "Uniform",
    "get",
]

Shape = Sequence[int]


def fans(shape: Shape) -> tuple[float, float]:
    """Number of inputs and outputs of a kernel of this shape."""
    receptive = math.prod(shape[:-2])
    return (receptive * shape[-2], receptive * shape[-1]) if len(shape) > 1 else (shape[0], shape[0])


@dataclass(frozen=True)
class Initializer:
    """Base of the initializers: a function of a shape and a generator.

    Args:
        seed: draws from this seed, whichever weight of whichever layer it is for: weights of one shape get the same
            values. Without, each weight has values of its own, which follow from the process' (`ncps.set_seed`).

    Example:
        >>> from ncps.layers import Dense
        >>> one, other = (Dense(2, kernel_initializer=GlorotUniform(seed=1), input_size=3) for _ in range(2))
        >>> np.array_equal(one.kernel, other.kernel)
        True
    """

    seed: int | None = None

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as JSON-able data."""
        return {key: serialize(value) for key, value in vars(self).items()}


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class Constant(Initializer):
    """One value, or an array of the weight's shape.

    Args:
        value: a number, or an array or nested lists of some.

    Raises:
        ValueError: `value` is neither.

    Example:
        >>> Constant(value=2.0)((2,), np.random.default_rng(0))
        array([2., 2.])
        >>> Dense(2, kernel_initializer=Constant(value=[[1, 2]]), input_size=1).kernel
        array([[1., 2.]], dtype=float32)
    """

    value: Any = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.value, (int, float)):
            return
        try:
            value = np.asarray(self.value)
            if value.dtype.kind not in "biufV":  # V is bfloat16
                raise TypeError(f"elements of type {value.dtype}")
            value = value.astype(np.float64)  # a copy: what becomes of the user's array does not matter
        except (TypeError, ValueError) as error:
            raise ValueError(
                "Expected a number, or an array or nested lists of some, which have one length at each depth. "
                f"Received: {type(self.value).__name__} ({str(error).rstrip('.')}). Give numbers only, in an array."
            ) from error
        value.flags.writeable = False
        object.__setattr__(self, "value", value if value.ndim else value.item())

    def __eq__(self, other: object) -> bool:  # arrays are not equal as dataclasses want it
        return (
            isinstance(other, Constant)
            and (type(self), self.seed) == (type(other), other.seed)
            and np.array_equal(self.value, other.value)
        )

    def __hash__(self) -> int:
        return hash((type(self), self.seed, np.shape(self.value)))

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        try:
            return np.broadcast_to(np.asarray(self.value, np.float64), tuple(shape)).copy()
        except ValueError:
            raise ValueError(
                f"Expected initial values of shape {tuple(shape)}. Received: an array of shape {np.shape(self.value)}. "
                "Give an array of this shape, or a number."
            ) from None


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class Uniform(Initializer):
    """Uniform on [low, high).

    Example:
        >>> values = Uniform(low=-1.0, high=1.0)((2, 3), np.random.default_rng(0))
        >>> values.shape, bool(np.abs(values).max() <= 1.0)
        ((2, 3), True)
    """

    low: float = -0.05
    high: float = 0.05

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        return generator.uniform(self.low, self.high, shape)


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class Normal(Initializer):
    """Normal with the given standard deviation.

    Example:
        >>> Normal(stddev=0.1)((2, 3), np.random.default_rng(0)).shape
        (2, 3)
    """

    stddev: float = 0.05

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        return generator.normal(0.0, self.stddev, shape)


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class GlorotUniform(Initializer):
    """Uniform on ±√(6 / (inputs + outputs)); `blocks` kernels side by side are drawn one by one (Glorot 2010).

    Example:
        >>> bool(np.abs(GlorotUniform()((2, 4), np.random.default_rng(0))).max() <= 1.0)  # √(6 / 6)
        True
    """

    blocks: int = 1

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        inputs, outputs = fans(shape)
        limit = math.sqrt(6.0 / max(1.0, inputs + outputs / self.blocks))
        return generator.uniform(-limit, limit, shape)


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class GlorotNormal(Initializer):
    """Normal with variance 2 / (inputs + outputs) (Glorot 2010).

    Example:
        >>> GlorotNormal()((2, 3), np.random.default_rng(0)).shape
        (2, 3)
    """

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        return generator.normal(0.0, math.sqrt(2.0 / sum(fans(shape))), shape)


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class HeNormal(Initializer):
    """Normal with variance 2 / inputs (He 2015).

    Example:
        >>> HeNormal()((2, 3), np.random.default_rng(0)).shape
        (2, 3)
    """

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        return generator.normal(0.0, math.sqrt(2.0 / fans(shape)[0]), shape)


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class LecunNormal(Initializer):
    """Normal with variance 1 / inputs (LeCun 1998).

    Example:
        >>> LecunNormal()((2, 3), np.random.default_rng(0)).shape
        (2, 3)
    """

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        return generator.normal(0.0, math.sqrt(1.0 / fans(shape)[0]), shape)


@register_serializable("ncps.initializers")
@dataclass(frozen=True)
class Orthogonal(Initializer):
    """A random orthogonal matrix (Saxe 2013).

    Example:
        >>> q = Orthogonal()((3, 3), np.random.default_rng(0))
        >>> np.allclose(q @ q.T, np.eye(3))
        True
    """

    def __call__(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """Values of `shape`, float64."""
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))
        return (q if rows >= columns else q.T).reshape(shape)


ARRAYS = (np.ndarray, list, tuple)
NAMED: dict[str, Initializer] = {
    "zeros": Constant(),
    "ones": Constant(value=1.0),
    "uniform": Uniform(),
    "normal": Normal(),
    "glorot_uniform": GlorotUniform(),
    "glorot_normal": GlorotNormal(),
    "he_normal": HeNormal(),
    "lecun_normal": LecunNormal(),
    "orthogonal": Orthogonal(),
}


def get(
    initializer: str | float | np.ndarray | Sequence[Any] | Initializer,
) -> Callable[[Shape, np.random.Generator], np.ndarray]:
    """The initializer of a name, a number, an array or nested lists of values, or itself.

    Raises:
        ValueError: nobody knows the name, or the lists are no array.
        TypeError: it is none of these.

    Example:
        >>> get("ones")((2,), None)
        array([1., 1.])
    """
    if isinstance(initializer, str):
        if initializer not in NAMED:
            raise ValueError(
                f"Expected an initializer out of {', '.join(NAMED)}. Received: {initializer!r}. "
                f"{nearest(initializer, NAMED)}"
            )
        return NAMED[initializer]
    if isinstance(initializer, (int, float, np.number, *ARRAYS)):
        return Constant(value=initializer)
    if callable(initializer):
        return initializer
    raise TypeError(
        f"Expected a name, a number, an array or an Initializer. Received: {initializer!r}. The names are "
        f"{', '.join(NAMED)}."
    )


def argument(initializer: Any) -> Any:
    """What a layer keeps of such an argument: what was given, but of arrays and lists a `Constant`.

    Some frameworks take arrays among the attributes of a module for weights.

    Raises:
        ValueError: see `get`.
        TypeError: see `get`.

    Example:
        >>> argument("ones"), argument([1.0, 2.0])
        ('ones', Constant(seed=None, value=array([1., 2.])))
    """
    found = get(initializer)
    return found if isinstance(initializer, ARRAYS) else initializer
