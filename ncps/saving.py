"""Weights in safetensors files: written on one backend, read on another."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save as to_safetensors

from ncps import ops
from ncps.backend import backend_scope
from ncps.layers.containers import Dict, List
from ncps.layers.layer import Layer, Weight

Array = np.ndarray

TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


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
        >>> import numpy as np
        >>> from ncps.layers import Dense
        >>> source, target = Dense(2, input_size=3), Dense(2, input_size=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(source, Path(folder) / "dense.safetensors")
        ...     load_weights(target, Path(folder) / "dense.safetensors")
        >>> all(np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights()))
        True
    """
    # safetensors writes the memory as it lies: a transposed array would come back with its numbers in another order
    arrays = {weight.path: np.array(weight.owner.read_weight(weight.name), order="C") for weight in weights_of(layer)}
    write_atomically(Path(path), to_safetensors(arrays, {"format": "ncps"}))


def load_weights(layer: Any, path: str | os.PathLike[str]) -> None:
    """Sets the weights of a layer from a safetensors file, whichever backend wrote it.

    Args:
        layer: a built layer of any backend, or a `keras.Sequential`; the weights keep its types.
        path: a file of `save_weights`.

    Raises:
        TypeError: `layer` is no layer.
        ValueError: it is not built, the file is no safetensors file, or weights are missing, unexpected or of another
            shape, all of which the message names; nothing is changed then.
        OSError: the file cannot be read.
    """
    own = {weight.path: weight for weight in weights_of(layer)}
    arrays = read_arrays(Path(path))
    check_arrays(own, arrays, path)
    for name, weight in own.items():
        weight.owner.write_weight(weight.variable, arrays[name])


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
        raise TypeError(f"Expected a layer of ncps or a keras.Sequential. Received: {type(model).__qualname__}")


class KerasOwner:
    """Reads and writes a variable of a layer of Keras' own."""

    def __init__(self, variable: Any) -> None:
        self.variable = variable

    def read_weight(self, name: str) -> Array:
        """The variable as a NumPy array."""
        with backend_scope("keras"):
            return np.asarray(ops.convert_to_numpy(self.variable))

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


def check_arrays(own: Mapping[str, Weight], arrays: Mapping[str, Array], path: str | os.PathLike[str]) -> None:
    """Raises unless there is one array of the right shape for every weight.

    Raises:
        ValueError: there is not; the message names all that differ.
    """
    faults = [f"missing: {name} {shape_of(own[name])}" for name in own if name not in arrays]
    faults += [f"unexpected: {name} {arrays[name].shape}" for name in arrays if name not in own]
    faults += [
        f"{name} of shape {arrays[name].shape} instead of {shape_of(weight)}"
        for name, weight in own.items()
        if name in arrays and arrays[name].shape != shape_of(weight)
    ]
    if faults:
        raise ValueError(f"Expected the weights of this model in {os.fspath(path)}. Received: {'; '.join(faults)}")


def shape_of(weight: Weight) -> tuple[int, ...]:
    """Shape of a weight."""
    return tuple(weight.variable.shape)


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays in a safetensors file by name; bfloat16, which NumPy does not have, as float32.

    Raises:
        ValueError: it is no safetensors file, or holds a type that is not read here.
    """
    content = path.read_bytes()
    try:
        found = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"Expected a safetensors file. Received: {path} ({error})") from error
    return {name: as_array(name, entry) for name, entry in found}


def as_array(name: str, entry: Mapping[str, Any]) -> Array:
    """One array of a safetensors file.

    Raises:
        ValueError: its type is not read here.
    """
    kind, content = entry["dtype"], entry["data"]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in TYPES:
        values = np.frombuffer(content, TYPES[kind])
    else:
        raise ValueError(f"Expected weights of a type out of BF16, {', '.join(TYPES)}. Received: {name} of type {kind}")
    return values.reshape(entry["shape"])


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole or as it was before, also after a crash.

    Raises:
        OSError: it cannot be written.
    """
    path = path.resolve()  # a link stays a link
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # beside it: os.replace stays on one disk
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
