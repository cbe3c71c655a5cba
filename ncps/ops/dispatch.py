"""How an op finds its body: the table of the active backend, by the op's name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ncps.backend import NCPSBackend, active, captured, process
from ncps.errors import UnsupportedOperationError

F = TypeVar("F", bound=Callable[..., Any])

PRIMITIVES: dict[str, Callable[..., Any]] = {}  # bound by every backend
COMPOSITES: dict[str, Callable[..., Any]] = {}  # composed of other ops; a backend may bind its own


def dispatcher(name: str, signature: F) -> F:
    """A function with the signature of `signature` that runs the active backend's binding of the op `name`.

    It is compiled from the text of a call with these parameters, as the standard library does for named tuples and
    data classes: passing ``*args, **kwargs`` on would double the cost of a dispatch.
    """
    parameters = inspect.signature(signature).parameters.values()
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    received = ", ".join(stars.get(p.kind, "") + p.name + ("" if p.default is p.empty else "=None") for p in parameters)
    passed = ", ".join(stars.get(p.kind, "") + p.name for p in parameters)
    source = f"""
def op({received}):
    try:
        _bound = (_active.ops or _process.ops or _active_ops())[{name!r}]
    except KeyError:
        raise _unbound({name!r}) from None
    return _bound({passed})
"""
    names: dict[str, Any] = {
        "_active": active,
        "_process": process,
        "_active_ops": NCPSBackend.active_ops,
        "_unbound": unbound,
    }
    exec(compile(source, f"<dispatch of {name}>", "exec"), names)  # noqa: S102 - our own text
    names["op"].__defaults__ = signature.__defaults__
    return functools.wraps(signature)(names["op"])  # type: ignore[return-value]


def unbound(name: str) -> UnsupportedOperationError:
    """The error for an op that the active backend does not bind."""
    return UnsupportedOperationError(
        f"The backend {NCPSBackend.get_backend()!r} does not bind the op {name!r}. "
        f"Bind it with NCPSBackend.register_op, or use another backend."
    )


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


def is_offered(name: str, inputs: Any, steps: bool = False, in_loop: bool = False) -> bool:
    """Whether the active backend's binding of the op `name` takes such inputs; most take all.

    With `steps`, also whether it is a body of its own that is fast for single steps; with `in_loop`, whether it may run
    within a loop of ours.
    """
    op = NCPSBackend.active_ops()[name]
    offers, for_loops = getattr(op, "offers", None), getattr(op, "for_loops", None)
    return (
        (offers is None or offers(inputs))
        and (not steps or getattr(op, "for_steps", False))
        and (not in_loop or for_loops is None or for_loops())
    )


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
