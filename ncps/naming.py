"""Names in text: classes by a name, and the nearest known one for those who mistype it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def snake_case(name: str) -> str:
    """``"mean_squared_error"`` for ``"MeanSquaredError"``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def find(kind: str, name: Any, known: Mapping[str, T]) -> T:
    """What `known` has under `name`; capitals and underscores do not matter.

    Raises:
        ValueError: nothing; the message has the nearest known name.

    Example:
        >>> find("letter", "Alpha", {"alpha": 1})
        1
    """
    plain = {key.replace("_", ""): key for key in known}
    wanted = name.replace("_", "").lower() if isinstance(name, str) else ""
    if wanted in plain:
        return known[plain[wanted]]
    raise ValueError(
        f"Expected {'an' if kind[0] in 'aeiou' else 'a'} {kind} out of {', '.join(known)}. Received: {name!r}. "
        f"{nearest(name, known)}"
    )


def nearest(name: Any, known: Iterable[Any]) -> str:
    """The way out for a name that is not known: the nearest that is.

    Example:
        >>> nearest("pytorch", ("numpy", "torch"))
        "Did you mean 'torch'?"
        >>> nearest("abacus", ("numpy", "torch"))
        'Give one of these.'
    """
    plain = {str(key).replace("_", "").lower(): key for key in known}
    near = difflib.get_close_matches(str(name).replace("_", "").lower(), plain, n=1)
    return f"Did you mean {plain[near[0]]!r}?" if near else "Give one of these."
