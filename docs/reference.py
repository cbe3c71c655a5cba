"""Writes the pages of the reference, from the table in `public.py`; Sphinx fills in the docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from docs import bindings, public
from docs.public import Entry, Theme

FOLDER = Path(__file__).parent / "reference"
CHAPTERS = {"layers": "Layers", "": "Models, wirings and tools", "ops": "Ops"}
COMPOSED = "composed"
OPS = """{about}

To what each backend binds an op, as its source calls the framework: ``np``; ``torch``; ``jnp`` and ``lax`` of jax;
``mx`` of mlx; ``tf``; ``keras``. Where it is more than one function, the source is :ref:`below <{label}>`. Under keras,
tensors that hold numbers go to the framework on which Keras runs; what stands here is for its symbolic tensors.

"""
SEQUENCES = """{about}

Every backend has the bodies that are composed of other ops. NumPy, torch and jax, and Keras on them, replace them on
CPUs by fused kernels where numba is installed (``pip install "ncps[fast]"``).

"""


def write() -> None:
    """Writes the pages that changed, and removes those that are no more."""
    pages = {f"{theme.page}.rst": page(theme) for theme in public.THEMES} | {"index.rst": index()}
    for path in FOLDER.rglob("*.rst"):
        if path.relative_to(FOLDER).as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def index() -> str:
    """The first page."""
    parts = [heading("Reference", "="), "Every public name. Shapes: B samples, T time steps, F features, N neurons, ",
             "E synapses, H hidden units.\n\n"]  # fmt: skip
    for folder, title in CHAPTERS.items():
        pages = [theme.page for theme in public.THEMES if theme.page.rpartition("/")[0] == folder]
        parts += [heading(title, "-"), ".. toctree::\n   :maxdepth: 1\n\n", *(f"   {page}\n" for page in pages), "\n"]
    return "".join(parts)


def page(theme: Theme) -> str:
    """The page of a theme: what it is about, a table, then the names."""
    found = [entry for entry in public.entries() if entry.theme is theme]
    same = {entry.name: elsewhere(entry) for entry in found if elsewhere(entry)}
    found = [entry for entry in found if entry.name not in same]
    parts = [heading(theme.title, "="), *about(theme, found)]
    for entry in found:
        parts += directive(entry)
    parts += [f"``{name}`` is :py:class:`{other}`.\n\n" for name, other in same.items()]
    if is_bound(theme):
        parts += sources(theme, found)
    return "".join(parts)


def elsewhere(entry: Entry) -> str | None:
    """The name under which a class stands in the page of another face, as ncps.tf has some of ncps.keras."""
    others = [other for other in public.entries() if other.object is entry.object and inspect.isclass(entry.object)]
    return others[0].name if others and others[0].theme is not entry.theme else None


def is_bound(theme: Theme) -> bool:
    """Whether a theme is one of ops that backends bind one by one."""
    return theme.page.startswith("ops/") and theme.page != "ops/sequences"


def about(theme: Theme, found: list[Entry]) -> Iterator[str]:
    """What stands before the names."""
    if is_bound(theme):
        yield OPS.format(about=theme.about, label=label_of(theme))
        yield from table(theme, found)
        return
    if theme.page == "ops/sequences":
        yield SEQUENCES.format(about=theme.about)
    elif theme.about:
        yield f"{theme.about}\n\n"
    else:
        for module in theme.names or {f"ncps.{theme.page}": ""}:
            yield f".. automodule:: {module}\n   :no-index:\n\n.. py:currentmodule:: None\n\n"
    yield ".. autosummary::\n   :nosignatures:\n\n"
    yield from (f"   ~{entry.name}\n" for entry in found)
    yield "\n"


def table(theme: Theme, found: list[Entry]) -> Iterator[str]:
    """The ops and what each backend binds them to."""
    yield ".. list-table::\n   :header-rows: 1\n   :class: bindings\n\n"
    yield row(["op", *bindings.BACKENDS])
    for entry in found:
        name = bound_name(entry)
        cells = [bindings.bindings(backend).get(name) for backend in bindings.BACKENDS]
        link = f":ref:`{COMPOSED} <{label_of(theme)}-{name}>`"
        native = [link if cell is None or cell.native is None else f"``{cell.native}``" for cell in cells]
        yield row([f":py:obj:`{entry.shown} <{entry.name}>`", *native])
    yield "\n"


def row(cells: list[str]) -> str:
    """A row of a list table."""
    return "".join(f"   {'*' if i == 0 else ' '} - {cell}\n" for i, cell in enumerate(cells))


def directive(entry: Entry) -> Iterator[str]:
    """The directive for a name, with the methods of a class."""
    if not inspect.isclass(entry.object):
        yield f".. autofunction:: {entry.name}\n\n"
        return
    yield f".. autoclass:: {entry.name}\n"
    for name in public.shown_methods(entry):
        attribute = inspect.getattr_static(entry.object, name)
        kind = "property" if isinstance(attribute, property) else "method"
        yield f"\n   .. auto{kind}:: {name}\n"
    yield "\n"


def sources(theme: Theme, found: list[Entry]) -> Iterator[str]:
    """The bodies that are more than one function of the framework."""
    yield f".. _{label_of(theme)}:\n\n"
    yield heading("Composed", "-")
    for entry in found:
        name = bound_name(entry)
        bodies = {backend: bindings.bindings(backend).get(name) for backend in bindings.BACKENDS}
        composed = {backend: body.source for backend, body in bodies.items() if body and body.native is None}
        if not all(bodies.values()):
            composed = {"every backend": inspect.getsource(inspect.unwrap(entry.object))} | composed
        if composed:
            yield f".. _{label_of(theme)}-{name}:\n\n.. rubric:: ``{entry.shown}``\n\n"
        for backend, text in composed.items():
            yield f".. code-block:: python\n   :caption: {backend}\n\n"
            yield "".join(f"   {line}".rstrip() + "\n" for line in text.splitlines()) + "\n"


def bound_name(entry: Entry) -> str:
    """The name of an op in the tables of the backends."""
    return entry.shown.removeprefix("ops.").replace(".", "_")


def label_of(theme: Theme) -> str:
    """Where the bodies of a theme stand."""
    return f"composed-{theme.page.rpartition('/')[2]}"


def heading(text: str, line: str) -> str:
    """A title."""
    return f"{text}\n{line * len(text)}\n\n"
