"""Functions of NumPy arrays that XLA calls on a CPU with its own memory, through its foreign function interface.

`jax.pure_callback` is no choice: it took twice as long, and a program hung once while another was compiled, presumably
since it makes arrays of jax out of the arguments inside the call. Here nothing of jax runs inside a call, which waits
for the interpreter's lock only.

What a call needs to know is text among its arguments, so that a program from jax's cache of compiled programs, which a
process before this one may have written, finds the same here. The structures are those of xla/ffi/api/c_api.h.
"""

from __future__ import annotations

import ctypes
import functools
import json
import math
import sys
import warnings

import jax
import jax.ffi
import numpy as np

NAME = "ncps_call"
FUNCTIONS = {}  # by name; each takes the options, the arguments and the results, which it writes
TYPES = {1: np.bool_, 4: np.int32, 5: np.int64, 6: np.uint8, 11: np.float32, 12: np.float64}
LARGE, PAGE, MADV_HUGEPAGE, LIBC = 2**22, 2**12, 14, ctypes.CDLL(None) if sys.platform == "linux" else None
MAJOR, MINOR = 0, 2  # the version whose structures these are; minor ones only add fields after those that are there
METADATA = 1  # kind of extension
INTERNAL = 13  # kind of error


def structure(name, **fields):
    """A structure of the interface; all begin with their size and a list of extensions."""
    head = [("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p)]
    return type(name, (ctypes.Structure,), {"_fields_": [*head, *fields.items()]})


Version = structure("Version", major=ctypes.c_int, minor=ctypes.c_int)
Api = structure("Api", version=Version, internal=ctypes.c_void_p, error_create=ctypes.c_void_p)
Error = structure("Error", message=ctypes.c_char_p, code=ctypes.c_int)
Buffer = structure(
    "Buffer",
    dtype=ctypes.c_int,
    data=ctypes.c_void_p,
    rank=ctypes.c_int64,
    dims=ctypes.POINTER(ctypes.c_int64),
)
Buffers = structure(
    "Buffers",
    size=ctypes.c_int64,
    types=ctypes.c_void_p,
    items=ctypes.POINTER(ctypes.POINTER(Buffer)),
)
Frame = structure(
    "Frame",
    api=ctypes.POINTER(Api),
    context=ctypes.c_void_p,
    stage=ctypes.c_int,
    arguments=Buffers,
    results=Buffers,
)


class Metadata(ctypes.Structure):
    """What XLA asks a handler first."""

    _fields_ = [("struct_size", ctypes.c_size_t), ("version", Version)]


class Extension(ctypes.Structure):
    """The question."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("metadata", ctypes.POINTER(Metadata)),
    ]


def arrays(buffers):
    """Arrays on XLA's memory."""
    return [array(buffers.items[i].contents) for i in range(buffers.size)]


def array(buffer):
    shape, dtype = buffer.dims[: buffer.rank], TYPES[buffer.dtype]
    number = math.prod(shape)
    if number == 0:
        return np.empty(shape, dtype)
    size = number * np.dtype(dtype).itemsize
    if size >= LARGE:
        in_large_pages(buffer.data, size)
    return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(buffer.data))


def in_large_pages(address, size):
    """Asks the system for large pages where it is asked, as NumPy does for its arrays: they are made in less time."""
    if sys.platform == "linux":
        begin, end = -(-address // PAGE) * PAGE, (address + size) // PAGE * PAGE
        LIBC.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_HUGEPAGE)


@functools.lru_cache(maxsize=256)
def parsed(text):
    name, options = json.loads(text)
    return FUNCTIONS[name], options


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Frame))
def handler(frame):
    """What XLA calls; an address is an error."""
    frame = frame.contents
    if frame.extension:
        extension = Extension.from_address(frame.extension)
        if extension.kind == METADATA:
            version = extension.metadata.contents.version
            version.major, version.minor = MAJOR, min(MINOR, frame.api.contents.version.minor)
            return None  # and XLA refuses a handler of another major version than its own
    try:
        text, *arguments = arrays(frame.arguments)
        function, options = parsed(text.tobytes())
        function(options, arguments, arrays(frame.results))
    except BaseException as error:  # noqa: BLE001 - XLA passes it on, and would take nothing for a success
        message = f"{type(error).__name__}: {error}".encode()
        create = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Error))(frame.api.contents.error_create)
        return create(ctypes.pointer(Error(ctypes.sizeof(Error), None, message, INTERNAL)))
    return None


def capsule(function):
    """The address of a C function, as jax takes it."""
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.cast(function, ctypes.c_void_p), None, None)


def registered(name):
    """Whether XLA takes the handler."""
    try:
        jax.ffi.register_ffi_target(name, capsule(handler), platform="cpu")
    except Exception as error:  # noqa: BLE001 - of a class that differs between versions of jax
        warnings.warn(
            f"Expected version {MAJOR} of XLA's foreign function interface. Received: {error}. Networks run on jax "
            "without compiled kernels; look for a newer version of ncps.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


AVAILABLE = registered(NAME)


def call(name, options, results, arguments):
    """Calls ``FUNCTIONS[name](options, arguments, results)`` when the program runs.

    Args:
        name: of the function.
        options: what JSON has.
        results: shapes and types of the results.
        arguments: arrays.
    """
    text = np.frombuffer(json.dumps([name, options]).encode(), np.uint8)
    return jax.ffi.ffi_call(NAME, results)(text, *arguments)
