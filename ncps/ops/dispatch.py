"""How an op finds its body: the table of the active backend, by the op's name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ncps.backend import NCPSBackend, active, captured
from ncps.errors import UnsupportedOperationError

F = TypeVar("F", bound=Callable[..., Any])

PRIMITIVES: dict[str, Callable[..., Any]] = {}  # bound by every backend
COMPOSITES: dict[str, Callable[..., Any]] = {}  # composed of other ops; a backend may bind its own


def dispatcher(name: str, signature: F) -> F:
    """A function with the signature of `signature` that runs the active backend's binding of the op `name`."""

    @functools.wraps(signature)
    def op(*args: Any, **kwargs: Any) -> Any:
        try:
            body = (active.ops or NCPSBackend.active_ops())[name]
        except KeyError:
            raise UnsupportedOperationError(
                f"The backend {NCPSBackend.get_backend()!r} does not bind the op {name!r}. "
                f"Bind it with NCPSBackend.register_op, or use another backend."
            ) from None
        return body(*args, **kwargs)

    return op  # type: ignore[return-value]


def primitive(signature: F) -> F:
    """Declares an op that every backend binds; the function gives its signature and documentation."""
    name = op_name(signature)
    PRIMITIVES[name] = signature
    return dispatcher(name, signature)


def composite(body: F) -> F:
    """Declares an op with a body composed of other ops, for which a backend may register a faster one."""
    name = op_name(body)
    COMPOSITES[name] = body
    NCPSBackend.provide_op(name, body)
    return dispatcher(name, body)


def keeps_functions(op: F) -> F:
    """Captures the backend in every function given to `op`: the framework may call it after the scope has ended."""

    @functools.wraps(op)
    def keeping(*args: Any, **kwargs: Any) -> Any:
        args = tuple(captured(x) if callable(x) else x for x in args)
        return op(*args, **{k: captured(x) if callable(x) else x for k, x in kwargs.items()})

    return keeping  # type: ignore[return-value]


def op_name(function: Callable[..., Any]) -> str:
    """Name of an op in the tables: ``random_normal`` for ``ops.random.normal``."""
    return ("random_" if function.__module__.endswith(".random") else "") + function.__name__
