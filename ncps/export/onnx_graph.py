"""A graph of ONNX as it is written: nodes of standard operators, and constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 18  # the first whose reductions take axes as an input, as all later ones do
IR_VERSION = 8  # of the file; the one that came with the opset, which runtimes of its time read


@dataclass
class Graph:
    """Nodes in the order in which they were added, and constants, which inner graphs see as well."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    _known: dict[tuple[bytes, str, tuple[int, ...]], str] = field(default_factory=dict)

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; the name of its output, or names of several. Inputs that are no names become constants."""
        number = len(self.nodes)
        names = [f"{operator}_{number}_{i}" for i in range(outputs)]
        given = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(helper.make_node(operator, given, names, name=f"{operator}_{number}", **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any) -> str:
        """The name of a constant: floats as float32, whole numbers as int64, each value once."""
        array = np.asarray(value)
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind in "iu" else np.float32).reshape(array.shape)
        key = array.tobytes(), array.dtype.str, array.shape
        if key not in self._known:
            self._known[key] = f"constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def rename(self, name: str, wanted: str) -> str:
        """Gives an output its name in the interface of the graph."""
        self.nodes.append(helper.make_node("Identity", [name], [wanted], name=f"give_{wanted}"))
        return wanted


def tensor(name: str, *shape: int | str) -> Any:
    """An input or output of floats."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
