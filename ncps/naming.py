"""Names in text: classes by a name, and the nearest known one for those who mistype it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
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
    near = difflib.get_close_matches(wanted, plain, n=1)
    hint = f" Did you mean {plain[near[0]]!r}?" if near else ""
    raise ValueError(
        f"Expected {'an' if kind[0] in 'aeiou' else 'a'} {kind} out of {', '.join(known)}. Received: {name!r}.{hint}"
    )
