"""Keras' own models and layers. None of this imports Keras: who has such a model has done so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ncps import tree
from ncps.activations import NAMED
from ncps.export import blocks
from ncps.export.blocks import Array, Block, Sizes
from ncps.layers.layer import Layer
from ncps.saving.weights import KerasOwner, not_built

OTHERWISE = {"exponential": "exp", "gelu": "gelu_exact"}  # activations that Keras names otherwise than we do


class OtherwiseError(Exception):
    """A layer computes otherwise than exported code can; the text says what it does."""


def is_of_keras(layer: Any) -> bool:
    """Whether a class of Keras itself made the layer."""
    return type(layer).__module__.partition(".")[0] == "keras"


def is_model(model: Any) -> bool:
    """Whether it is a model of Keras, and none of our layers."""
    return not isinstance(model, Layer) and isinstance(getattr(model, "layers", None), list)


def layers_in_line(model: Any) -> list[Any]:
    """The layers that a `keras.Sequential`, or a functional model without branches, calls one after another.

    Raises:
        ValueError: it is a model of another kind, or its graph branches; the message says what was found.
    """
    if hasattr(model, "pop"):  # a keras.Sequential
        return list(model.layers)
    if not hasattr(model, "operations"):
        raise ValueError("a call of its own")
    if len(model.outputs) != 1:
        raise ValueError(f"{len(model.outputs)} outputs")
    given = {id(x) for x in model.inputs}
    makers = {id(x): layer for layer in model.operations for x in tree.flatten(layer.output)[0]}
    found, tensor = [], model.outputs[0]
    while id(tensor) not in given:
        found.append(makers[id(tensor)])
        tensor, *others = tree.flatten(found[-1].input)[0]
        if any(id(x) not in given for x in others):
            raise ValueError(f"{type(found[-1]).__name__} with several inputs")
    return found[::-1]


def weight(layer: Any, name: str) -> Array:
    """A weight of a layer."""
    return np.asarray(KerasOwner(getattr(layer, name)).read_weight(name), np.float32)


def features(layer: Any) -> Any:
    """The shape that a layer was built for, which those without weights know by their place in a model only.

    Raises:
        ValueError: it knows none.
    """
    shape = (layer.get_build_config() or {}).get("input_shape") or getattr(
        getattr(layer, "output", None), "shape", None
    )
    if shape is None:
        raise not_built(type(layer).__name__)
    return shape


def activation(layer: Any) -> str:
    """Our name for the activation of a layer.

    Raises:
        OtherwiseError: it has none.
    """
    given = layer.activation
    name = getattr(given, "__name__", type(given).__name__)
    ours = OTHERWISE.get(name, name)
    if ours not in NAMED or getattr(given, "__module__", "").partition(".")[0] not in ("keras", "ncps"):
        raise OtherwiseError(f"whose activation is {name}")
    return ours


def dense(layer: Any) -> list[Block]:
    """An affine map."""
    kernel = weight(layer, "kernel")
    bias = weight(layer, "bias") if layer.use_bias else np.zeros(layer.units, np.float32)
    return [blocks.Affine(Sizes(*kernel.shape), kernel, bias, activation(layer))]


def activate(layer: Any) -> list[Block]:
    """An activation of as many elements as come."""
    size = features(layer)[-1]
    return [blocks.Activate(Sizes(size, size), activation(layer))]


def normalize(layer: Any) -> list[Block]:
    """A normalisation of the last axis.

    Raises:
        OtherwiseError: of another.
    """
    *axes, size = features(layer)
    if tuple(np.ravel(layer.axis)) not in ((-1,), (len(axes),)) or getattr(layer, "rms_scaling", False):
        raise OtherwiseError("which normalises otherwise than the features of a step")
    gamma = weight(layer, "gamma") if layer.scale else np.ones(size, np.float32)
    beta = weight(layer, "beta") if layer.center else np.zeros(size, np.float32)
    return [blocks.Normalize(Sizes(size, size), gamma, beta, layer.epsilon)]


def nothing(layer: Any) -> list[Block]:
    """A layer that does nothing once a model is trained."""
    return []


BLOCKS: dict[str, Callable[[Any], list[Block]]] = {
    "Dense": dense,
    "Activation": activate,
    "LayerNormalization": normalize,
    "Dropout": nothing,
    "InputLayer": nothing,
}
