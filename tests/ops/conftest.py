"""Every test of the ops runs on every backend whose framework is installed."""

import importlib.util
import os

import pytest

import ncps
from ncps.backend import BUILTIN

DIFFERENTIABLE = ("torch", "jax", "mlx", "tensorflow", "keras")


def enter(backend):
    """The scope of a backend; skips the test where its framework is not installed."""
    if importlib.util.find_spec(BUILTIN[backend].package) is None:
        pytest.skip(f"{backend} is not installed")
    if importlib.util.find_spec(f"ncps.backends.{backend}.ops") is None:
        pytest.skip(f"ncps.backends.{backend}.ops is not written yet")
    return ncps.backend_scope(backend)


@pytest.fixture(params=("numpy", *DIFFERENTIABLE))
def backend(request):
    with enter(request.param):
        yield request.param


@pytest.fixture(params=DIFFERENTIABLE)
def differentiable(request):
    """A backend that has gradients."""
    if request.param == "keras" and os.environ["KERAS_BACKEND"] == "numpy":
        pytest.skip("Keras has no gradients on NumPy")
    with enter(request.param):
        yield request.param


@pytest.fixture
def framework(request):
    """What runs underneath: the backend itself, or what keras runs on."""
    name = request.getfixturevalue("backend" if "backend" in request.fixturenames else "differentiable")
    if name != "keras":
        return name
    import keras

    return keras.backend.backend()
