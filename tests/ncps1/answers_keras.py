"""What the Keras module of ncps 1.0.1 computes, on the framework that KERAS_BACKEND says."""

import keras
import numpy as np
from server import wiring_of

import ncps.keras

assert ncps.__version__ == "0.0.2", ncps.__file__  # so 1.0.1 calls itself
FRAMEWORK = keras.backend.backend()
POSITIVE = ("w", "sensory_w", "cm", "gleak")


def make(case):
    units = wiring_of(case) if case["wiring"] else case["units"]
    return getattr(ncps.keras, case["kind"])(units, **case["arguments"])


def model_of(case):
    layer = make(case)
    shape = (case["steps"], case["features"])
    if case["kind"].endswith("Cell"):
        layer = keras.layers.RNN(layer, return_sequences=True)
    return keras.Sequential([keras.Input(shape, batch_size=case["batch"]), layer])


def answer(case, arrays):
    rng = np.random.default_rng(case["seed"])
    keras.utils.set_random_seed(case["seed"])
    model = model_of(case)
    x, direction = (arrays["given"][name].astype("float32") for name in ("x", "direction"))
    if case["file"]:
        model.load_weights(case["file"])
        return {"results": {"output": keras.ops.convert_to_numpy(model(x))}}
    shake(model, rng)
    model.save_weights(case["made"] + ".weights.h5")
    if case["whole"]:
        model.save(case["made"] + ".keras")
    found = {"results": {"output": keras.ops.convert_to_numpy(model(x))}}
    if FRAMEWORK != "jax":
        own = {id(v): g for v, g in zip(model.trainable_variables, gradients(model, x, direction), strict=True)}
        found["gradients"] = {name: own[id(v)] for name, v in named(model.layers[0].cell)}
    return found


def named(cell):
    """The weights of a cell with their paths in a file."""
    for i, v in enumerate(cell._trainable_variables):
        yield str(i), v
    layers = {name: getattr(cell, name) for name in ("time_a", "time_b", "rnn_cell") if hasattr(cell, name)}
    dense = [x for x in getattr(getattr(cell, "backbone_fn", None), "layers", []) if isinstance(x, keras.layers.Dense)]
    for prefix, inner in (
        ("backbone_fn/layers/dense", dense),
        ("_cfc_layers/cf_c_cell", getattr(cell, "_cfc_layers", [])),
    ):
        layers |= {f"{prefix}{f'_{i}' if i else ''}": layer for i, layer in enumerate(inner)}
    for prefix, layer in layers.items():
        for name, v in named(layer):
            yield f"{prefix}/{name}", v


def shake(model, rng):
    """Takes all weights away from where they begin."""
    for v in model.trainable_variables:
        value = keras.ops.convert_to_numpy(v)
        value = (
            value * (1 + 0.2 * rng.normal(size=value.shape))
            if "erev" in v.name
            else value + 0.2 * rng.normal(size=value.shape)
        )
        v.assign(np.abs(value) + 0.05 if v.name in POSITIVE else value)


def gradients(model, x, direction):
    """Gradients of a sum of the outputs by the weights."""
    if FRAMEWORK == "torch":
        import torch

        loss = (model(x) * torch.from_numpy(direction)).sum()
        loss.backward()
        return [v.value.grad.numpy() for v in model.trainable_variables]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x) * direction)
    return [g.numpy() for g in tape.gradient(loss, [v.value for v in model.trainable_variables])]
