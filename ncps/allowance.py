"""How much memory a configuration may ask for while it is read from a file: a file of a few bytes must not fill it."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator


class _Allowance(threading.local):
    """Bytes that may still be used in this thread; without a file being read, any number."""

    left: float = math.inf


_allowance = _Allowance()


@contextlib.contextmanager
def allowance(size: int) -> Iterator[None]:
    """Within this block `spend` raises once more than `size` bytes were asked for."""
    previous, _allowance.left = _allowance.left, size
    try:
        yield
    finally:
        _allowance.left = previous


def is_limited() -> bool:
    """Whether a file is being read: initial weights need not be drawn then."""
    return _allowance.left < math.inf


def spend(size: int) -> None:
    """Takes `size` bytes before they are asked of the system.

    Raises:
        ValueError: a file is being read, and it is too small to need so much.
    """
    if size > _allowance.left:
        raise ValueError(
            "Expected a configuration that fits the weights in its file. Received: one that asks for "
            f"{size} bytes more. The file is damaged, or was made to fill the memory."
        )
    _allowance.left -= size
