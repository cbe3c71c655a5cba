"""Safetensors files: read with suspicion, written whole or not at all."""

from __future__ import annotations

import json
import os
import struct
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
from safetensors.numpy import save as to_safetensors

Array = np.ndarray
PathLike = str | os.PathLike[str]

TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


DAMAGED = "The file is damaged: copy it again, or save the model anew."
LONGEST_HEADER = 2**22  # beside half of the file: parsed text takes many times its memory


class Content(NamedTuple):
    """What a file holds: arrays by name, and text by name."""

    arrays: dict[str, Array]
    metadata: dict[str, str]


def write(path: PathLike, arrays: Mapping[str, Array], description: Mapping[str, Any] | None = None) -> None:
    """Writes a file: the same bytes for the same content.

    Args:
        path: where.
        arrays: by name.
        description: data of JSON, which becomes one text named "ncps" of the metadata: safetensors puts several in any
            order.

    Raises:
        ValueError: the description holds NaN or infinity, or is too long for `read`.
        OSError: it cannot be written; what stood there stays.
    """
    # safetensors writes the memory as it lies: a transposed array would come back with its numbers in another order
    ordered = {name: np.array(array, order="C") for name, array in arrays.items()}
    content = to_safetensors(ordered, None if description is None else {"ncps": to_json(description)})
    if too_long(length := header_length(content), content):
        raise ValueError(
            f"Expected a configuration with numbers of up to {LONGEST_HEADER:,} bytes beside the weights. Received: "
            f"{length:,} bytes. Give large arrays as weights, with set_weights, instead of as initializers."
        )
    write_atomically(Path(path), content)


def to_json(description: Mapping[str, Any]) -> str:
    """The text of a description.

    Raises:
        ValueError: it holds a number that JSON does not have.
    """
    try:
        return json.dumps(description, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"Expected finite numbers in a configuration. Received: {error}. Look for NaN and infinity in initializers "
            "and other arguments."
        ) from error


def header_length(content: bytes) -> int:
    """Bytes of the header, which begins with their number; 0 if there is none."""
    return struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0


def too_long(length: int, content: bytes) -> bool:
    """Whether a header is longer than is read."""
    return length > LONGEST_HEADER + len(content) // 2


def read(path: PathLike) -> Content:
    """Reads a file; bfloat16, which NumPy does not have, comes as float32.

    Raises:
        ValueError: it is no safetensors file, its header has a name twice, or it holds a type that is not read here.
        OSError: it cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise OSError(
            error.errno,
            f"Expected a file that can be read. Received: {os.fspath(path)} ({error.strerror}). Give the path that "
            f"it was saved under; this process looks from {Path.cwd()}",
        ) from error
    metadata = read_metadata(content, path)
    try:
        found = safetensors.deserialize(content)
    except (safetensors.SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise no_safetensors(path, error) from error
    return Content({name: as_array(name, entry) for name, entry in found}, metadata)


def read_metadata(content: bytes, path: PathLike) -> dict[str, str]:
    """The text in the header of a file, which is JSON after its length in eight bytes.

    Raises:
        ValueError: there is no such header.
    """
    length = header_length(content)
    if not 0 < length <= len(content) - 8 or too_long(length, content):
        raise no_safetensors(path, "the length of its header does not fit")
    metadata = read_json(content[8 : 8 + length], f"the header of {os.fspath(path)}").get("__metadata__") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise no_safetensors(path, "its metadata is no text by name")
    return metadata


def read_json(text: str | bytes, what: str) -> dict[str, Any]:
    """The object in a text of JSON.

    Raises:
        ValueError: there is none, a name stands twice in an object, or the nesting is too deep to read.
    """
    try:
        found = json.loads(text, object_pairs_hook=without_duplicates, parse_constant=no_constant)
    except RecursionError:
        raise ValueError(f"Expected JSON in {what}. Received: nesting that is too deep to read. {DAMAGED}") from None
    except ValueError as error:
        raise ValueError(f"Expected JSON in {what}. Received: {str(error).rstrip('.')}. {DAMAGED}") from error
    if not isinstance(found, dict):
        raise ValueError(f"Expected a JSON object in {what}. Received: {type(found).__name__}. {DAMAGED}")
    return found


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: it has a name twice, of which readers would see different ones.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found


def no_constant(name: str) -> Any:
    """Refuses NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no number of JSON")


def no_safetensors(path: PathLike, reason: Any) -> ValueError:
    """The error for a file of another kind."""
    return ValueError(
        f"Expected a safetensors file. Received: {os.fspath(path)} ({reason}). If it was cut or damaged on the way, "
        "copy "
        "it again; if it is of another format, see ncps.import_torch for state dicts, and keras.models.load_model for "
        ".keras files."
    )


def as_array(name: str, entry: Mapping[str, Any]) -> Array:
    """One array of a safetensors file.

    Raises:
        ValueError: its type is not read here.
    """
    kind, content = entry["dtype"], entry["data"]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in TYPES:
        values = np.frombuffer(content, TYPES[kind])
    else:
        raise ValueError(
            f"Expected weights of a type out of BF16, {', '.join(TYPES)}. Received: {name} of type {kind}. Cast it to "
            "one of these where the file is written."
        )
    return values.reshape(entry["shape"])


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole or as it was before, also after a crash.

    Raises:
        OSError: it cannot be written.
    """
    write_all_atomically({path: content})


def write_all_atomically(contents: Mapping[Path, bytes]) -> None:
    """Writes files, each whole; if one of them cannot be written, all stay as they were.

    Raises:
        OSError: so it is.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            path = path.resolve()  # a link stays a link
            if path.is_dir():
                raise IsADirectoryError(
                    f"Expected the path of a file. Received: the folder {path}. Add a name, such as "
                    f"{path / 'model.safetensors'}."
                )
            if not path.parent.is_dir():
                raise FileNotFoundError(
                    f"Expected the path of a file in a folder that is there. Received: {path}. Make the folder "
                    "first, or give another path."
                )
            # beside it: os.replace stays on one disk
            unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
            staged[unfinished] = path
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for unfinished, path in staged.items():
            unfinished.replace(path)
    finally:
        for unfinished in staged:
            unfinished.unlink(missing_ok=True)
