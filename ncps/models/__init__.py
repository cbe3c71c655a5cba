"""Models: layers with Keras' training surface."""

from ncps.backend import NCPSBackend
from ncps.models.functional import Functional as Functional, Input as Input
from ncps.models.model import Model as Model
from ncps.models.sequential import Sequential as Sequential
from ncps.serialization import register_class

__all__ = ["Functional", "Input", "Model", "Sequential"]

NCPSBackend.provide_layer("Functional", Functional)
for _model in (Functional, Model):
    register_class(_model.__name__, _model)
