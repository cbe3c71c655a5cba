"""Loops over sequences: over the steps, or over chunks, so that what is computed for many steps takes memory for few.

What goes in and what comes out are pairs of trees of tensors, time first: (T, B, ...) from or for the user, who has the
samples first, and others, which stay between a run and its backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ncps import tree
from ncps.ops.control import scan
from ncps.ops.creation import shape
from ncps.ops.dispatch import composite
from ncps.ops.shapes import concatenate, reshape

Tree = Any
CHUNK = 128  # steps: enough for large matrix products, few enough to stay in the caches


@composite
def chunk_steps(steps: Any) -> int | None:
    """Steps of a chunk of a sequence of `steps`; None to leave it whole, as where compilers know its length by name."""
    if not isinstance(steps, int) or steps <= 2 * CHUNK:
        return None
    # A divisor leaves no shorter chunk at the end, which compilers would have to compile as well.
    return next((n for n in range(CHUNK, CHUNK // 2, -1) if steps % n == 0), CHUNK)


@composite
def over_steps(f: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree, reverse: bool = False) -> Any:
    """`scan`, where `xs` and the outputs are pairs."""
    return scan(f, carry, xs, reverse=reverse)


@composite
def over_chunks(f: Callable[[Tree, Tree], tuple[Tree, Tree]], carry: Tree, xs: Tree, reverse: bool = False) -> Any:
    """``carry, ys = f(carry, xs)`` for one chunk of steps after the other.

    Args:
        f: a function of the carry and a chunk of `xs`; its outputs have the chunk's number of steps first.
        carry: the first carry.
        xs: pair of trees of tensors, time first.
        reverse: from the last chunk to the first.

    Returns:
        The last carry, and the outputs of all steps, a pair, in the order of `xs`.
    """
    steps = tree.flatten(xs)[0][0].shape[0]
    size = chunk_steps(steps)
    if size is None:
        return f(carry, xs)
    count = steps // size
    full = tree.map(lambda x: reshape(x[: count * size], (count, size, *shape(x)[1:])), xs)
    rest = tree.map(lambda x: x[count * size :], xs) if steps % size else None
    late = None
    if rest is not None and reverse:
        carry, late = f(carry, rest)
    carry, ys = scan(f, carry, full, reverse=reverse)
    ys = tree.map(lambda y: reshape(y, (count * size, *shape(y)[2:])), ys)
    if rest is not None and not reverse:
        carry, late = f(carry, rest)
    return carry, ys if late is None else tree.map(lambda *parts: concatenate(list(parts)), ys, late)
