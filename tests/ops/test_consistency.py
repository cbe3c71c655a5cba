"""Every backend binds every primitive op, with the public signature."""

import importlib
import inspect
import types

import pytest

from ncps.backend import NCPSBackend
from ncps.ops.dispatch import PRIMITIVES


def signature(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.fixture
def module(backend):
    return importlib.import_module(f"ncps.backends.{backend}.ops")


def test_every_primitive_is_bound(module):
    assert [name for name in PRIMITIVES if not callable(getattr(module, name, None))] == []


def test_every_primitive_has_the_public_signature(module):
    found = {name: signature(getattr(module, name)) for name in PRIMITIVES}
    wanted = {name: signature(public) for name, public in PRIMITIVES.items()}
    assert {name: one for name, one in found.items() if one != wanted[name]} == {}


def test_ops_stand_in_the_same_order(module):
    import ncps.backends.numpy.ops as model

    def order(namespace):
        return [name for name in vars(namespace) if name in PRIMITIVES]

    assert order(module) == order(model)


def test_what_looks_like_an_op_is_bound(module):
    """A function whose name is that of a public op would mislead its readers if it were never called."""
    import ncps.ops

    public = set(ncps.ops.__all__) - {"random"}
    functions = {name for name, value in vars(module).items() if isinstance(value, types.FunctionType)}
    bound = NCPSBackend.ops_of(module.__name__.split(".")[-2])
    assert all(bound[name] is getattr(module, name) for name in functions & public)
    assert {name for name in functions if name.startswith("random_")} <= set(PRIMITIVES)
