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
    """x1 - x2.

    Example:
        >>> ops.subtract([1.0, 2.0], 3.0)
        array([-2., -1.], dtype=float32)
    """


@primitive
def multiply(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 * x2.

    Example:
        >>> ops.multiply([[1.0], [2.0]], [3.0, 4.0])
        array([[3., 4.],
               [6., 8.]], dtype=float32)
    """


@primitive
def divide(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 / x2.

    Example:
        >>> ops.divide([1, 2], 4)
        array([0.25, 0.5 ], dtype=float32)
    """


@primitive
def floor_divide(x1: Tensor, x2: Tensor) -> Tensor:
    """Largest integer not above x1 / x2.

    Example:
        >>> ops.floor_divide([-1.0, 5.0], 3.0)
        array([-1.,  1.], dtype=float32)
    """


@primitive
def mod(x1: Tensor, x2: Tensor) -> Tensor:
    """What remains of x1 after division by x2, with the sign of x2.

    Example:
        >>> ops.mod([-1.0, 5.0], 3.0)
        array([2., 2.], dtype=float32)
    """


@primitive
def power(x1: Tensor, x2: Tensor) -> Tensor:
    """x1 to the power x2.

    Example:
        >>> ops.power([1.0, 2.0, 3.0], 2.0)
        array([1., 4., 9.], dtype=float32)
    """


@primitive
def maximum(x1: Tensor, x2: Tensor) -> Tensor:
    """The larger of two.

    Example:
        >>> ops.maximum([1.0, 4.0], 2.0)
        array([2., 4.], dtype=float32)
    """


@primitive
def minimum(x1: Tensor, x2: Tensor) -> Tensor:
    """The smaller of two.

    Example:
        >>> ops.minimum([1.0, 4.0], 2.0)
        array([1., 2.], dtype=float32)
    """


@primitive
def clip(x: Tensor, x_min: Any, x_max: Any) -> Tensor:
    """`x` limited to [x_min, x_max].

    Example:
        >>> ops.clip([-1.0, 0.5, 2.0], 0.0, 1.0)
        array([0. , 0.5, 1. ], dtype=float32)
    """


@primitive
def negative(x: Tensor) -> Tensor:
    """-x.

    Example:
        >>> ops.negative([1.0, -2.0])
        array([-1.,  2.], dtype=float32)
    """


@primitive
def absolute(x: Tensor) -> Tensor:
    """|x|.

    Example:
        >>> ops.absolute([1.0, -2.0])
        array([1., 2.], dtype=float32)
    """


@primitive
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1.

    Example:
        >>> ops.sign([-3.0, 0.0, 0.5])
        array([-1.,  0.,  1.], dtype=float32)
    """


@primitive
def square(x: Tensor) -> Tensor:
    """x².

    Example:
        >>> ops.square([1.0, -2.0])
        array([1., 4.], dtype=float32)
    """


@primitive
def sqrt(x: Tensor) -> Tensor:
    """√x.

    Example:
        >>> ops.sqrt([4, 9])
        array([2., 3.], dtype=float32)
    """


@primitive
def rsqrt(x: Tensor) -> Tensor:
    """1 / √x.

    Example:
        >>> ops.rsqrt([4.0, 16.0])
        array([0.5 , 0.25], dtype=float32)
    """


@primitive
def reciprocal(x: Tensor) -> Tensor:
    """1 / x.

    Example:
        >>> ops.reciprocal([2.0, 4.0])
        array([0.5 , 0.25], dtype=float32)
    """


@primitive
def exp(x: Tensor) -> Tensor:
    """eˣ.

    Example:
        >>> ops.exp([0.0])
        array([1.], dtype=float32)
    """


@primitive
def expm1(x: Tensor) -> Tensor:
    """eˣ - 1, exact near 0.

    Example:
        >>> ops.expm1([0.0, 1e-8])
        array([0.e+00, 1.e-08], dtype=float32)
    """


@primitive
def log(x: Tensor) -> Tensor:
    """Natural logarithm.

    Example:
        >>> ops.log([1.0])
        array([0.], dtype=float32)
    """


@primitive
def log1p(x: Tensor) -> Tensor:
    """ln(1 + x), exact near 0.

    Example:
        >>> ops.log1p([0.0, 1e-8])
        array([0.e+00, 1.e-08], dtype=float32)
    """


@primitive
def sin(x: Tensor) -> Tensor:
    """Sine.

    Example:
        >>> ops.sin([0.0, np.pi / 2])
        array([0., 1.], dtype=float32)
    """


@primitive
def cos(x: Tensor) -> Tensor:
    """Cosine.

    Example:
        >>> ops.cos([0.0, np.pi])
        array([ 1., -1.], dtype=float32)
    """


@primitive
def tan(x: Tensor) -> Tensor:
    """Tangent.

    Example:
        >>> ops.tan([0.0])
        array([0.], dtype=float32)
    """


@primitive
def arctan(x: Tensor) -> Tensor:
    """Inverse tangent.

    Example:
        >>> ops.arctan([0.0])
        array([0.], dtype=float32)
    """


@primitive
def sinh(x: Tensor) -> Tensor:
    """Hyperbolic sine.

    Example:
        >>> ops.sinh([0.0])
        array([0.], dtype=float32)
    """


@primitive
def cosh(x: Tensor) -> Tensor:
    """Hyperbolic cosine.

    Example:
        >>> ops.cosh([0.0])
        array([1.], dtype=float32)
    """


@primitive
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent.

    Example:
        >>> ops.tanh([0.0])
        array([0.], dtype=float32)
    """


@primitive
def erf(x: Tensor) -> Tensor:
    """Error function, 2/√π ∫₀ˣ exp(-t²) dt.

    Example:
        >>> ops.erf([0.0, 10.0])
        array([0., 1.], dtype=float32)
    """


@primitive
def floor(x: Tensor) -> Tensor:
    """Largest integer not above x.

    Example:
        >>> ops.floor([-0.5, 1.5])
        array([-1.,  1.], dtype=float32)
    """


@primitive
def ceil(x: Tensor) -> Tensor:
    """Smallest integer not below x.

    Example:
        >>> ops.ceil([-0.5, 1.5])
        array([-0.,  2.], dtype=float32)
    """


@primitive
def round(x: Tensor) -> Tensor:
    """Nearest integer, halves to even.

    Example:
        >>> ops.round([0.5, 1.5, 1.7])
        array([0., 2., 2.], dtype=float32)
    """
