"""``python -m ncps export MODEL.safetensors``: a saved model as C or ONNX."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from rich.console import Console

from ncps import saving
from ncps.backend import backend_scope
from ncps.export.c import to_c
from ncps.export.c_tables import FLOAT, INT8
from ncps.export.names import identifier_of
from ncps.export.onnx import SEQUENCE, STEP, to_onnx


def add_to(commands: Any) -> None:
    """Adds the command to those of a parser."""
    text = "Writes a saved model as C99 or ONNX."
    parser = commands.add_parser("export", help="write a saved model as C or ONNX", description=text)
    parser.add_argument("model", type=Path, help="file of ncps.saving.save")
    parser.add_argument("--c", type=Path, metavar="DIR", help="folder for a header and a source of C99")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="file of ONNX")
    parser.add_argument(
        "--kind", choices=(STEP, SEQUENCE), default=STEP, help="what ONNX computes (default: %(default)s)"
    )
    parser.add_argument("--name", help="what functions and files begin with (default: that of the model's file)")
    parser.add_argument("--int8", action="store_true", help="weights of C in a quarter of the bytes")
    parser.add_argument("--example", action="store_true", help="also a main program of C and a Makefile")
    parser.add_argument(
        "--import", dest="modules", action="append", default=[], metavar="MODULE",
        help="module that registers a class of the model, if that is your own",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Exports as the command line says; the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        for module in options.modules:
            importlib.import_module(module)
        with backend_scope("numpy"):
            export(options, saving.load(options.model, compile=False), console)
    except (OSError, ImportError, TypeError, ValueError) as error:
        console.print(f"Error: {error}", style="red", markup=False)
        return 1
    return 0


def export(options: argparse.Namespace, model: Any, console: Console) -> None:
    """Writes the files, and says what they are."""
    if options.c is None and options.onnx is None:
        raise ValueError("Expected --c DIR, --onnx FILE or both. Received: neither. Add one of them.")
    if options.c is not None:
        name = options.name or identifier_of(options.model.stem)
        code = to_c(model, options.c, name, INT8 if options.int8 else FLOAT, options.example)
        console.print(f"Wrote {', '.join(map(str, code.files))}: {code}", markup=False)
    if options.onnx is not None:
        console.print(f"Wrote {to_onnx(model, options.onnx, options.kind)}", markup=False)
