"""Configurations are data: objects become dictionaries, and only registered classes come back from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

C = TypeVar("C", bound=type)
LARGEST_ARRAY = 128 * 128  # elements: each takes some 20 bytes of text

_classes: dict[str, type] = {}
_names: dict[type, str] = {}


def register_serializable(package: str = "custom") -> Callable[[C], C]:
    """Class decorator: configurations may name this class.

    Args:
        package: prefix of the name in files, ``package>ClassName``.

    Example:
        >>> @register_serializable("mine")
        ... class Gate: ...
    """

    def register(cls: C) -> C:
        register_class(f"{package}>{cls.__name__}", cls)
        return cls

    return register


def register_class(name: str, cls: type) -> None:
    """Lets configurations name `cls`."""
    _classes[name] = cls
    _names[cls] = name


def serialize(value: Any) -> Any:
    """`value` as JSON-able data: arrays as nested lists, registered objects as their name and configuration.

    Raises:
        TypeError: it is neither data nor of a registered class.
        ValueError: it is a large array.
    """
    if isinstance(value, Mapping) and not hasattr(value, "get_config"):
        return {key: serialize(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "get_config"):
        return [serialize(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.size > LARGEST_ARRAY:
            raise ValueError(
                f"Expected at most {LARGEST_ARRAY} elements in an array of a configuration. Received: {value.shape}. "
                "If they are initial values, which the weights hold, set that argument of the layer to 'zeros' now."
            )
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    cls = next((base for base in type(value).__mro__ if base in _names), None)
    if cls is None or cls.__name__ != type(value).__name__:
        raise TypeError(
            f"Expected data or an object of a registered class. Received: {type(value).__qualname__}. Register the "
            f'class with @ncps.register_serializable("package") and give it get_config and from_config.'
        )
    return {"class_name": _names[cls], "config": value.get_config()}


def deserialize(data: Any) -> Any:
    """What `serialize` made data of; unregistered names raise.

    Raises:
        ValueError: a class is not registered.
    """
    if isinstance(data, Mapping):
        if set(data) != {"class_name", "config"}:
            return {key: deserialize(item) for key, item in data.items()}
        if data["class_name"] not in _classes:
            raise ValueError(
                f"Expected the name of a registered class. Received: {data['class_name']!r}. Import the module that "
                "defines it, and register it there with @ncps.register_serializable."
            )
        cls = _classes[data["class_name"]]
        return cls.from_config(data["config"]) if hasattr(cls, "from_config") else cls(**data["config"])
    return [deserialize(item) for item in data] if isinstance(data, (list, tuple)) else data
