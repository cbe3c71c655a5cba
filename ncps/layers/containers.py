"""Layers that hold layers: the framework tracks what is in them, under the same paths everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ncps.layers.layer import Layer
from ncps.serialization import serialize


class List(Layer):
    """A list of layers that the framework tracks: paths ``blocks/0/kernel``, ``blocks/1/kernel`` ...

    Args:
        layers: the layers.
        options: `name`.

    Raises:
        TypeError: an element is no layer of this backend.

    Example:
        >>> [layer.units for layer in List([Dense(2), Dense(3)])]
        [2, 3]
    """

    takes_seed = False

    def __init__(self, layers: Iterable[Layer] = (), **options: Any) -> None:
        super().__init__(**options)
        self.length = 0
        for layer in layers:
            self.append(layer)

    def append(self, layer: Layer) -> None:
        """Adds a layer at the end."""
        check_layer(self, layer)
        setattr(self, str(self.length), layer)  # every framework tracks attributes
        self.length += 1

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return iter([getattr(self, str(i)) for i in range(self.length)])  # a generator takes twice as long

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):  # mlx modules are dictionaries
            return getattr(self, index)
        if isinstance(index, int):
            if not -self.length <= index < self.length:
                raise IndexError(f"Expected an index of {self.length} layers, from 0. Received: {index}. Take another.")
            return getattr(self, str(index % self.length))
        return list(self)[index]

    def __bool__(self) -> bool:
        return self.length > 0

    def get_config(self) -> dict[str, Any]:
        """The configurations of the layers."""
        return {"layers": [serialize(layer) for layer in self]}


class Dict(Layer):
    """A dictionary of layers that the framework tracks, by names that are valid identifiers.

    Args:
        layers: layers by name.
        options: `name`.

    Example:
        >>> sorted(Dict({"gate": Dense(2), "value": Dense(2)}).names)
        ['gate', 'value']
    """

    takes_seed = False

    def __init__(self, layers: Mapping[str, Layer] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.names = ",".join(layers or ()).split(",") if layers else []
        for key, layer in (layers or {}).items():
            if not key.isidentifier() or hasattr(self, key):
                raise ValueError(
                    f"Expected names that are identifiers and not taken by the module. Received: {key!r}. Give "
                    f"another, such as {'layer_' + ''.join(c if c.isalnum() else '_' for c in key)!r}."
                )
            check_layer(self, layer)
            setattr(self, key, layer)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __bool__(self) -> bool:
        return bool(self.names)

    def get_config(self) -> dict[str, Any]:
        """The configurations of the layers, by name."""
        return {"layers": {name: serialize(self[name]) for name in self.names}}


def check_layer(container: Layer, layer: Any) -> None:
    """Raises unless `layer` is a layer of the container's backend.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(layer, Layer) or layer.bound_to != container.bound_to:
        raise TypeError(
            f"Expected layers of the backend {container.bound_to!r} in {type(container).__name__}. Received: "
            f"{type(layer).__qualname__} of {getattr(layer, 'bound_to', None) or 'no backend of ncps'}. Make it while "
            f"{container.bound_to!r} is active."
        )
