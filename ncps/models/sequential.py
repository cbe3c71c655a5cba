"""Layers one after the other."""

from __future__ import annotations

import inspect
from typing import Any

from ncps.layers.containers import List
from ncps.layers.layer import Shape, Tensor
from ncps.models.model import Model
from ncps.naming import nearest


class Sequential(Model, List):
    """Layers one after the other; under keras a `keras.Sequential`.

    `timespans`, `mask` and `training` reach the layers that take them.

    Args:
        layers: the layers.
        options: `name`.

    Example:
        >>> model = Sequential([CfC(8), Dense(2)])
        >>> model(np.zeros((4, 5, 3), "float32"), timespans=0.5).shape
        (4, 2)
    """

    def add(self, layer: Any) -> None:
        """Adds a layer at the end."""
        self.append(layer)

    def build(self, input_shape: Shape) -> None:
        """Builds every layer for the output of the one before."""
        for layer in self:
            layer.ensure_built(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(
        self,
        inputs: Tensor,
        timespans: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool | None = None,
        **options: Any,
    ) -> Tensor:
        """Runs the layers in order.

        Raises:
            TypeError: no layer takes an option of this name.
        """
        accepted = [inspect.signature(layer.call).parameters for layer in self]
        known = {"timespans", "mask", "training"}.union(*accepted)
        for name in options:
            if name not in known:
                raise TypeError(
                    f"Expected options that a layer of the model takes: {', '.join(sorted(known))}. Received: "
                    f"{name}. {nearest(name, sorted(known))}"
                )
        options |= {"timespans": timespans, "mask": mask, "training": training}
        given = {name: value for name, value in options.items() if value is not None}
        for layer, own in zip(self, accepted, strict=True):
            inputs = layer(inputs, **{name: value for name, value in given.items() if name in own})
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape that the last layer gives."""
        for layer in self:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape
