"""Which backend is active, and what each backend provides; nothing here knows a framework.

A backend is a module that binds ops (`NCPSBackend.register_op`) and one native base class
(`NCPSBackend.register(name, "Layer", cls)`). Our own stand in `ncps/backends`; other packages add theirs through the
entry-point group ``ncps.backends``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from ncps.errors import BackendConfigurationError
from ncps.naming import nearest


class BuiltinBackend(NamedTuple):
    """A backend of ours: the package that it needs and the extra that installs it."""

    package: str
    extra: str | None


# In the order of detection; keras runs on another framework and is chosen by name only.
BUILTIN = {
    "mlx": BuiltinBackend("mlx", "mlx"),
    "torch": BuiltinBackend("torch", "torch"),
    "tensorflow": BuiltinBackend("tensorflow", "tensorflow"),
    "jax": BuiltinBackend("jax", "jax"),
    "numpy": BuiltinBackend("numpy", None),
    "keras": BuiltinBackend("keras", "keras"),
}
DETECTED = tuple(name for name in BUILTIN if name != "keras")
ENTRY_POINTS = "ncps.backends"
NATIVE_BASE = "Layer"
NATIVE_MODEL = "NativeModel"


class _Active(threading.local):
    """The innermost scope of this thread. `ContextVar.set` cannot be traced by torch.compile; this can."""

    def __init__(self) -> None:  # attributes of the class would make torch compile a layer again after its first call
        self.backend: str | None = None
        self.ops: dict[str, Callable[..., Any]] | None = None
        self.training: bool | None = None


class _Process:
    """What is active where no scope is open."""

    backend: str | None = None
    ops: dict[str, Callable[..., Any]] | None = None


active = _Active()
process = _Process()


class backend_scope:  # noqa: N801 - used like a function, as contextlib's own are
    """Makes `backend` active in this thread until the end of the block; scopes nest.

    Args:
        backend: name of a backend.

    Raises:
        ValueError: the name is unknown.
        ImportError: its framework cannot be imported.

    Example:
        >>> import ncps
        >>> with ncps.backend_scope("numpy"):
        ...     ncps.get_backend()
        'numpy'
    """

    __slots__ = ("_backend", "_ops", "_previous")

    def __init__(self, backend: str) -> None:
        self._ops = NCPSBackend.ops_of(backend)
        self._backend = backend
        self._previous: list[tuple[str | None, dict[str, Callable[..., Any]] | None]] = []

    def __enter__(self) -> None:
        self._previous.append((active.backend, active.ops))
        active.backend, active.ops = self._backend, self._ops

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        active.backend, active.ops = self._previous.pop()


class training_mode:  # noqa: N801 - used like a function; of contextlib it would take four times as long
    """Makes an explicit value the mode of this thread's layers until the end of the block; None changes nothing."""

    __slots__ = ("_previous", "_training")

    def __init__(self, training: bool | None) -> None:
        self._training = training

    def __enter__(self) -> None:
        self._previous = active.training
        if self._training is not None:
            active.training = self._training

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        active.training = self._previous


