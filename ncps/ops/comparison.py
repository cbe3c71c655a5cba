"""Comparison and logic; the results are booleans."""

from __future__ import annotations

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive


@primitive
def equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 = x2."""


@primitive
def not_equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ≠ x2."""


@primitive
def greater(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 > x2."""


@primitive
def greater_equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ≥ x2."""


@primitive
def less(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 < x2.

    Example:
        >>> ops.less([1, 2], 2)
        array([ True, False])
    """


@primitive
def less_equal(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 ≤ x2."""


@primitive
def logical_and(x1: Tensor, x2: Tensor) -> Tensor:
    """Both."""


@primitive
def logical_or(x1: Tensor, x2: Tensor) -> Tensor:
    """At least one."""


@primitive
def logical_not(x: Tensor) -> Tensor:
    """Not x."""


@primitive
def isnan(x: Tensor) -> Tensor:
    """Whether x is NaN."""


@primitive
def isinf(x: Tensor) -> Tensor:
    """Whether x is infinite."""


@primitive
def isfinite(x: Tensor) -> Tensor:
    """Whether x is neither NaN nor infinite."""


@primitive
def where(condition: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """x1 where the condition holds, else x2.

    Example:
        >>> ops.where([True, False], 1.0, 2.0)
        array([1., 2.], dtype=float32)
    """
