"""Names in C: of what users see, valid whatever a model is called."""

from __future__ import annotations

import re
from typing import Any

KEYWORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm
"""
HEADERS = """
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef stdint
    stdio stdlib string tgmath time wchar wctype
"""
TAKEN = frozenset((KEYWORDS + HEADERS).split())  # a file of such a name could take the place of the standard's own
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
LONGEST = 24  # C99 tells names apart by their first 31 characters, of which _state takes some


def identifier_of(name: str) -> str:
    """A valid identifier that resembles `name`.

    Example:
        >>> identifier_of("lane keeper-2.1"), identifier_of("3D"), identifier_of("int"), identifier_of("神経")
        ('lane_keeper_2_1', 'model_3D', 'model_int', 'model')
    """
    plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_]", "_", name)).strip("_")[:LONGEST].rstrip("_")
    if not plain:
        return "model"
    return plain if is_identifier(plain) else f"model_{plain}"[:LONGEST]


def check_identifier(name: Any) -> str:
    """`name` if it is an identifier of C that names functions and files.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(name, str) or not is_identifier(name):
        near = f"Try {identifier_of(name)!r}." if isinstance(name, str) else "Give a text."
        raise ValueError(
            "Expected name as an identifier of C: a letter, then letters, digits and underscores, and no keyword or "
            f"standard header. Received: {name!r}. {near}"
        )
    return name


def is_identifier(name: str) -> bool:
    """Whether C takes the name, for functions and for files."""
    return IDENTIFIER.fullmatch(name) is not None and name.lower() not in TAKEN


def in_comment(text: str) -> str:
    """`text` as a comment of C can hold it.

    Example:
        >>> in_comment("fast */ ??/ model")
        'fast __ ___ model'
    """
    return re.sub(r"[^A-Za-z0-9 _.,:()+=-]", "_", text)
