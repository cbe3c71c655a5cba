"""What the native base classes share.

A native base makes a layer the framework's own module; it provides

- ``__init__(name, dtype)`` and the framework's entry point (``forward`` or ``__call__``), which calls `Layer.run`;
- ``make_weight(name, value, trainable, constraint)`` and ``make_buffer(array)``: what the framework tracks as a
  parameter, and as a constant that is neither trained nor saved (kept in an attribute with a leading underscore);
- ``capturable(tensors)``: a tree of tensors in a form that the function of a loop may capture;
- ``make_state(tensor)``, ``read_state(name)``, ``write_state(name, tensor)``: what a stateful layer keeps between its
  calls, neither trained nor saved; ``makes_states_at_build()``: whether it must be made while the layer is built;
- ``native_result(outputs, state)`` and ``native_state(state)``: how layers return states, and cells their first one;
- ``changes_in_place``: whether users can change a tensor in place, so that results must not share memory;
- ``native_attributes()``, ``native_weights()``, ``is_weight(value)``, ``write_weight(variable, value)``;
- ``native_training()``: the framework's own mode; ``is_traced(x)``: whether a compiler runs that hides the values of x;
- ``build_shape()``: the shape of the inputs that the layer was built for, None before;
- ``reopen()``: lets a built layer be built again;
- ``input_type()``: the type that inputs are converted to, None for any;
- ``native_dtype()``, ``native_config()`` and ``bound(layer)``, called once for each bound class.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ncps import ops


class NativeLayer:
    """The hooks of a native base, as they are where the framework has no view of its own."""

    changes_in_place = False

    if TYPE_CHECKING:  # what the layer adds, see ncps/layers/layer.py
        anchor_weight: Callable[[], Any]
        arguments: Callable[[], list[str]]
        _anchor: tuple[str, ...]
        _shape_built_for: Any

    def __init__(self, name: str | None = None, dtype: Any = None, **unknown: Any) -> None:
        super().__init__()
        if unknown:
            raise TypeError(
                f"Expected arguments that {type(self).__name__} takes: {', '.join(self.arguments())}. Received: "
                f"{', '.join(unknown)}. Leave it out, or correct its name."
            )
        self._given_name = name
        self._dtype_name = (
            str(np.dtype(dtype)) if dtype not in (None, "bfloat16") and not isinstance(dtype, str) else dtype
        )
        if dtype is not None:
            ops.zeros((), self._dtype_name)  # raises what the backend says of a type that it does not have
        self.built = False

    @property
    def name(self) -> str:
        """The given name, or one from the class."""
        return self._given_name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def capturable(self, tensors: Any) -> Any:
        return tensors

    def make_state(self, tensor: Any) -> Any:
        return tensor

    def makes_states_at_build(self) -> bool:
        return False

    def read_state(self, name: str) -> Any:
        return getattr(self, name)

    def write_state(self, name: str, tensor: Any) -> None:
        setattr(self, name, tensor)

    def input_type(self) -> Any:
        return self.anchor_weight().dtype if self._anchor else self._dtype_name

    def native_dtype(self) -> str:
        return self._dtype_name or "float32"

    def native_config(self) -> dict[str, Any]:
        return {"name": self._given_name, "dtype": self._dtype_name}

    def native_attributes(self) -> Iterable[tuple[str, Any]]:
        return list(vars(self).items())

    def native_result(self, outputs: Any, state: Any) -> Any:
        return outputs, state

    def native_state(self, state: Any) -> Any:
        return state

    def native_training(self) -> bool:
        return False

    def is_traced(self, x: Any) -> bool:
        return False

    def build_shape(self) -> Any:
        return self._shape_built_for

    def reopen(self) -> None:
        pass

    @staticmethod
    def bound(layer: Any) -> None:
        inner = layer.build

        @functools.wraps(inner)
        def build(self: Any, input_shape: Any) -> None:
            if self.built:
                return
            input_shape = input_shape if isinstance(input_shape, dict) else tuple(input_shape)
            with self.whole_or_not_at_all(), self.scope():
                inner(self, input_shape)
            self.built, self._shape_built_for = True, input_shape
            self.find_anchor()

        layer.build = build
