"""Every public name has its documentation, and its place in the reference."""

import importlib
import inspect
import os
import re
from pathlib import Path

import pytest

from docs import bindings, lacking, public
from ncps.layers import LTC, Dense
from ncps.ops.dispatch import PRIMITIVES

FACES = os.environ["KERAS_BACKEND"] == "tensorflow"  # on which all of them can be imported
PAGES = ("layers", "wirings", "models", "saving", "export", "inspect", "viz", "callbacks", "losses", "metrics",
         "optimizers", "initializers", "activations", "ops")  # fmt: skip
ENTRIES = list(public.entries(FACES))


@pytest.mark.parametrize("part", lacking.CHECKS)
def test_nothing_lacks(part):
    assert lacking.missing(part, FACES) == []


def test_what_is_missing_is_found():
    def nothing_said():
        pass

    entry = ENTRIES[0]._replace(name="nothing_said", object=nothing_said, theme=public.THEMES[1])
    assert {part for part, find in lacking.CHECKS.items() if list(find(entry))} == {"docstring", "shapes", "example"}
    nothing_said.__doc__ = "$$h = x$$"
    assert list(lacking.CHECKS["source"](entry)) == ["nothing_said"]


@pytest.mark.parametrize("module", PAGES)
def test_reference_has_what_a_module_lists(module):
    home = importlib.import_module(f"ncps.{module}")
    shown = {id(entry.object) for entry in ENTRIES}
    listed = [name for name in home.__all__ if not inspect.ismodule(getattr(home, name))]
    assert [name for name in listed if id(getattr(home, name)) not in shown] == []


def test_reference_has_what_the_package_offers():
    import ncps

    shown = {entry.name for entry in ENTRIES}
    offered = [name for name in dir(ncps) if not name.startswith("_") and callable(getattr(ncps, name))]
    assert [name for name in offered if f"ncps.{name}" not in shown and f"ncps.saving.{name}" not in shown] == []


@pytest.mark.parametrize("backend", bindings.BACKENDS)
def test_every_primitive_op_has_a_binding_in_the_table(backend):
    assert PRIMITIVES.keys() - bindings.bindings(backend).keys() == set()


@pytest.mark.parametrize(
    ("backend", "op", "native"),
    [
        ("torch", "matmul", "torch.matmul"),
        ("jax", "scan", None),
        ("tensorflow", "add", "tf.raw_ops.AddV2"),
        ("keras", "take", "keras.ops.take"),
        ("mlx", "argmax", "mx.argmax"),
        ("numpy", "relu", None),  # np.maximum(x, 0) is more than a name
    ],
)
def test_what_an_op_is_bound_to(backend, op, native):
    assert bindings.bindings(backend)[op].native == native


def test_references_of_docstrings_lead_somewhere():
    """Names with a dot in single backticks that begin with ncps."""
    root = Path(__file__).parent.parent
    for path in (root / "ncps").rglob("*.py"):
        for name in re.findall(r"(?<!`)`(ncps(?:\.\w+)+)`(?!`)", path.read_text(encoding="utf-8")):
            assert resolves(name), (path.name, name)
        for page in re.findall(r"\bdocs/[\w/]+\.\w+", path.read_text(encoding="utf-8")):
            assert (root / page).exists(), (path.name, page)


def resolves(name):
    if name.startswith(("ncps.torch", "ncps.keras", "ncps.tf", "ncps.datasets", "ncps.backends")):
        return importlib.util.find_spec(".".join(name.split(".")[:2])) is not None
    found = importlib.import_module("ncps")
    for part in name.split(".")[1:]:
        if not hasattr(found, part) and inspect.ismodule(found):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)
    return True


def test_classes_of_layers_show_the_arguments_of_their_constructors():
    assert list(inspect.signature(Dense).parameters)[:2] == ["units", "activation"]
    assert list(inspect.signature(LTC).parameters)[:2] == ["units", "return_sequences"]

    class Narrow(Dense):
        def __init__(self, width, **options):
            super().__init__(width, **options)

    assert list(inspect.signature(Narrow).parameters) == ["width", "options"]
