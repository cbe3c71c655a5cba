"""Products of vectors, matrices and tensors, with the shapes that NumPy gives them."""

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
    """All products of the elements of two vectors.

    Example:
        >>> ops.outer([1, 2], [3, 4])
        array([[3, 4],
               [6, 8]], dtype=int32)
    """


@primitive
def tensordot(x1: Tensor, x2: Tensor, axes: int = 2) -> Tensor:
    """Sum of products over the last `axes` axes of x1 and the first of x2.

    Example:
        >>> ops.tensordot(ops.ones((2, 3)), ops.ones((3, 4)), axes=1).shape
        (2, 4)
    """


@primitive
def einsum(subscripts: str, *operands: Tensor) -> Tensor:
    """Einstein summation.

    Example:
        >>> ops.einsum("ij,ij->i", [[1.0, 2.0]], [[3.0, 4.0]])
        array([11.], dtype=float32)
    """
