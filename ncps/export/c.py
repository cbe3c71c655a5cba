"""A model as C99: a header and a source that need nothing but ``math.h``."""

from __future__ import annotations

import contextlib
import os
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncps._version import __version__
from ncps.export import c_blocks
from ncps.export.c_tables import FLOAT, INT8, Tables
from ncps.export.c_writer import Writer
from ncps.export.lowering import Network, network_of
from ncps.export.names import check_identifier, identifier_of, in_comment
from ncps.saving.files import write_all_atomically

FLOAT_BYTES = 4


@dataclass(frozen=True)
class CCode:
    """What `to_c` wrote, and what it will take on the device.

    Args:
        name: what functions and files begin with.
        files: the header, the source, and with ``example=True`` a main program and a Makefile.
        flash: bytes of the constant tables; instructions come on top, as many as the compiler makes.
        ram: bytes of the state, which is kept from step to step.
        stack: bytes of the vectors of a step, which are on the stack while it runs.
        products: multiplications with an addition in a step.
        functions: exponentials, hyperbolic tangents and square roots in a step.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     code = to_c(CfC(4, input_size=3), folder, name="small")
        >>> code.ram, [file.name for file in code.files]
        (16, ['small.h', 'small.c'])
    """

    name: str
    files: tuple[Path, ...]
    flash: int
    ram: int
    stack: int
    products: int
    functions: int

    def __str__(self) -> str:
        return (
            f"{self.flash:,} bytes of flash for tables, {self.ram:,} bytes of RAM for the state and {self.stack:,} of "
            f"stack; a step takes {self.products:,} multiply-adds and {self.functions:,} exponentials"
        )


def to_c(
    model: Any, path: str | os.PathLike[str], name: str | None = None, weights: str = FLOAT, example: bool = False
) -> CCode:
    """Writes a trained model as C99, for devices without Python.

    A header and a source without dependencies beyond ``math.h``, without heap and without variables of their own: the
    weights are constant tables, the state belongs to the caller. ``NAME_reset(&state)`` begins a stream, and
    ``NAME_step(&state, input, timespan, output)`` computes one time step of it, as `layer.step` does.

    Args:
        model: a built layer, cell or model of any backend: LTC, CfC, CTRNN, NeuralODE, MixedMemory, StackedRNNCells
            and, beside them or around them in a Sequential, Dense, Activation, LayerNormalization and Dropout; classes
            that derive from these and change no equation; chains of layers of Keras.
        path: the folder for the files; it is made if it is not there.
        name: identifier that functions and files begin with; by default like the model's name.
        weights: ``"float32"``, or ``"int8"`` with a scale for each matrix, a quarter of the bytes; biases stay floats.
        example: whether a main program is written, which reads numbers from its standard input, and a Makefile.

    Returns:
        The files, and the bytes and operations that the code takes.

    Raises:
        TypeError: one of the layers has no form in C, or `model` is none.
        ValueError: the model is not built, a weight is not finite, `name` is no identifier, or `weights` is unknown.
        OSError: the files cannot be written; then none is.

    Example:
        >>> import tempfile
        >>> from ncps.wirings import AutoNCP
        >>> model = Sequential([LTC(AutoNCP(19, 4), input_size=8), Dense(2, input_size=4)], name="controller")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     code = to_c(model, folder)
        ...     [file.name for file in code.files]
        ['controller.h', 'controller.c']
        >>> code.ram  # 19 potentials
        76
    """
    if weights not in (FLOAT, INT8):
        raise ValueError(
            f"Expected weights='float32' or 'int8'. Received: weights={weights!r}. 'int8' takes a quarter of the "
            "memory."
        )
    given = None if name is None else check_identifier(name)
    network = network_of(model)
    name = given or identifier_of(network.name)
    out = Writer(Tables(weights))
    states = functions_of(network, name, out)
    names = [f"{name}.h", f"{name}.c", *([f"{name}_main.c", "Makefile"] if example else [])]
    code = CCode(
        name,
        tuple(Path(path) / each for each in names),
        out.tables.flash,
        FLOAT_BYTES * network.chain.sizes.state,
        FLOAT_BYTES * out.deepest,
        out.products,
        out.functions,
    )
    texts = texts_of(code, network, weights, out, states)
    write_folder(Path(path), dict(zip(names, texts, strict=False)))
    return code


def write_folder(folder: Path, texts: dict[str, str]) -> None:
    """Writes files into a folder, which is made if it is not there: all of them or none.

    Raises:
        OSError: they cannot be written, or a Makefile of other content stands there.
    """
    makefile = folder / "Makefile"
    if makefile.name in texts and makefile.exists() and makefile.read_text("utf-8") != texts[makefile.name]:
        raise FileExistsError(
            f"Expected a folder without a Makefile for example=True. Received: {folder}, with another. Give a folder "
            "of its own, or leave example out."
        )
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_all_atomically({folder / name: text.encode("ascii") for name, text in texts.items()})
    except OSError as error:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()
        reason = error.strerror or error
        raise OSError(
            error.errno,
            f"Expected a folder for {', '.join(texts)}. Received: {folder} ({reason}). Give one that can be written",
        ) from error


