"""Comparison and logic, element by element; operands broadcast to one shape, and the results are booleans."""

from __future__ import annotations

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive


@primitive
def equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 = x2.

    Example:
        >>> ops.equal([1, 2], 2)
        array([False,  True])
    """


@primitive
def not_equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ≠ x2.

    Example:
        >>> ops.not_equal([1, 2], 2)
        array([ True, False])
    """


@primitive
def greater(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 > x2.

    Example:
        >>> ops.greater([1, 2, 3], 2)
        array([False, False,  True])
    """


@primitive
def greater_equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ≥ x2.

    Example:
        >>> ops.greater_equal([1, 2, 3], 2)
        array([False,  True,  True])
    """


@primitive
def less(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 < x2.

    Example:
        >>> ops.less([1, 2], 2)
        array([ True, False])
    """


@primitive
def less_equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ≤ x2.

    Example:
        >>> ops.less_equal([1, 2, 3], 2)
        array([ True,  True, False])
    """


@primitive
def logical_and(x1: Tensor, x2: Tensor) -> Tensor:
    """Both.

    Example:
        >>> ops.logical_and([True, True], [True, False])
        array([ True, False])
    """


@primitive
def logical_or(x1: Tensor, x2: Tensor) -> Tensor:
    """At least one.

    Example:
        >>> ops.logical_or([True, False], [False, False])
        array([ True, False])
    """


@primitive
def logical_not(x: Tensor) -> Tensor:
    """Not x.

    Example:
        >>> ops.logical_not([True, False])
        array([False,  True])
    """


@primitive
def isnan(x: Tensor) -> Tensor:
    """Whether x is NaN.

    Example:
        >>> ops.isnan([1.0, np.nan, np.inf])
        array([False,  True, False])
    """


@primitive
def isinf(x: Tensor) -> Tensor:
    """Whether x is infinite.

    Example:
        >>> ops.isinf([1.0, np.nan, np.inf])
        array([False, False,  True])
    """


@primitive
def isfinite(x: Tensor) -> Tensor:
    """Whether x is neither NaN nor infinite.

    Example:
        >>> ops.isfinite([1.0, np.nan, np.inf])
        array([ True, False, False])
    """


@primitive
def where(condition: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """x1 where the condition holds, else x2.

    Example:
        >>> ops.where([True, False], 1.0, 2.0)
        array([1., 2.], dtype=float32)
    """
