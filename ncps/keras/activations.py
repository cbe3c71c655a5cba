"""Activations by the names that Keras gives them."""

from __future__ import annotations

from typing import Any

import keras

from ncps.activations import NAMED
from ncps.backend import backend_scope
from ncps.checkpoints.dialects import EXACT


@keras.saving.register_keras_serializable(package="", name="lecun_tanh")  # as files of ncps 1.0.1 name it
def lecun_tanh(x: Any) -> Any:
    """1.7159 tanh(0.666 x)."""
    with backend_scope("keras"):
        return NAMED["lecun_tanh"](x)


def name_of(activation: Any) -> Any:
    """What configurations hold: a name where there is one, also of what a file of ncps 1.0.1 says; else a function."""
    if isinstance(activation, dict):
        activation = activation["config"]
    if activation is lecun_tanh:
        return "lecun_tanh"
    return activation.rpartition(">")[2] if isinstance(activation, str) else activation


def own(activation: Any) -> Any:
    """The name of one of our activations that is meant, else a function of Keras."""
    name = EXACT.get(activation, activation) if isinstance(activation, str) else activation
    return name if name in NAMED else keras.activations.get(activation)
