"""Which function of each framework an op is bound to, read from the sources, so that no framework need be installed."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "ncps" / "backends"
BACKENDS = ("numpy", "torch", "jax", "mlx", "tensorflow", "keras")
DOES_MORE = {("mlx", "unstack"), ("mlx", "device"), ("numpy", "random_set_seed")}  # with what that function returns
ROOTS = {  # how the sources call the frameworks
    "numpy": ("np",),
    "torch": ("torch",),
    "jax": ("jax", "jnp", "lax"),
    "mlx": ("mx",),
    "tensorflow": ("tf",),
    "keras": ("keras",),
}
MORE = (ast.BinOp, ast.Compare, ast.If, ast.For, ast.While)  # they compute something of their own
# They convert what comes in and goes out, and compute nothing.
FACTORIES = {"unary", "real", "binary", "real_binary", "reduction", "raw", "kept", "typed", "counted", "product"}
HELPERS = FACTORIES | {
    "logical",
    "test",
    "tensor",
    "tensors",
    "floating",
    "boolean",
    "pair",
    "promoted",
    "native_dtype",
}
HELPERS |= {"tuple", "list", "dims", "generator", "cast", "beside", "int"}


class Binding(NamedTuple):
    """How a backend provides an op."""

    native: str | None  # the framework's function, where it is one
    source: str  # the statement


@functools.cache
def bindings(backend: str) -> dict[str, Binding]:
    """The bindings of a backend, by the op's name in the tables."""
    found = {}
    for file in ("ops.py", "random.py", "control.py", "sequences.py"):
        path = FOLDER / backend / file
        if path.exists():
            text = path.read_text(encoding="utf-8")
            for node in ast.parse(text).body:
                for name in defined(node):
                    found[name] = Binding(
                        None if (backend, name) in DOES_MORE else native(node, backend),
                        ast.get_source_segment(text, node) or "",
                    )
    return found


def defined(node: ast.stmt) -> list[str]:
    """Names that a statement of a module binds."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def native(node: ast.stmt, backend: str) -> str | None:
    """The one function of the framework that a statement is about; None where it is about more."""
    if any(isinstance(x, MORE) or (isinstance(x, ast.Lambda) and has_numbers(x)) for x in ast.walk(node)):
        return None
    calls = [x for x in ast.walk(node) if isinstance(x, ast.Call)]
    if any(
        isinstance(x.func, ast.Attribute) and not dotted(x.func) and x.func.attr not in ("astype", "to") for x in calls
    ):
        return None
    given = [x for call in calls for x in call.args] if isinstance(node, ast.Assign) else []  # to a factory
    names = {name for x in [*(call.func for call in calls), *given] if (name := dotted(x))}
    own = {name for name in names if name.split(".")[0] in ROOTS[backend] and not is_type(name)}
    arguments = {x.arg for x in ast.walk(node) if isinstance(x, ast.arg)}
    others = {name for name in names - own - arguments - HELPERS if "." not in name}
    return own.pop() if len(own) == 1 and not others else None


def dotted(node: ast.expr) -> str | None:
    """A name such as ``jnp.matmul``."""
    if isinstance(node, ast.Attribute):
        return f"{before}.{node.attr}" if (before := dotted(node.value)) else None
    return node.id if isinstance(node, ast.Name) else None


def has_numbers(node: ast.expr) -> bool:
    """Whether numbers are written in an expression."""
    return any(isinstance(x, ast.Constant) and type(x.value) in (int, float) for x in ast.walk(node))


def is_type(name: str) -> bool:
    """Whether a dotted name is that of a type of numbers."""
    return name.rsplit(".", maxsplit=1)[-1].rstrip("_0123456789") in {"int", "float", "bool", "bfloat"}
