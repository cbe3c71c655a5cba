"""The errors that are ours; everything else is a ValueError, TypeError, RuntimeError or ImportError."""

from __future__ import annotations


class UnsupportedOperationError(NotImplementedError):
    """The active backend cannot do what was asked: gradients on NumPy, an op that a backend does not bind."""


class BackendConfigurationError(ImportError):
    """A backend is installed, but set to something that it cannot be used with; the message has the way out."""
