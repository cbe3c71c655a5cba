"""Doctests run on NumPy, whichever frameworks are installed, with the names that their readers know."""

import os

os.environ.setdefault("NCPS_BACKEND", "numpy")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    import ncps
    from ncps import layers

    doctest_namespace.update(np=np, ops=ncps.ops, **{name: getattr(layers, name) for name in layers.__all__})
