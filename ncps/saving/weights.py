"""Weights in safetensors files: written on one backend, read on another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ncps import ops
from ncps.backend import backend_scope
from ncps.layers.containers import Dict, List
from ncps.layers.layer import Layer, Weight
from ncps.saving import files

Array = np.ndarray


def save_weights(layer: Any, path: str | os.PathLike[str]) -> None:
    """Writes the weights of a layer into a safetensors file, under their paths and in their types.

    The file appears whole or not at all: what stood there stays until the new one is complete.

    Args:
        layer: a built layer of any backend, or a `keras.Sequential`.
        path: the file.

    Raises:
        TypeError: `layer` is no layer.
        ValueError: it is not built.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from ncps.layers import Dense
        >>> source, target = Dense(2, input_size=3), Dense(2, input_size=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(source, Path(folder) / "dense.safetensors")
        ...     load_weights(target, Path(folder) / "dense.safetensors")
        []
        >>> all(np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights()))
        True
    """
    files.write(path, arrays_of(layer))


def arrays_of(layer: Any) -> dict[str, Array]:
    """The weights of a built layer by path."""
    return {weight.path: weight.owner.read_weight(weight.name) for weight in weights_of(layer)}


def raw_arrays_of(layer: Any) -> dict[str, Array]:
    """The weights that the optimizer carried below a constraint, by path: training goes on from there."""
    raw = {weight.path: weight.owner.read_raw_weight(weight.name) for weight in weights_of(layer)}
    return {name: raw[name] for name, array in arrays_of(layer).items() if not np.array_equal(raw[name], array)}


def load_weights(layer: Any, path: str | os.PathLike[str], strict: bool = True) -> list[str]:
    """Sets the weights of a layer from a safetensors file, whichever backend wrote it.

    Args:
        layer: a built layer of any backend, or a `keras.Sequential`; the weights keep its types.
        path: a file of `save_weights` or `save`.
        strict: whether all weights must be there, no others, and of the right shapes; else what fits is set.

    Returns:
        What differed, a line each: empty if strict.

    Raises:
        TypeError: `layer` is no layer.
        ValueError: it is not built, the file is no safetensors file, or, if strict, weights are missing, unexpected or
            of another shape, all of which the message names; nothing is changed then.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> from ncps.layers import Dense
        >>> trained, fresh = Dense(2, input_size=3), Dense(2, input_size=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(trained, f"{folder}/weights.safetensors")
        ...     load_weights(fresh, f"{folder}/weights.safetensors")
        []
        >>> np.array_equal(fresh.kernel, trained.kernel)
        True
    """
    own = {weight.path: weight for weight in weights_of(layer)}
    return set_weights(own, model_arrays(files.read(path).arrays), path, strict)


def set_weights(
    own: Mapping[str, Weight], arrays: Mapping[str, Array], path: str | os.PathLike[str], strict: bool = True
) -> list[str]:
    """Sets weights from arrays of the same paths; what differed."""
    faults = differences(own, arrays)
    if faults and strict:
        raise ValueError(
            f"Expected the weights of this model in {os.fspath(path)}. Received: {'; '.join(faults)}. Make the model "
            "with the arguments that it was saved with; load_weights(..., strict=False) sets what fits."
        )
    for name, weight in own.items():
        if name in arrays and arrays[name].shape == shape_of(weight):
            weight.owner.write_weight(weight.variable, arrays[name])
    return faults


OPTIMIZER, RAW = "~optimizer/", "~raw/"  # no attribute has such a name


def model_arrays(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a file that are weights of the model."""
    return {name: array for name, array in arrays.items() if not name.startswith((OPTIMIZER, RAW))}


def arrays_under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a file whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def weights_of(model: Any, prefix: str = "") -> Iterator[Weight]:
    """The weights of a layer of ours or, by position, of the layers of a `keras.Sequential`.

    Raises:
        TypeError: `model` is neither.
        ValueError: it is not built.
    """
    if isinstance(model, Layer):
        check_built(model, type(model).__name__)
        yield from model.walk(prefix)
    elif isinstance(getattr(model, "layers", None), list):
        if not model.built:
            raise not_built(type(model).__name__)
        for i, layer in enumerate(model.layers):
            yield from weights_of(layer, f"{prefix}{i}/")
    elif hasattr(model, "weights") and hasattr(model, "built"):
        if not model.built:
            raise not_built(type(model).__name__)
        for variable in model.weights:  # a layer of Keras' own
            yield Weight(prefix + variable.name, KerasOwner(variable), variable.name, variable, variable.trainable)
    else:
        raise TypeError(
            f"Expected a layer of ncps or a keras.Sequential. Received: {type(model).__qualname__}. Give a layer, or a "
            "model that holds it."
        )


class KerasOwner:
    """Reads and writes a variable of a layer of Keras' own."""

    def __init__(self, variable: Any) -> None:
        self.variable = variable

    def read_weight(self, name: str) -> Array:
        """The variable as a NumPy array."""
        with backend_scope("keras"):
            return np.asarray(ops.convert_to_numpy(self.variable))

    read_raw_weight = read_weight  # Keras applies its constraints to the variable itself

    def write_weight(self, variable: Any, value: Array) -> None:
        """Sets the variable."""
        variable.assign(value)


def check_built(layer: Layer, path: str) -> None:
    """Raises if a layer that makes weights has not made them.

    Raises:
        ValueError: so it is.
    """
    container = isinstance(layer, (List, Dict))  # it has the weights of its layers only
    if not layer.built and layer.defines_build() and not container:
        raise not_built(path)
    for name, inner in layer.own_layers().items():
        check_built(inner, f"{path}.{name}")


def not_built(path: str) -> ValueError:
    """The error for a layer without weights."""
    return ValueError(
        f"Expected a built layer, as an unbuilt one has no weights. Received: {path}, not built. "
        "Call the model once, or give its layers input_size=."
    )


def differences(own: Mapping[str, Weight], arrays: Mapping[str, Array]) -> list[str]:
    """Where arrays are not one of the right shape for every weight, a line for each."""
    faults = [f"missing: {name} {shape_of(own[name])}" for name in own if name not in arrays]
    faults += [f"unexpected: {name} {arrays[name].shape}" for name in arrays if name not in own]
    faults += [
        f"{name} of shape {arrays[name].shape} instead of {shape_of(weight)}"
        for name, weight in own.items()
        if name in arrays and arrays[name].shape != shape_of(weight)
    ]
    return faults


def shape_of(weight: Weight) -> tuple[int, ...]:
    """Shape of a weight."""
    return tuple(weight.variable.shape)
