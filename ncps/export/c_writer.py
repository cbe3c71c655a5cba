"""What the functions of a C file are written with: tables, helpers, lines, and a count of what they cost."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ncps.export.blocks import Array
from ncps.export.c_helpers import HELPERS
from ncps.export.c_tables import INT8, Table, Tables, number

CELL = "static void {name}(float *state, const float *x, float timespan, float *y)"
PLAIN = "static void {name}(const float *x, float *y)"
WIDTH = 100
FREE = ("linear", "relu", "leaky_relu")  # activations without an exponential

# What the helpers have in place of $names.
AS_FLOATS = {
    "cast": "", "scale": "", "scale_parameter": "", "scales_parameter": "",
    "sigma": "sigma[k]", "mu": "mu[k]", "w": "w[k]", "erev": "erev[k]",
}  # fmt: skip
AS_INT8 = {
    "cast": "(float)", "scale": "scale * ",
    "scale_parameter": " float scale,", "scales_parameter": " const float *scale,",
    "sigma": "(scale[0] * (float)sigma[k])", "mu": "scale[1] * (float)mu[k]", "w": "scale[2] * (float)w[k]",
    "erev": "(scale[3] * (float)erev[k])",
}  # fmt: skip


@dataclass
class Writer:
    """The functions of a network, as they are written.

    Args:
        tables: its tables, and the type of their weights.
        products: multiplications with an addition, in a time step.
        functions: exponentials and hyperbolic tangents.
    """

    tables: Tables
    products: int = 0
    functions: int = 0
    text: list[str] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)
    stack: int = 0  # floats of the vectors in the function that is being written
    deepest: int = 0  # floats of the vectors in those that it calls
    _lines: list[str] = field(default_factory=list)
    _indent: str = "    "
    _times: int = 1  # how often what is being written runs

    @contextmanager
    def function(self, comment: str, head: str) -> Iterator[None]:
        """Writes a function, of what is emitted in this block, below the tables that are added in it."""
        outer = self._lines, self.stack, self.deepest
        self._lines, self.stack, self.deepest = [], 0, 0
        yield
        tables, self.tables.text = "".join(f"\n{table}" for table in self.tables.text), []
        lines, comment = "\n".join(self._lines), "\n   ".join(textwrap.wrap(f"/* {comment} */", WIDTH))
        self.text.append(f"{tables}\n{comment}\n{head}\n{{\n{lines}\n}}\n")
        taken = self.stack + self.deepest
        self._lines, self.stack, self.deepest = outer
        self.deepest = max(self.deepest, taken)

    def emit(self, *lines: str) -> None:
        """Adds lines."""
        self._lines += [f"{self._indent}{line}" for line in lines]

    def vector(self, **sizes: int) -> None:
        """Declares vectors."""
        self.stack += sum(sizes.values())
        self.emit(f"float {', '.join(f'{name}[{size}]' for name, size in sizes.items())};")

    @contextmanager
    def repeated(self, times: int) -> Iterator[None]:
        """Runs what is emitted in this block several times."""
        self.emit(f"for (int step = 0; step < {times}; ++step) {{")
        self._indent, self._times = f"{self._indent}    ", self._times * times
        yield
        self._indent, self._times = self._indent[4:], self._times // times
        self.emit("}")

    def elements(self, size: int, statement: str, products: int = 0) -> None:
        """Runs a statement for every i below `size`, with so many products."""
        self.count(products * size)
        self.emit(f"for (int i = 0; i < {size}; ++i)", f"    {statement}")

    def call(self, helper: str, *arguments: object) -> None:
        """Calls a helper, which is written into the file then."""
        self.use(helper)
        text = f"{helper}({', '.join(str(x) for x in arguments if x != '')});"
        self.emit(*textwrap.wrap(text, WIDTH, subsequent_indent=" " * (len(helper) + 1)))

    def use(self, helper: str) -> None:
        """Has a helper written, and those that it calls."""
        self.helpers |= {helper, *HELPERS[helper].needs}

    def count(self, products: int = 0, functions: int = 0) -> None:
        """Adds to the cost of a time step."""
        self.products += products * self._times
        self.functions += functions * self._times

    # -- what many blocks do

    def affine(self, name: str, kernel: Array, bias: str, x: str, y: str) -> None:
        """Writes y = bias + x kernel, and the table of the kernel, its columns one after the other."""
        inputs, outputs = kernel.shape
        self.count(kernel.size)
        table = self.tables.weight(name, kernel.T)
        self.call("affine", table.name, self.scale(table), bias, x, inputs, y, outputs)

    def activation(self, name: str, vector: str, size: int) -> None:
        """Writes an activation of a vector, in place."""
        self.count(functions=0 if name in FREE else size)
        if name != "linear":
            self.call(f"apply_{name}", vector, size)

    def scale(self, table: Table) -> str:
        """The scale of a table as an argument; none of floats."""
        return number(table.scale) if self.tables.weights == INT8 else ""

    def scales(self, name: str, tables: list[Table]) -> str:
        """The scales of tables as one argument; none of floats."""
        if self.tables.weights != INT8:
            return ""
        return self.tables.floats(f"{name}_scale", np.array([table.scale for table in tables], np.float32))

    # -- the file

    def declarations(self) -> str:
        """The types that the functions use."""
        kinds = {"weight": "signed char" if self.tables.weights == INT8 else "float"}
        kinds |= {"place": self.tables.place_type} if self.tables.places else {}
        found = (name for name in kinds if any(f" {name} " in text for text in (*self.text, self.helper_text())))
        return "".join(f"typedef {kinds[name]} {name};\n" for name in found)

    def helper_text(self) -> str:
        """The helpers that are used."""
        values = AS_INT8 if self.tables.weights == INT8 else AS_FLOATS
        return "".join(
            string.Template(HELPERS[name].text).substitute(values) for name in HELPERS if name in self.helpers
        )