def captured(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, run in the backend that is active now, whenever and in whichever thread it is called later."""
    backend = NCPSBackend.get_backend()

    def again(*args: Any, **kwargs: Any) -> Any:
        if active.backend == backend:
            return function(*args, **kwargs)
        with backend_scope(backend):
            return function(*args, **kwargs)

    vars(again)["__wrapped__"] = function  # for its signature; functools.wraps takes longer than an op
    again.__name__ = getattr(function, "__name__", "function")
    return again


def entry_points() -> tuple[Any, ...]:
    """The backends that other packages announce."""
    from importlib.metadata import entry_points as installed  # slow to import, and most processes never ask

    return tuple(installed(group=ENTRY_POINTS))


class NCPSBackend:
    """Registry of backends and the switch between them.

    Example:
        >>> from ncps.backend import NCPSBackend
        >>> NCPSBackend.set_backend("numpy")
        >>> NCPSBackend.get_backend()
        'numpy'
    """

    _ops: dict[str, dict[str, Callable[..., Any]]] = {}  # noqa: RUF012 - state of the process, on purpose
    _layers: dict[tuple[str, str], type] = {}  # noqa: RUF012
    _generic_ops: dict[str, Callable[..., Any]] = {}  # noqa: RUF012
    _generic_layers: dict[str, type] = {}  # noqa: RUF012
    _loaded: set[str] = set()  # noqa: RUF012
    _lock = threading.RLock()

    # -- what backends and the library provide

    @classmethod
    def register(cls, backend: str, layer_type: str, implementation: type) -> None:
        """Uses `implementation` for calls of the library's `layer_type` under `backend`.

        It replaces calls of the library class itself, never of its subclasses. ``"Layer"`` names the native base class
        that the generic layers are bound to.

        Args:
            backend: name of a backend; an unknown one becomes known.
            layer_type: name of a library layer, such as ``"Dense"``.
            implementation: the class to instantiate.

        Raises:
            TypeError: `implementation` is not a class.
        """
        if not isinstance(implementation, type):
            raise TypeError(
                f"Expected a class as implementation of {layer_type!r}. Received: {implementation!r}. Give the class "
                "itself, not an object of it."
            )
        cls._layers[backend, layer_type] = implementation
        cls._table(backend)

    @classmethod
    def register_op(cls, backend: str, name: str, function: Callable[..., Any]) -> None:
        """Binds the op `name` under `backend` to `function`, which has the op's signature."""
        if not callable(function):
            raise TypeError(
                f"Expected a function as binding of the op {name!r}. Received: {function!r}. Give a function with the "
                "signature that stands in ncps.ops."
            )
        cls._table(backend)[name] = function

    @classmethod
    def provide_op(cls, name: str, function: Callable[..., Any]) -> None:
        """Makes `function` the body of an op on every backend that binds none of its own."""
        cls._generic_ops[name] = function
        for table in cls._ops.values():
            table.setdefault(name, function)

    @classmethod
    def provide_layer(cls, layer_type: str, implementation: type) -> None:
        """Declares a library layer: a class written against `ncps.ops` that is bound to each backend."""
        cls._generic_layers[layer_type] = implementation

    @classmethod
    def library_layers(cls) -> tuple[type, ...]:
        """The layers that the library declares."""
        return tuple(cls._generic_layers.values())

    @classmethod
    def _table(cls, backend: str) -> dict[str, Callable[..., Any]]:
        return cls._ops.setdefault(backend, dict(cls._generic_ops))

    # -- which backend is active

    @classmethod
    def set_backend(cls, backend: str) -> None:
        """Makes `backend` the default of the process; scopes that are open stay active until their end.

        Raises:
            ValueError: the name is unknown; the message has the known ones.
            ImportError: its framework cannot be imported; the message has the line that installs it.

        Example:
            >>> import ncps
            >>> ncps.set_backend("numpy")
        """
        process.ops = cls.ops_of(backend)
        process.backend = backend

    @classmethod
    def get_backend(cls) -> str:
        """Name of the backend that is active in this thread; chosen on first use.

        Raises:
            RuntimeError: no backend can be initialised.

        Example:
            >>> import ncps
            >>> with ncps.backend_scope("numpy"):
            ...     ncps.get_backend()
            'numpy'
        """
        return active.backend or process.backend or cls._initialise()

    @classmethod
    def backend_scope(cls, backend: str) -> backend_scope:
        """Context manager: `backend` is active in this thread until the end of the block."""
        return backend_scope(backend)

    @classmethod
    def known_backends(cls) -> tuple[str, ...]:
        """Names of all backends: ours, those of entry points, and those registered by hand."""
        outside = (entry.name for entry in entry_points())
        return tuple(dict.fromkeys((*BUILTIN, *outside, *cls._ops)))

    @classmethod
    def available_backends(cls) -> tuple[str, ...]:
        """Names of the backends whose framework is installed, without importing any.

        Example:
            >>> import ncps
            >>> "numpy" in ncps.available_backends()
            True
        """
        return tuple(
            name
            for name in cls.known_backends()
            if name not in BUILTIN or importlib.util.find_spec(BUILTIN[name].package) is not None
        )

    @classmethod
    def ops_of(cls, backend: str) -> dict[str, Callable[..., Any]]:
        """The ops of `backend` by name; imports its framework on first use."""
        if backend not in cls._loaded:
            cls._load(backend)
        return cls._ops[backend]

    @classmethod
    def loaded_ops(cls) -> list[dict[str, Callable[..., Any]]]:
        """The ops of every backend that is loaded."""
        return [cls._ops[name] for name in cls._loaded if "random_set_seed" in cls._ops[name]]

    @classmethod
    def active_ops(cls) -> dict[str, Callable[..., Any]]:
        """The ops of the active backend by name."""
        if active.ops is None and process.ops is None:
            cls._initialise()
        return active.ops or process.ops  # type: ignore[return-value]

    @classmethod
    def _load(cls, backend: str) -> None:
        with cls._lock:
            if backend in cls._loaded:
                return
            if backend in BUILTIN:
                cls._load_builtin(backend)
            else:
                cls._load_outside(backend)
            cls._loaded.add(backend)

    @classmethod
    def _load_builtin(cls, backend: str) -> None:
        try:
            importlib.import_module(f"ncps.backends.{backend}")
        except BackendConfigurationError:
            raise
        except Exception as error:  # a broken framework raises anything: OSError, AttributeError ...
            package, extra = BUILTIN[backend]
            raise ImportError(
                f"The backend {backend!r} needs the package {package!r}, which cannot be imported "
                f"({type(error).__name__}: {error}). Install it with: "
                f'pip install "ncps{f"[{extra}]" if extra else ""}"'
            ) from error

    @classmethod
    def _load_outside(cls, backend: str) -> None:
        for entry in entry_points():
            if entry.name != backend:
                continue
            entry.load()
            cls._table(backend)
            return
        if backend not in cls._ops:
            known = cls.known_backends()
            raise ValueError(
                f"Expected a backend out of {', '.join(known)}. Received: {backend!r}. {nearest(backend, known)} A "
                "backend of another package has to be installed, or registered with NCPSBackend.register_op."
            )

    @classmethod
    def _initialise(cls) -> str:
        with cls._lock:
            if process.backend is None:
                cls.set_backend(os.environ.get("NCPS_BACKEND") or cls._detect())
        return process.backend  # type: ignore[return-value]

    @classmethod
    def _detect(cls) -> str:
        reasons = []
        for name in DETECTED:
            if importlib.util.find_spec(BUILTIN[name].package) is None:
                continue
            try:
                cls.ops_of(name)
            except ImportError as error:
                reasons.append(str(error))
                continue
            cls._hint(name)
            return name
        raise RuntimeError(
            "Expected a backend that can be initialised. Received: none. Install one: pip install "
            f'"ncps[torch]". {" ".join(reasons)}'
        )

    @classmethod
    def _hint(cls, name: str) -> None:
        """Tells who gets mlx without a GPU that another backend is faster there."""
        others = [other for other in cls.available_backends() if other in DETECTED and other not in (name, "numpy")]
        if name == "mlx" and others and cls.ops_of(name)["device"](None) == "cpu":
            warnings.warn(
                f"ncps chose the backend 'mlx', which runs on the CPU here; {others[0]!r} is installed and likely "
                f"faster: set NCPS_BACKEND={others[0]} or call ncps.set_backend({others[0]!r}).",
                stacklevel=2,
            )

    # -- which class a layer type is

    @classmethod
    def get_implementation(cls, layer_type: str) -> type:
        """The class that ``layer_type(...)`` instantiates under the active backend.

        Raises:
            ValueError: the backend has no implementation of this type.
        """
        backend = cls.get_backend()
        cls.ops_of(backend)
        replacement = cls._layers.get((backend, layer_type))
        if replacement is not None and layer_type not in (NATIVE_BASE, NATIVE_MODEL):
            return replacement
        from ncps.layers.binding import bind  # the layers need this module: imported when first asked for

        generic = cls._generic_layers.get(layer_type)
        if generic is None:
            raise ValueError(
                f"Expected a layer type out of {', '.join(sorted(cls._generic_layers))}, or one registered for the "
                f"backend {backend!r} with NCPSBackend.register. Received: {layer_type!r}. Register it first."
            )
        return bind(generic, backend)

    @classmethod
    def replacement_of(cls, layer: type) -> type | None:
        """The class registered in place of the library class `layer` under the active backend, or None."""
        if cls._generic_layers.get(layer.__name__) is not layer:
            return None
        found = cls._layers.get((cls.get_backend(), layer.__name__))
        return None if found is layer else found

    @classmethod
    def native_base(cls, backend: str, kind: str = NATIVE_BASE) -> type:
        """The class that generic layers are bound to under `backend`: for models one that trains.

        Raises:
            ValueError: the backend has none.
        """
        cls.ops_of(backend)
        if kind == NATIVE_MODEL and (backend, NATIVE_MODEL) not in cls._layers:
            cls._layers[backend, NATIVE_MODEL] = with_trainer(cls.native_base(backend))
        try:
            return cls._layers[backend, kind]
        except KeyError:
            raise ValueError(
                f"The backend {backend!r} has no native base class, so generic layers cannot be bound to it. Register "
                f"one with NCPSBackend.register({backend!r}, {NATIVE_BASE!r}, cls), or a class for each layer type."
            ) from None


def with_trainer(base: Any) -> type:
    """A base class of layers with our loop of training."""
    from ncps.training.trainer import Trainer  # needs the ops, which need this module

    return type(base)(f"{base.__name__}WithTrainer", (Trainer, base), {"__module__": base.__module__})
