"""Arithmetic, element by element; both operands broadcast. Integers become float32 where the result is real."""

from __future__ import annotations

from typing import Any

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive


@primitive
def add(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 + x2.

    Example:
        >>> ops.add([1.0, 2.0], 3.0)
        array([4., 5.], dtype=float32)
    """


@primitive
def subtract(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 - x2."""


@primitive
def multiply(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 * x2."""


@primitive
def divide(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 / x2."""


@primitive
def floor_divide(x1: Tensor, x2: Tensor) -> Tensor:
    """Largest integer not above x1 / x2."""


@primitive
def mod(x1: Tensor, x2: Tensor) -> Tensor:
    """What remains of x1 after division by x2, with the sign of x2.

    Example:
        >>> ops.mod([-1.0, 5.0], 3.0)
        array([2., 2.], dtype=float32)
    """


@primitive
def power(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 to the power x2."""


@primitive
def maximum(x1: Tensor, x2: Tensor) -> Tensor:
    """The larger of two."""


@primitive
def minimum(x1: Tensor, x2: Tensor) -> Tensor:
    """The smaller of two."""


@primitive
def clip(x: Tensor, x_min: Any, x_max: Any) -> Tensor:
    """`x` limited to [x_min, x_max].

    Example:
        >>> ops.clip([-1.0, 0.5, 2.0], 0.0, 1.0)
        array([0. , 0.5, 1. ], dtype=float32)
    """


@primitive
def negative(x: Tensor) -> Tensor:
    """-x."""


@primitive
def absolute(x: Tensor) -> Tensor:
    """|x|."""


@primitive
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1."""


@primitive
def square(x: Tensor) -> Tensor:
    """x²."""


@primitive
def sqrt(x: Tensor) -> Tensor:
    """√x."""


@primitive
def rsqrt(x: Tensor) -> Tensor:
    """1 / √x."""


@primitive
def reciprocal(x: Tensor) -> Tensor:
    """1 / x."""


@primitive
def exp(x: Tensor) -> Tensor:
    """eˣ."""


@primitive
def expm1(x: Tensor) -> Tensor:
    """eˣ - 1, exact near 0."""


@primitive
def log(x: Tensor) -> Tensor:
    """Natural logarithm."""


@primitive
def log1p(x: Tensor) -> Tensor:
    """ln(1 + x), exact near 0."""


@primitive
def sin(x: Tensor) -> Tensor:
    """Sine."""


@primitive
def cos(x: Tensor) -> Tensor:
    """Cosine."""


@primitive
def tan(x: Tensor) -> Tensor:
    """Tangent."""


@primitive
def arctan(x: Tensor) -> Tensor:
    """Inverse tangent."""


@primitive
def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine."""


@primitive
def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine."""


@primitive
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent.

    Example:
        >>> ops.tanh([0.0])
        array([0.], dtype=float32)
    """


@primitive
def erf(x: Tensor) -> Tensor:
    """Error function, 2/√π ∫₀ˣ exp(-t²) dt."""


@primitive
def floor(x: Tensor) -> Tensor:
    """Largest integer not above x."""


@primitive
def ceil(x: Tensor) -> Tensor:
    """Smallest integer not below x."""


@primitive
def round(x: Tensor) -> Tensor:
    """Nearest integer, halves to even."""
