"""The keras backend."""

import keras

from ncps.backend import NCPSBackend
from ncps.backends.common import register_backend
from ncps.backends.keras import module, ops, training

register_backend("keras", ops, training, module.KerasLayer)
NCPSBackend.register("keras", "Sequential", keras.Sequential)
