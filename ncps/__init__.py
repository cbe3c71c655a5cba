"""Liquid neural networks, written once and native on torch, jax, mlx, tensorflow, keras and NumPy."""

from ncps import ops as ops
from ncps._version import __version__ as __version__
from ncps.backend import NCPSBackend, backend_scope

set_backend = NCPSBackend.set_backend
get_backend = NCPSBackend.get_backend
available_backends = NCPSBackend.available_backends

__all__ = ["NCPSBackend", "__version__", "available_backends", "backend_scope", "get_backend", "ops", "set_backend"]
