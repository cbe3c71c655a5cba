"""What is public, by theme: the reference is made of this table, and tests and `docs/lacking.py` go through it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from ncps.ops import dispatch


class Theme(NamedTuple):
    """A page of the reference."""

    page: str
    title: str
    about: str
    names: dict[str, str]  # modules, and which of their names; empty: what they list themselves


class Entry(NamedTuple):
    """A public name."""

    name: str  # where users import it from
    shown: str  # as they write it
    object: Any
    theme: Theme


LIQUID = "CfC CfCCell WiredCfCCell LTC LTCCell STC STCCell LRC LRCCell"
CONTINUOUS = "CTRNN CTRNNCell NeuralODE NeuralODECell CTGRU CTGRUCell LinOSS LinOSSCell"
DISCRETE = "LSTM LSTMCell GRU GRUCell MixedMemory MixedMemoryCell"
RUNNING = "RNN Bidirectional StackedRNNCells TimeDistributed"
OTHERS = "Dense Activation Dropout LayerNormalization List Dict"
BASES = "Layer Cell HoistingCell ODECell"

_LAYERS = [
    ("liquid", "Liquid layers", "Neurons and synapses as differential equations, and their closed form.", LIQUID),
    ("continuous", "Continuous time", "Other networks whose state lives in continuous time.", CONTINUOUS),
    ("discrete", "Gates and memory", "The baselines, and an LSTM's memory around any cell.", DISCRETE),
    ("running", "Running cells", "Layers that run cells over sequences, and put layers together.", RUNNING),
    ("others", "Other layers", "What a model needs beside them.", OTHERS),
    ("bases", "Bases", "What layers and cells of your own derive from.", BASES),
]
_OPS = [
    ("creation", "Creation and types", "Tensors, their types and their devices."),
    ("shapes", "Shapes", "Changing shapes and the order of axes."),
    ("arithmetic", "Arithmetic", "Element by element; shapes broadcast as in NumPy."),
    ("reductions", "Reductions", "Sums and other figures along axes."),
    ("linalg", "Linear algebra", "Products of vectors and matrices."),
    ("comparison", "Comparison", "Questions, answered element by element."),
    ("indexing", "Indexing", "Elements and parts of tensors, order, segments."),
    ("activations", "Activations", "Element by element, or along an axis."),
    ("control", "Control", "Loops, branches, gradients and recomputation, on every framework."),
    ("random", "Random", "Random tensors, and the state that they are drawn from."),
    ("sequences", "Whole sequences", "The run of a cell as one op, with a backward pass written by hand."),
]


def _ops_of(module: str) -> str:
    """The ops that a module declares, in its order."""
    declared = {**dispatch.PRIMITIVES, **dispatch.COMPOSITES}.values()
    shown = set(vars(importlib.import_module("ncps.ops.random" if module == "random" else "ncps.ops")))
    names = [op.__name__ for op in declared if op.__module__.split(".")[2] == module and op.__name__ in shown]
    return " ".join([*names, "LTCWeights CfCLayer Synapses"] if module == "sequences" else names)


THEMES = [
    Theme("backend", "Backends", "Which framework is active, and how another one joins.",
          {"ncps": "set_backend get_backend available_backends backend_scope NCPSBackend UnsupportedOperationError",
           "ncps.errors": "BackendConfigurationError"}),
    *(Theme(f"layers/{page}", title, about, {"ncps.layers": names}) for page, title, about, names in _LAYERS),
    Theme("wirings", "Wirings", "Who is connected to whom: pure NumPy.", {}),
    Theme("models", "Models and training", "Keras' surface on every backend.",
          {"ncps": "Sequential Model Input training_step set_seed count_params", "ncps.models": "Functional",
           "ncps.training.trainer": "Trainer"}),
    Theme("callbacks", "Callbacks", "", {}),
    Theme("losses", "Losses", "", {}),
    Theme("metrics", "Metrics", "", {}),
    Theme("optimizers", "Optimizers", "", {}),
    Theme("saving", "Saving", "Files with models and weights, read on any backend.",
          {"ncps.saving": "", "ncps": "register_serializable import_torch export_torch"}),
    Theme("initializers", "Initializers", "", {}),
    Theme("activations", "Activations by name", "", {}),
    Theme("inspect", "Looking inside", "", {}),
    Theme("viz", "Drawing", "", {}),
    Theme("export", "Export", "", {}),
    *(Theme(f"ops/{module}", title, about, {"ncps.ops.random" if module == "random" else "ncps.ops": _ops_of(module)})
      for module, title, about in _OPS),
    Theme("torch", "ncps.torch of 1.0.1", "", {"ncps.torch": ""}),
    Theme("keras", "ncps.keras of 1.0.1", "", {"ncps.keras": ""}),
    Theme("tf", "ncps.tf of 1.0.1", "", {"ncps.tf": ""}),
    Theme("datasets", "Data sets of 1.0.1", "", {"ncps.datasets.torch": "", "ncps.datasets.tf": ""}),
]  # fmt: skip
FRAMEWORKS = (
    "ncps.torch",
    "ncps.keras",
    "ncps.tf",
    "ncps.datasets.torch",
    "ncps.datasets.tf",
)  # importing asks for one

# Classes of which not every method that they add is for users or authors of layers.
METHODS = {
    "ncps.NCPSBackend": "set_backend get_backend backend_scope known_backends available_backends register register_op "
    "get_implementation",
    "ncps.layers.Layer": "build call add_weight add_seed_generator is_training count_params weight_paths get_weights "
    "set_weights apply_weight_constraints get_config from_config",
    "ncps.layers.RNN": "call step get_initial_state reset_state",
    "ncps.layers.Cell": "call get_initial_state constants drive step emit readout pack_state "
    "unpack_state effective_time_constants",
    "ncps.layers.ODECell": "derivative rates solvers fastest_rate",
    "ncps.training.trainer.Trainer": "compile fit evaluate predict train_on_batch test_on_batch predict_on_batch "
    "summary save save_weights load_weights",
}


def entries(frameworks: bool = True) -> Iterator[Entry]:
    """All public names; without those of the faces where a framework is not there."""
    for theme in THEMES:
        for module, names in (theme.names or {f"ncps.{theme.page}": ""}).items():
            if module in FRAMEWORKS and not frameworks:
                continue
            home = importlib.import_module(module)
            for name in names.split() or home.__all__:
                yield Entry(f"{module}.{name}", shown_as(module, name), getattr(home, name), theme)


def shown_as(module: str, name: str) -> str:
    """How users write a name: ``CfC``, ``ops.scan``, ``ncps.saving.load``."""
    if module in ("ncps.layers", "ncps.wirings"):
        return name
    return f"{module.removeprefix('ncps.')}.{name}" if module.startswith("ncps.ops") else f"{module}.{name}"


def shown_methods(entry: Entry) -> list[str]:
    """The methods that are for users, or for authors of layers; what a layer adds is for itself."""
    is_layer = entry.theme.page.startswith("layers/")
    return METHODS[entry.name].split() if entry.name in METHODS else [] if is_layer else methods(entry)


def methods(entry: Entry) -> list[str]:
    """The methods and properties that a class adds to those of its bases."""
    if not inspect.isclass(entry.object):
        return []
    inherited = {name for base in entry.object.__mro__[1:] for name in vars(base)}
    return [
        name
        for name, value in vars(entry.object).items()
        if not name.startswith("_") and name not in inherited and documentable(value)
    ]


def documentable(value: Any) -> bool:
    """Whether a class attribute is a method or a property."""
    return inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))
