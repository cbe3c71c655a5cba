"""A layer class becomes the active framework's own module when it is instantiated.

``Dense(64)`` under torch makes an object of a class derived from `Dense` (the logic) and from the backend's native base
(a `torch.nn.Module`), made once for each layer class and backend. Subclasses of users are bound the same way.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
from collections.abc import Callable
from typing import Any

from ncps.backend import NCPSBackend, backend_scope


class ConstructorSignature:
    """The signature of a class, for `help` and editors: its constructor's, as its metaclass has a ``__call__``.

    A class may have a ``__signature__`` of its own, which wins, as this is no data descriptor.
    """

    def __get__(self, cls: Any, owner: type) -> inspect.Signature:
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=signature.empty)


class LayerMeta(type):
    """Instantiating a layer class instantiates its binding to the active backend, or what was registered for it."""

    __signature__ = ConstructorSignature()
    bound_to: str | None
    native_kind: str
    made_of: Callable[[tuple[Any, ...], dict[str, Any]], Any]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """An instance of the class bound to the active backend."""
        if cls.bound_to is None:
            cls = cls.made_of(args, kwargs)
            replacement = NCPSBackend.replacement_of(cls)
            return (replacement or bind(cls, NCPSBackend.get_backend()))(*args, **kwargs)
        with backend_scope(cls.bound_to):  # the classes of ncps.torch are bound, whichever backend is active
            layer = super().__call__(*args, **kwargs)
            layer.build_if_sized()
        return layer


@functools.cache
def bind(cls: Any, backend: str) -> Any:
    """The class of `cls` under `backend`."""
    native: Any = NCPSBackend.native_base(backend, cls.native_kind)
    meta: Any = type(native)
    if issubclass(LayerMeta, meta):
        meta = LayerMeta
    elif not issubclass(meta, LayerMeta):
        meta = combined(meta)
    # Logic first, native last: what the layer defines goes before what its framework does.
    names = {
        "bound_to": backend,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    bound = meta(cls.__name__, (cls, native), names)
    native.bound(bound)
    return bound


@functools.cache
def combined(meta: type) -> type:
    """A metaclass that binds layers and does what the framework's own does."""
    both = type(f"Bound{meta.__name__}", (LayerMeta, meta), {})
    copyreg.pickle(both, reduce_class)
    return both


def reduce_class(cls: Any) -> Any:
    """Pickles a bound class as its layer class and backend; any other class by name."""
    return (bind, (cls.__bases__[0], cls.bound_to)) if vars(cls).get("bound_to") else cls.__qualname__


copyreg.pickle(LayerMeta, reduce_class)
