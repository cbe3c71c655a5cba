"""The sparse matrix of synapses, by which a run of an LTC and its backward pass sum what goes through all of them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

from ncps.ops.creation import Tensor
from ncps.ops.dispatch import composite
from ncps.ops.indexing import segment_sum, take
from ncps.ops.linalg import matmul
from ncps.ops.reductions import sum
from ncps.ops.shapes import concatenate, reshape, split, stack, swapaxes, unstack


class SparseMatrices(NamedTuple):
    """K matrices (N, E) with one weight in each column, as functions of dense matrices."""

    product: Callable[[Tensor], Tensor]  # of x (E, B): (K, N, B)
    transposed: Callable[[Tensor], Tensor]  # of y (K, N, B), the sum of the products with the transposes: (E, B)
    gradient: Callable[[Tensor, Tensor], Tensor]  # of the weights (K, E), from x and that of the product


@composite
def sparse_matrices(weights: Tensor, rows: Tensor, count: int, sorted: bool = False) -> SparseMatrices:
    """The matrices with the `weights` (K, E) in their columns, at the same `rows` (E,) out of `count`."""

    def product(x: Tensor) -> Tensor:
        return stack(weighted_sums(x, [w[:, None] for w in unstack(weights)], rows, count, sorted))

    def transposed(y: Tensor) -> Tensor:
        return functools.reduce(
            operator.add, [take(one, rows) * w[:, None] for one, w in zip(unstack(y), unstack(weights), strict=True)]
        )

    def gradient(x: Tensor, upstream: Tensor) -> Tensor:
        return stack([sum(x * take(one, rows), axis=1) for one in unstack(upstream)])

    return SparseMatrices(product, transposed, gradient)


@composite
def weighted_sums(x: Tensor, weights: list[Tensor], rows: Tensor, count: int, sorted: bool = False) -> list[Tensor]:
    """The sums (N, B) of x (E, B) by each of the `weights` (E, 1), over the `rows` (E,) out of `count` = N.

    Those of a single sample are one sum: XLA makes a loop over the elements of each, which takes longer than all else.
    With more samples compilers no longer fuse it with what was before.
    """
    if x.shape[1] == 1:
        return split(segment_sum(x * concatenate(weights, axis=1), rows, count, sorted), len(weights), axis=1)
    return [segment_sum(x * w, rows, count, sorted) for w in weights]


def spread(weights: Tensor, count: int) -> Callable[[Tensor], Tensor]:
    """`SparseMatrices.transposed` of one matrix (1, E) where each of `count` targets has a synapse from every source.

    Nothing is looked up by index then. Sums over the targets are not faster without, and slower on most compilers.
    """
    of_targets = reshape(weights, (count, -1, 1))

    def transposed(y: Tensor) -> Tensor:
        return reshape(y * of_targets, (weights.shape[1], -1))

    return transposed


def product_of_equals(weights: Tensor, count: int) -> Callable[[Tensor], Tensor]:
    """`SparseMatrices.product` where each of `count` rows has as many columns, side by side.

    It is a product of small dense matrices then, one for each row, in half the time of sums by index on most backends.
    """
    of_rows = swapaxes(reshape(weights, (weights.shape[0], count, -1)), 0, 1)

    def product(x: Tensor) -> Tensor:
        return swapaxes(matmul(of_rows, reshape(x, (count, of_rows.shape[2], -1))), 0, 1)

    return product


@composite
def sigmoid_gradient(s: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of what s is the sigmoid of."""
    return upstream * (s - s * s)
