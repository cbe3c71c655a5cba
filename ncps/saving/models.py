"""Whole models in a file, and models moved from one backend to another.

A file is safetensors. It holds the weights under their paths and, where the state of the optimizer is in it, that under
``~optimizer/`` and under ``~raw/`` the weights that the optimizer carried below a constraint, which count as 0 until it
brings them back. Beside them, its metadata has under "ncps" a JSON object with

- ``version``: the number of this format;
- ``model``: the class and the configuration;
- ``build``: the shape that each layer was built for, by path;
- ``training``: the arguments of `compile`, where the model was compiled with what can be written;
- ``optimizer``: the backend, where the state of the optimizer is in the file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

from ncps import serialization
from ncps.allowance import allowance
from ncps.backend import backend_scope
from ncps.layers.layer import Layer
from ncps.saving import files
from ncps.saving.files import PathLike
from ncps.saving.weights import (
    OPTIMIZER,
    RAW,
    arrays_of,
    arrays_under,
    model_arrays,
    raw_arrays_of,
    set_weights,
    weights_of,
)

VERSION = 1
FAULTS = (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError, NotImplementedError)
FREE, FACTOR, EACH = 2**24, 100, 50_000  # bytes a configuration may ask for: some, some a byte and some a weight


def save(model: Any, path: PathLike, optimizer: bool = False) -> None:
    """Writes a model into one safetensors file: configuration, weights, and how it was compiled.

    The file appears whole or not at all: what stood there stays until the new one is complete.

    Args:
        model: a built layer or model of any backend, or an `ncps.Sequential` under keras.
        path: the file.
        optimizer: whether the state of training is written too, so that it goes on as if never interrupted: that of the
            optimizer, and the weights as it left them, where a constraint makes others of them.

    Raises:
        TypeError: it is no layer, or an object in its configuration is of a class that is not registered.
        ValueError: it is not built, or `optimizer` is asked for before any training.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from ncps.layers import Dense
        >>> model = Dense(2, input_size=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, Path(folder) / "model.safetensors")
        ...     again = load(Path(folder) / "model.safetensors")
        >>> np.array_equal(again.kernel, model.kernel)
        True
    """
    arrays, parts = arrays_of(model), {"version": VERSION, **description(model)}
    if optimizer:
        arrays |= {OPTIMIZER + name: array for name, array in optimizer_state(model).items()}
        arrays |= {RAW + name: array for name, array in raw_arrays_of(model).items()}
        parts["optimizer"] = backend_of(model)
    files.write(path, arrays, parts)


def load(path: PathLike, compile: bool = True) -> Any:  # noqa: A002 - as in Keras
    """The model in a file of `save`, on the active backend.

    Nothing in a file is executed: configurations name classes, of which only registered ones are made.

    Args:
        path: the file.
        compile: whether the model is compiled as it was, with the state of its optimizer if that is in the file and was
            written on this backend; else the optimizer begins anew, with a warning.

    Raises:
        ValueError: the file is damaged, of another format or of a newer version, names a class that is not registered
            (import the module that defines it), or its weights do not fit its configuration.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> from ncps.layers import CfC
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(CfC(4, input_size=3), f"{folder}/model.safetensors")
        ...     model = load(f"{folder}/model.safetensors")
        >>> model(np.ones((2, 5, 3), "float32")).shape
        (2, 4)
    """
    content = files.read(path)
    parts, arrays = described(content.metadata, path), content.arrays.values()
    with allowance(FREE + FACTOR * sum(array.nbytes for array in arrays) + EACH * len(arrays)):
        try:
            model = made(parts["model"], parts.get("build", {}))
        except FAULTS as error:
            raise ValueError(
                f"Expected the configuration of a model in {path}. Received: {type(error).__name__}: "
                f"{str(error).rstrip('.')}. Import the module that registers its classes; if it loaded before, the "
                "file is damaged."
            ) from error
    own = {weight.path: weight for weight in weights_of(model)}
    set_weights(own, model_arrays(content.arrays), path)
    if compile and "training" in parts:
        try:
            recompile(model, parts["training"])
        except FAULTS as error:
            raise ValueError(
                f"Expected how a model was compiled in {path}. Received: {str(error).rstrip('.')}. Load "
                "it with compile=False."
            ) from error
        restore_training(model, content.arrays, parts.get("optimizer"), path)
    return model


def convert(model: Any, backend: str) -> Any:
    """The model on another backend: the same configuration, weights, and way of training.

    Args:
        model: a built layer or model.
        backend: where it shall live.

    Returns:
        A new model; the optimizer begins anew.

    Raises:
        TypeError: an object in its configuration is of a class that is not registered.
        ValueError: it is not built, or nobody knows the backend.

    Example:
        >>> from ncps.layers import Dense
        >>> convert(Dense(2, input_size=3), "numpy").bound_to
        'numpy'
    """
    arrays, parts = arrays_of(model), json.loads(files.to_json(description(model)))  # as by a file
    with backend_scope(backend):
        again = made(parts["model"], parts["build"])
        set_weights({weight.path: weight for weight in weights_of(again)}, arrays, f"a model of {backend!r}")
        if "training" in parts:
            recompile(again, parts["training"])
    return again


# ---- what a file says of a model


def description(model: Any) -> dict[str, Any]:
    """Configuration, shapes and training of a model as data."""
    found = {"model": configuration(model), "build": dict(build_shapes(model))}
    arguments = getattr(model, "compile_arguments", None)
    if arguments:
        try:
            found["training"] = serialization.serialize(arguments)
        except TypeError as error:
            warnings.warn(f"How the model was compiled is left out: {error} Compile it again.", stacklevel=3)
    return found


def configuration(model: Any) -> Any:
    """The class and the arguments of a model; those of a Sequential under keras as ours."""
    if isinstance(model, Layer):
        return serialization.serialize(model)
    return {"class_name": "Sequential", "config": {"layers": [serialization.serialize(each) for each in model.layers]}}


def build_shapes(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The paths of the layers that are built, outer ones first, and the shapes that they were built for."""
    if isinstance(model, Layer):
        shape = model.build_shape()
        if shape is not None:
            yield path, shape
        inner = model.own_layers()
    else:
        inner = {str(i): layer for i, layer in enumerate(model.layers)}
    for name, layer in inner.items():
        yield from build_shapes(layer, f"{path}/{name}" if path else name)


