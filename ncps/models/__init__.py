"""Models: layers with Keras' training surface."""

from ncps.models.model import Model as Model
from ncps.models.sequential import Sequential as Sequential

__all__ = ["Model", "Sequential"]
