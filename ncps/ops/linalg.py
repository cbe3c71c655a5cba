"""Products of vectors and matrices."""

from __future__ import annotations

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import primitive


@primitive
def matmul(x1: Tensor, x2: Tensor) -> Tensor:
    """Matrix product of the last two axes; leading axes broadcast.

    Example:
        >>> ops.matmul([[1.0, 2.0]], [[3.0], [4.0]])
        array([[11.]], dtype=float32)
    """


@primitive
def outer(x1: Tensor, x2: Tensor) -> Tensor:
    """All products of the elements of two vectors."""


@primitive
def tensordot(x1: Tensor, x2: Tensor, axes: int = 2) -> Tensor:
    """Sum of products over the last `axes` axes of x1 and the first of x2."""


@primitive
def einsum(subscripts: str, *operands: Tensor) -> Tensor:
    """Einstein summation.

    Example:
        >>> ops.einsum("ij,ij->i", [[1.0, 2.0]], [[3.0, 4.0]])
        array([11.], dtype=float32)
    """
