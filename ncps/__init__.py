"""Liquid neural networks, written once and native on torch, jax, mlx, tensorflow, keras and NumPy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ncps import layers as layers, ops as ops, saving as saving, wirings as wirings
from ncps._version import __version__ as __version__
from ncps.backend import NCPSBackend as NCPSBackend, backend_scope as backend_scope
from ncps.errors import UnsupportedOperationError as UnsupportedOperationError
from ncps.models import Input as Input, Model as Model, Sequential as Sequential
from ncps.saving import convert as convert
from ncps.seeds import set_seed as set_seed
from ncps.serialization import register_serializable as register_serializable

if TYPE_CHECKING:
    from typing import Any

    from ncps import (
        callbacks as callbacks,
        datasets as datasets,
        export as export,
        inspect as inspect,
        losses as losses,
        metrics as metrics,
        optimizers as optimizers,
        viz as viz,
    )
    from ncps.checkpoints import export_torch as export_torch, import_torch as import_torch
    from ncps.training import training_step as training_step

set_backend = NCPSBackend.set_backend
get_backend = NCPSBackend.get_backend
available_backends = NCPSBackend.available_backends


def count_params(layer: layers.Layer, dense: bool = False) -> int:
    """Number of parameters of a layer; `dense` counts the synapses that a wiring leaves out as well, as papers do.

    Example:
        >>> layer = layers.LTC(wirings.AutoNCP(19, 1), input_size=4)
        >>> count_params(layer) < count_params(layer, dense=True)
        True
    """
    return layer.count_params(dense)


# A controller that runs a trained network asks for none of these, and shall not wait for them when it starts.
LATER = ("callbacks", "datasets", "export", "inspect", "losses", "metrics", "optimizers", "viz")
FUNCTIONS_LATER = {"export_torch": "checkpoints", "import_torch": "checkpoints", "training_step": "training"}


def __getattr__(name: str) -> Any:
    """Imports a module, or the module of a function, when it is first asked for."""
    if name in LATER:
        return importlib.import_module(f"ncps.{name}")
    if name in FUNCTIONS_LATER:
        return getattr(importlib.import_module(f"ncps.{FUNCTIONS_LATER[name]}"), name)
    raise AttributeError(f"module 'ncps' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER, *FUNCTIONS_LATER})
