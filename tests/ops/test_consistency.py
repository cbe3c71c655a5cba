"""Every backend binds every primitive op, with the public signature."""

import importlib
import inspect
import types

import pytest

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


def test_only_the_primitives_look_like_ops(module):
    """A function whose name is that of a public op, but no primitive, would never be called."""
    import ncps.ops

    composites = {name for name in ncps.ops.__all__ if name not in PRIMITIVES} - {"random"}
    functions = {name for name, value in vars(module).items() if isinstance(value, types.FunctionType)}
    assert functions.isdisjoint(composites)
    assert {name for name in functions if name.startswith("random_")} <= set(PRIMITIVES)
