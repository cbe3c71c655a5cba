"""Random tensors, and the state that they are drawn from.

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
    """State for the draws of a layer, in the form that the backend tracks; None where the framework keeps its own."""


@primitive
def set_seed(seed: int) -> None:
    """Starts the backend's global generator afresh."""


@primitive
def normal(
    shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: DType = "float32", seed: Any = None
) -> Tensor:
    """Draws from the normal distribution."""


@primitive
def uniform(
    shape: Sequence[int], minval: float = 0.0, maxval: float = 1.0, dtype: DType = "float32", seed: Any = None
) -> Tensor:
    """Draws from the uniform distribution on [minval, maxval)."""


@primitive
def randint(shape: Sequence[int], minval: int, maxval: int, dtype: DType = "int32", seed: Any = None) -> Tensor:
    """Draws integers from [minval, maxval)."""


@primitive
def bernoulli(shape: Sequence[int], probability: float = 0.5, seed: Any = None) -> Tensor:
    """Draws booleans that are true with the given probability."""


@primitive
def dropout(inputs: Tensor, rate: float, seed: Any = None) -> Tensor:
    """Zeros a fraction `rate` of the elements and divides the others by 1 - rate."""
