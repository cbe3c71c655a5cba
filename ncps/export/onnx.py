"""A model as ONNX, for its runtimes: the same graph whichever backend trained it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ncps.export.lowering import network_of
from ncps.saving.files import write_atomically

STEP, SEQUENCE = "step", "sequence"


def to_onnx(model: Any, path: str | os.PathLike[str], kind: str = STEP) -> Path:
    """Writes a trained model as ONNX, of standard operators only.

    - ``"step"`` takes `input` (batch, F), `timespan` (batch, 1) and the states, and gives `output` (batch, M).
    - ``"sequence"`` takes `inputs` (batch, steps, F), `timespans` (batch, steps) and the states, and gives `outputs`
      (batch, steps, M), or (batch, M) where the model gives the last.

    Both also give the states after it, under their names with ``_next``.
    There is a state (batch, N) for each recurrent layer, named by its kind and place (``ltc_0``); zeros begin a stream.
    Any batch and any number of steps go. The loop over time is ONNX' `Scan`.

    Args:
        model: a built layer, cell or model of any backend, as in `to_c`.
        path: the file.
        kind: ``"step"`` or ``"sequence"``.

    Returns:
        The path.

    Raises:
        ImportError: the package onnx is not installed.
        TypeError: one of the layers has no such form, or `model` is none.
        ValueError: the model is not built, a weight is not finite, or `kind` is unknown.
        OSError: the file cannot be written; what stood there stays.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     to_onnx(CfC(8, input_size=3), Path(folder) / "cfc.onnx").name
        'cfc.onnx'
    """
    if kind not in (STEP, SEQUENCE):
        raise ValueError(
            f"Expected kind='step' or 'sequence'. Received: kind={kind!r}. 'step' is for control, one sample at a time."
        )
    try:
        from ncps.export.onnx_model import content
    except ImportError as error:
        raise ImportError(
            f"Expected the package onnx, which to_onnx needs. Received: {error}. Install it with: pip install "
            '"ncps[export]"'
        ) from error
    network, path = network_of(model), Path(path)
    try:
        write_atomically(path, content(network, kind))
    except OSError as error:
        raise OSError(
            error.errno,
            f"Expected the path of a file in a folder that is there. Received: {path} ({error.strerror or error}). "
            "Make the folder, or give another path",
        ) from error
    return path
