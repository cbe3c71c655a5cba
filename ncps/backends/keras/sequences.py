"""The ops for whole sequences under Keras: those of the framework that it runs on, where that has any."""

from __future__ import annotations

import functools
import importlib

import keras

from ncps import tree
from ncps.backends.keras.ops import FRAMEWORK, tensor
from ncps.backends.kernels.sequences import TREES, wanted
from ncps.ops.dispatch import COMPOSITES


def bindings():
    """The ops by name."""
    if not (FRAMEWORK == "torch" or (FRAMEWORK in ("jax", "numpy") and wanted())):
        return {}
    below = importlib.import_module(f"ncps.backends.{FRAMEWORK}.sequences")
    return {name: on_tensors(name, getattr(below, name)) for name in TREES}


def on_tensors(name, run):
    @functools.wraps(run)  # what it tells about itself, too
    def op(*args):
        leaves = tree.flatten(args)[0]
        if any(isinstance(x, keras.KerasTensor) for x in leaves):
            return COMPOSITES[name](*args)
        return run(*tree.map(tensor, args[: TREES[name]]), *args[TREES[name] :])

    return op
