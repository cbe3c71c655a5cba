"""Reductions along one axis, several, or all (axis=None)."""

from __future__ import annotations

from collections.abc import Sequence

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive

Axis = int | Sequence[int] | None


@primitive
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum; the type of `x` stays, booleans are counted in int32.

    Example:
        >>> ops.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
        array([4., 6.], dtype=float32)
    """


@primitive
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean."""


@primitive
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element."""


@primitive
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element."""


@primitive
def prod(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Product."""


@primitive
def var(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Variance, divided by the number of elements."""


@primitive
def std(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Standard deviation, the root of `var`."""


@primitive
def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ without overflow."""


@primitive
def norm(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Euclidean norm of the elements."""


@primitive
def all(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are true."""


@primitive
def any(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any is true."""


@primitive
def argmax(x: Tensor, axis: int = -1) -> Tensor:
    """Index of the largest element along an axis, the first of equals, int32."""


@primitive
def argmin(x: Tensor, axis: int = -1) -> Tensor:
    """Index of the smallest element along an axis, the first of equals, int32."""


@primitive
def cumsum(x: Tensor, axis: int = 0) -> Tensor:
    """Running sum along an axis.

    Example:
        >>> ops.cumsum([1.0, 2.0, 3.0])
        array([1., 3., 6.], dtype=float32)
    """


@primitive
def cumprod(x: Tensor, axis: int = 0) -> Tensor:
    """Running product along an axis."""
