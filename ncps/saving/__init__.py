"""Models and weights in safetensors files: written on one backend, read on another; nothing in a file is executed."""

from ncps.saving.models import convert as convert, load as load, save as save
from ncps.saving.weights import load_weights as load_weights, save_weights as save_weights

__all__ = ["convert", "load", "load_weights", "save", "save_weights"]
