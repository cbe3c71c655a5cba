"""The keras backend: Keras 3 on jax, torch, tensorflow or numpy, as KERAS_BACKEND says."""

import os

from ncps.errors import BackendConfigurationError

REFUSED = (
    "KERAS_BACKEND=openvino only runs finished models, and ncps needs a framework that also builds them. Set "
    "KERAS_BACKEND to jax, torch, tensorflow or numpy before keras is imported."
)
if os.environ.get("KERAS_BACKEND") == "openvino":  # before the import, which fails without the package openvino
    raise BackendConfigurationError(REFUSED)

import keras  # noqa: E402

if keras.backend.backend() == "openvino":  # from Keras' configuration file
    raise BackendConfigurationError(REFUSED)

from ncps.backend import NCPSBackend  # noqa: E402
from ncps.backends.common import register_backend  # noqa: E402
from ncps.backends.keras import control, models, module, ops, random, sequences, training  # noqa: E402
from ncps.layers.binding import bind  # noqa: E402

register_backend("keras", module.KerasLayer, ops, random, control, training)
NCPSBackend.register("keras", "NativeModel", models.KerasModel)
NCPSBackend.register("keras", "Sequential", models.Sequential)
NCPSBackend.register("keras", "Functional", models.Functional)
NCPSBackend.register_op("keras", "input", keras.Input)
for name, op in sequences.bindings().items():
    NCPSBackend.register_op("keras", name, op)
for layer in NCPSBackend.library_layers():
    bind(layer, "keras")  # registers it with Keras, which finds the classes that its files name there only