def optimizer_state(model: Any) -> dict[str, Any]:
    """What the optimizer of a model remembers.

    Raises:
        ValueError: it has none yet.
    """
    state = model.optimizer_state() if hasattr(model, "optimizer_state") else None
    if not state:
        raise ValueError(
            "Expected a model that was trained, as optimizer=True writes the state of its optimizer. Received: one "
            "that was not. Call fit first, or leave optimizer out."
        )
    return state


def backend_of(model: Any) -> str:
    """The backend that a model lives on."""
    return getattr(model, "bound_to", None) or "keras"


# ---- and back


def described(metadata: dict[str, str], path: PathLike) -> dict[str, Any]:
    """The description in the metadata of a file, if it is of `save`.

    Raises:
        ValueError: it is not, or of a newer version.
    """
    parts = files.read_json(metadata.get("ncps", "{}"), f"the description of a model in {path}")
    version = parts.get("version")
    if "model" not in parts or isinstance(version, bool) or not isinstance(version, int):
        raise ValueError(
            f"Expected a file of ncps.saving.save. Received: {path}, whose metadata has "
            f"{', '.join(metadata) or 'nothing'}. Weights alone are read by load_weights."
        )
    if version > VERSION:
        raise ValueError(
            f"Expected a file of version {VERSION} at most. Received: {path} of version {version}. Update ncps: "
            "pip install --upgrade ncps"
        )
    return parts


def made(config: Any, shapes: Any) -> Any:
    """A built model from its configuration and the shapes of its layers.

    Raises:
        ValueError: they make none.
    """
    model = serialization.deserialize(config)
    if not isinstance(model, Layer) and not hasattr(model, "layers"):
        raise ValueError(
            f"Expected the configuration of a layer. Received: that of {type(model).__qualname__}. Save a layer or a "
            "model."
        )
    for path, shape in shapes.items():
        layer = model
        for name in path.split("/") if path else ():
            layer = layer.layers[int(name)] if not isinstance(layer, Layer) else layer.own_layers()[name]
        if isinstance(layer, Layer):
            layer.ensure_built(as_shape(shape))
    if not isinstance(model, Layer) and not model.built and "0" in shapes:  # a Sequential under keras
        *axes, features = as_shape(shapes["0"])
        model.build((*(None for _ in axes), features))
    return model


def as_shape(shape: Any) -> Any:
    """A shape as tuples, or a dictionary of some."""
    if isinstance(shape, dict):
        return {name: as_shape(part) for name, part in shape.items()}
    if isinstance(shape, list):
        return tuple(map(as_shape, shape))
    if shape is None or (isinstance(shape, int) and not isinstance(shape, bool) and 0 <= shape < 2**31):
        return shape
    raise ValueError(f"Expected sizes in the shape of a layer. Received: {shape!r}. {files.DAMAGED}")


def recompile(model: Any, arguments: dict[str, Any]) -> None:
    """Compiles a model with the arguments of a file."""
    if hasattr(model, "compile_arguments"):
        model.compile(**{name: serialization.deserialize(value) for name, value in arguments.items()})


def restore_training(model: Any, arrays: dict[str, Any], source: str | None, path: PathLike) -> None:
    """Gives the optimizer its state back, and the weights the values that it left them with.

    If its backend, `source`, is another, it begins anew with a warning, at the weights that count.

    Raises:
        ValueError: they do not fit the model.
    """
    if source is None:
        return
    here = backend_of(model)
    if source != here:
        warnings.warn(
            f"The state of the optimizer in the file is of {source!r}: on {here!r} it begins anew.", stacklevel=3
        )
        return
    raw = arrays_under(RAW, arrays)
    set_weights({weight.path: weight for weight in weights_of(model) if weight.path in raw}, raw, path)
    try:
        model.set_optimizer_state(arrays_under(OPTIMIZER, arrays))
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"Expected the state of the model's optimizer. Received: {str(error).rstrip('.')}. Load it with "
            "compile=False."
        ) from error