def functions_of(network: Network, name: str, out: Writer) -> dict[str, int]:
    """Writes the functions of a network; the sizes of the states of its blocks, by the names of their functions."""
    chain = network.chain
    names = [f"{block.kind}_{i}" for i, block in enumerate(chain.blocks)]
    states = {each: block.sizes.state for each, block in zip(names, chain.blocks, strict=True) if block.sizes.state}
    with out.function(
        "One time step, see the header.",
        f"void {name}_step({name}_state *state, const float *input, float timespan, float *output)",
    ):
        if not states:
            out.emit("(void)state;", "(void)timespan;")
        c_blocks.one_after_another(out, chain, names, [f"state->{each}" for each in names], "input", "output")
    with out.function("Begins a stream.", f"void {name}_reset({name}_state *state)"):
        for each, size in states.items():
            out.elements(size, f"state->{each}[i] = 0.0f;")
        if not states:
            out.emit("state->none = 0;")
    return states


def texts_of(code: CCode, network: Network, weights: str, out: Writer, states: dict[str, int]) -> list[str]:
    """The contents of the files: header, source, main program and Makefile."""
    sizes = network.chain.sizes
    fields = [f"float {each}[{size}];" for each, size in states.items()] or ["char none; /* C has no empty struct */"]
    values = {
        "name": code.name,
        "upper": code.name.upper(),
        "model": in_comment(network.name),
        "version": __version__,
        "layers": ", ".join(block.kind for block in network.chain.blocks),
        "inputs": sizes.inputs,
        "outputs": sizes.outputs,
        "weights": weights,
        "flash": f"{code.flash:,}",
        "ram": f"{code.ram:,}",
        "stack": f"{code.stack:,}",
        "products": f"{code.products:,}",
        "functions": f"{code.functions:,}",
        "fields": "\n    ".join(fields),
        "types": out.declarations(),
        "helpers": out.helper_text(),
        "body": "".join(out.text),
    }
    return [template.substitute(values) for template in TEMPLATES]


HEADER = string.Template("""\
/*
 * $model, written by ncps $version: $layers.
 *
 * inputs: $inputs, outputs: $outputs
 * flash: $flash bytes of constant tables ($weights weights), and the instructions
 * RAM: $ram bytes of state
 * stack: $stack bytes for the vectors of a step, and the frames of its calls
 * a step: $products multiply-adds, $functions exponentials and hyperbolic tangents
 *
 *     ${name}_state state;
 *     ${name}_reset(&state);
 *     for (;;)
 *         ${name}_step(&state, input, timespan, output);
 */
#ifndef ${upper}_H
#define ${upper}_H

#define ${upper}_INPUTS $inputs
#define ${upper}_OUTPUTS $outputs

#ifdef __cplusplus
extern "C" {
#endif

/* What a stream keeps from step to step. */
typedef struct {
    $fields
} ${name}_state;

/* Begins a stream. */
void ${name}_reset(${name}_state *state);

/*
 * Computes one time step.
 *
 * input: ${upper}_INPUTS numbers.
 * timespan: the time since the step before, at least 0; 1 if the model was trained without timespans.
 * output: room for ${upper}_OUTPUTS numbers, not that of the input.
 */
void ${name}_step(${name}_state *state, const float *input, float timespan, float *output);

#ifdef __cplusplus
}
#endif

#endif
""")

SOURCE = string.Template("""\
/* $model, see ${name}.h. */
#include "${name}.h"

#include <math.h>

$types$helpers$body""")

MAIN = string.Template("""\
/*
 * Reads time steps from the standard input, each the timespan and $inputs inputs, and prints $outputs outputs for each:
 *
 *     make $name && ./$name < steps.txt
 */
#include "${name}.h"

#include <stdio.h>

int main(void)
{
    ${name}_state state;
    float timespan, input[${upper}_INPUTS], output[${upper}_OUTPUTS];

    ${name}_reset(&state);
    while (scanf("%f", &timespan) == 1) {
        for (int i = 0; i < ${upper}_INPUTS; ++i) {
            if (scanf("%f", &input[i]) != 1) {
                fprintf(stderr, "expected a timespan and $inputs inputs for each step\\n");
                return 1;
            }
        }
        ${name}_step(&state, input, timespan, output);
        for (int i = 0; i < ${upper}_OUTPUTS; ++i)
            printf("%.9g%c", (double)output[i], i + 1 < ${upper}_OUTPUTS ? ' ' : '\\n');
    }
    if (!feof(stdin)) {
        fprintf(stderr, "expected numbers\\n");
        return 1;
    }
    return 0;
}
""")

MAKEFILE = string.Template("""\
# Builds a program of every NAME_main.c: make
CFLAGS ?= -O2
PROGRAMS = $$(patsubst %_main.c,%,$$(wildcard *_main.c))

all: $$(PROGRAMS)

$$(PROGRAMS): %: %_main.c %.c %.h
	$$(CC) -std=c99 -Wall -Wextra -pedantic $$(CFLAGS) -o $$@ $$@_main.c $$@.c -lm

clean:
	rm -f $$(PROGRAMS)

.PHONY: all clean
""")

TEMPLATES = (HEADER, SOURCE, MAIN, MAKEFILE)
