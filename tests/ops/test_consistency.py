"""Every backend binds every primitive op, with the public signature."""

import importlib
import inspect
import types

import pytest

from ncps.backend import NCPSBackend
from ncps.ops.dispatch import PRIMITIVES


def signature(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.fixture(params=["ops", "random", "control"])
def module(backend, request):
    return importlib.import_module(f"ncps.backends.{backend}.{request.param}")


def test_every_primitive_is_bound_with_the_public_signature(backend):
    bound = NCPSBackend.ops_of(backend)
    found = {name: signature(bound[name]) for name in PRIMITIVES}
    wanted = {name: signature(public) for name, public in PRIMITIVES.items()}
    assert {name: one for name, one in found.items() if one != wanted[name]} == {}


def test_ops_stand_in_the_same_order(module):
    part = module.__name__.split(".")[-1]

    def order(backend):
        found, ops = (vars(importlib.import_module(f"ncps.backends.{backend}.{name}")) for name in (part, "ops"))
        return [name for name in found if name in PRIMITIVES and (found is ops or name not in ops)]

    assert order(module.__name__.split(".")[-2]) == order("numpy")


def test_what_looks_like_an_op_is_bound(module):
    """A function whose name is that of a public op would mislead its readers if it were never called."""
    import ncps.ops

    public = set(ncps.ops.__all__) - {"random"}
    functions = {name for name, value in vars(module).items() if isinstance(value, types.FunctionType)}
    bound = NCPSBackend.ops_of(module.__name__.split(".")[-2])
    assert all(bound[name] is getattr(module, name) for name in functions & public)
    assert {name for name in functions if name.startswith("random_")} <= set(PRIMITIVES)
