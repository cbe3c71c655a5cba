"""Which public names lack a part of their documentation: python -m docs.lacking."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from docs import public
from docs.public import Entry
from ncps.layers import Layer

SHAPES = re.compile(r"\((B|T|F|N|E|Es|H|M|\.\.\.)\b[^)]*\)|\bshapes?\b|\bax(is|es)\b|\belement|\bscalar")
FORMULA = re.compile(r"\$\$|dx/dt|dh/dt")
EXAMPLES = ("layers/", "ops/", "backend", "wirings", "models", "saving", "export", "inspect", "initializers", "metrics")


def text_of(entry: Entry) -> str:
    """The docstring; a class does not inherit it."""
    found = vars(entry.object).get("__doc__") if inspect.isclass(entry.object) else entry.object.__doc__
    return found or ""


def without_docstring(entry: Entry) -> Iterator[str]:
    """The name and its methods that have none."""
    if not text_of(entry):
        yield entry.name
    for name in public.methods(entry):
        method = inspect.getattr_static(entry.object, name)
        if not (getattr(method, "__func__", method).__doc__):
            yield f"{entry.name}.{name}"


def without_shapes(entry: Entry) -> Iterator[str]:
    """Layers and ops that do not say which shapes they take or give, themselves, in `call` or for their theme."""
    if entry.theme.page.startswith(("layers/", "ops/")):
        call = getattr(entry.object, "call", None) or (None if inspect.isfunction(entry.object) else Layer.call)
        theme = sys.modules[inspect.unwrap(entry.object).__module__] if inspect.isfunction(entry.object) else None
        if call is not Layer.call and not any(
            SHAPES.search(getattr(x, "__doc__", None) or "") for x in (entry.object, call, theme)
        ):
            yield entry.name


def without_source(entry: Entry) -> Iterator[str]:
    """Layers and cells that state an equation, and not where it is from."""
    if (
        entry.theme.page.startswith("layers/")
        and FORMULA.search(text_of(entry).partition("Example:")[0])
        and "Source:" not in text_of(entry)
    ):
        yield entry.name


def without_example(entry: Entry) -> Iterator[str]:
    """Names without an example that runs as a test, where their theme has them."""
    is_data = inspect.isclass(entry.object) and issubclass(entry.object, (BaseException, tuple))
    if entry.theme.page.startswith(EXAMPLES) and not is_data and ">>>" not in text_of(entry):
        yield entry.name


CHECKS = {
    "docstring": without_docstring,
    "shapes": without_shapes,
    "source": without_source,
    "example": without_example,
}


def missing(check: str, frameworks: bool = True) -> list[str]:
    """The names that lack a part."""
    return [name for entry in public.entries(frameworks) for name in CHECKS[check](entry)]


def main() -> int:
    """Prints what there is and what is missing; the exit status."""
    entries = list(public.entries())
    table = Table("theme", "names", "methods", *(f"no {check}" for check in CHECKS), title="Documentation")
    for theme in public.THEMES:
        own = [entry for entry in entries if entry.theme is theme]
        lacking = [sum(len(list(find(entry))) for entry in own) for find in CHECKS.values()]
        table.add_row(theme.page, *map(str, [len(own), sum(len(public.methods(e)) for e in own), *lacking]))
    console = Console()
    console.print(table)
    found = {check: missing(check) for check in CHECKS}
    for check, names in found.items():
        console.print(f"without {check}: {', '.join(names) or 'none'}")
    return int(any(found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
