"""What the tf module of ncps 1.0.1 computes, on Keras 2 (tf-keras)."""

import numpy as np
import tensorflow as tf
from server import wiring_of

import ncps.tf

assert ncps.__version__ == "0.0.2", ncps.__file__  # so 1.0.1 calls itself
POSITIVE = ("w", "sensory_w", "cm", "gleak")


def answer(case, arrays):
    rng = np.random.default_rng(case["seed"])
    units = wiring_of(case) if case["wiring"] else case["units"]
    layer = getattr(ncps.tf, case["kind"])(units, **case["arguments"])
    if case["kind"].endswith("Cell"):
        layer = tf.keras.layers.RNN(layer, return_sequences=True)
    given = {name: tf.constant(x.astype("float32")) for name, x in arrays["given"].items()}
    x = (given["x"], given["timespans"]) if "timespans" in given else given["x"]
    layer(x)
    weights = dict(named(layer.cell))
    for name, v in weights.items():
        value, small = v.numpy(), 0.2 * rng.normal(size=v.shape)
        value = arrays["weights"].get(name, value * (1 + small) if "erev" in v.name else value + small)
        positive = v.name.split("/")[-1].removesuffix(":0") in POSITIVE
        v.assign(np.abs(value) + 0.05 if positive and not arrays["weights"] else value)
    if arrays["weights"]:
        return {"results": {"output": layer(x).numpy()}}
    with tf.GradientTape() as tape:
        output = layer(x)
        loss = tf.reduce_sum(output * given["direction"])
    gradients = tape.gradient(loss, list(weights.values()))
    return {
        "weights": {name: v.numpy() for name, v in weights.items()},
        "results": {"output": output.numpy()},
        "gradients": {name: g.numpy() for name, g in zip(weights, gradients, strict=True)},
    }


def named(cell):
    """The weights of a cell with their paths in a file of the Keras module."""
    for i, v in enumerate(cell._trainable_weights):
        yield str(i), v
    layers = {name: getattr(cell, name) for name in ("time_a", "time_b", "rnn_cell") if hasattr(cell, name)}
    backbone = getattr(cell, "backbone_fn", None)
    dense = [x for x in getattr(backbone, "layers", []) if isinstance(x, tf.keras.layers.Dense)]
    inner = getattr(cell, "_cfc_layers", [])
    for prefix, each in (("backbone_fn/layers/dense", dense), ("_cfc_layers/cf_c_cell", inner)):
        layers |= {f"{prefix}{f'_{i}' if i else ''}": layer for i, layer in enumerate(each)}
    for prefix, layer in layers.items():
        for name, v in named(layer):
            yield f"{prefix}/{name}", v
