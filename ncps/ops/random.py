"""Random tensors of a given shape, and the state that they are drawn from.

`seed` is None (the backend's global generator, see `set_seed`), an integer (the same numbers at every call) or a
`SeedGenerator`, which layers hold as native state: two calls of a compiled function draw differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ncps.ops.creation import DType, Tensor
from ncps.ops.dispatch import primitive


@primitive
def seed_generator(seed: int | None = None) -> Any:
    """State for the draws of a layer, in the form that the backend tracks; None where the framework keeps its own.

    Example:
        >>> generator = ops.random.seed_generator(1)
        >>> ops.random.normal((2, 3), seed=generator).shape
        (2, 3)
    """


@primitive
def set_seed(seed: int) -> None:
    """Starts the backend's global generator afresh.

    Example:
        >>> ops.random.set_seed(1)
        >>> first = ops.random.normal((2,))
        >>> ops.random.set_seed(1)
        >>> bool(ops.all(ops.random.normal((2,)) == first))
        True
    """


@primitive
def normal(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: DType = "float32", seed: Any = None
) -> Tensor:
    """Draws from the normal distribution.

    Example:
        >>> ops.random.normal((2, 3), stddev=0.1, seed=1).shape
        (2, 3)
    """


@primitive
def uniform(
    shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0, dtype: DType = "float32", seed: Any = None
) -> Tensor:
    """Draws from the uniform distribution on [minval, maxval).

    Example:
        >>> bool(ops.all(ops.random.uniform((100,), 2.0, 3.0, seed=1) >= 2.0))
        True
    """


@primitive
def randint(shape: Sequence[int], minval: int, maxval: int, dtype: DType = "int32", seed: Any = None) -> Tensor:
    """Draws integers from [minval, maxval).

    Example:
        >>> ops.random.randint((2, 3), 0, 10, seed=1).dtype.name
        'int32'
    """


@primitive
def bernoulli(shape: Sequence[int], probability: float = 0.5, seed: Any = None) -> Tensor:
    """Draws booleans that are true with the given probability.

    Example:
        >>> ops.random.bernoulli((3,), 1.0, seed=1)
        array([ True,  True,  True])
    """


@primitive
def dropout(inputs: Tensor, rate: float, seed: Any = None) -> Tensor:
    """Zeros a fraction `rate` of the elements and divides the others by 1 - rate.

    Example:
        >>> sorted(set(ops.random.dropout(ops.ones((100,)), 0.5, seed=1).tolist()))
        [0.0, 2.0]
    """
