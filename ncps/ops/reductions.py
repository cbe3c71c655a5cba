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
    """Mean.

    Example:
        >>> ops.mean([[1.0, 2.0], [3.0, 4.0]], axis=1, keepdims=True)
        array([[1.5],
               [3.5]], dtype=float32)
    """


@primitive
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element.

    Example:
        >>> ops.max([[1.0, 2.0], [3.0, 0.0]], axis=-1)
        array([2., 3.], dtype=float32)
    """


@primitive
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element.

    Example:
        >>> ops.min([[1.0, 2.0], [3.0, 0.0]], axis=-1)
        array([1., 0.], dtype=float32)
    """


@primitive
def prod(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Product.

    Example:
        >>> ops.prod([[1.0, 2.0], [3.0, 4.0]], axis=0)
        array([3., 8.], dtype=float32)
    """


@primitive
def var(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Variance, divided by the number of elements.

    Example:
        >>> ops.var([[1.0, 3.0], [2.0, 2.0]], axis=1)
        array([1., 0.], dtype=float32)
    """


@primitive
def std(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Standard deviation, the root of `var`.

    Example:
        >>> ops.std([[1.0, 3.0], [2.0, 2.0]], axis=1)
        array([1., 0.], dtype=float32)
    """


@primitive
def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ without overflow.

    Example:
        >>> ops.logsumexp([[1000.0, 1000.0]], axis=1)
        array([1000.6932], dtype=float32)
    """


@primitive
def norm(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Euclidean norm of the elements.

    Example:
        >>> ops.norm([[3.0, 4.0]], axis=1)
        array([5.], dtype=float32)
    """


@primitive
def all(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are true.

    Example:
        >>> ops.all([[True, False], [True, True]], axis=1)
        array([False,  True])
    """


@primitive
def any(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any is true.

    Example:
        >>> ops.any([[True, False], [False, False]], axis=1)
        array([ True, False])
    """


@primitive
def argmax(x: Tensor, axis: int = -1) -> Tensor:
    """Index of the largest element along an axis, the first of equals, int32.

    Example:
        >>> ops.argmax([[1.0, 3.0, 3.0]])
        array([1], dtype=int32)
    """


@primitive
def argmin(x: Tensor, axis: int = -1) -> Tensor:
    """Index of the smallest element along an axis, the first of equals, int32.

    Example:
        >>> ops.argmin([[1.0, 3.0, 0.0]])
        array([2], dtype=int32)
    """


@primitive
def cumsum(x: Tensor, axis: int = 0) -> Tensor:
    """Running sum along an axis.

    Example:
        >>> ops.cumsum([1.0, 2.0, 3.0])
        array([1., 3., 6.], dtype=float32)
    """


@primitive
def cumprod(x: Tensor, axis: int = 0) -> Tensor:
    """Running product along an axis.

    Example:
        >>> ops.cumprod([1.0, 2.0, 3.0])
        array([1., 2., 6.], dtype=float32)
    """
