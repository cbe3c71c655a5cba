"""Random configurations compute what the Keras module of ncps 1.0.1 computes; its files load, and ours load there."""

import os

import numpy as np
import pytest
from asking import server
from random_cases import keras_cases

keras = pytest.importorskip("keras")

import ncps.keras  # noqa: E402
from ncps import wirings  # noqa: E402
from ncps.checkpoints.dialects import KERAS  # noqa: E402
from ncps.checkpoints.weights import described  # noqa: E402

FRAMEWORK = os.environ["KERAS_BACKEND"]
COUNT = 70 if FRAMEWORK == "torch" else 35
KINDS = ["LTC", "CfC", "LTCCell", "CfCCell", "WiredCfCCell"]

pytestmark = pytest.mark.skipif(FRAMEWORK == "numpy", reason="ncps 1.0.1 needs a framework that trains")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("ncps1")


@pytest.fixture(scope="module")
def ask(ncps_101, work):
    with server("keras", [ncps_101], work) as ask:
        yield ask


@pytest.fixture(scope="module", params=KINDS)
def theirs(request, ask, work):
    """The cases of a kind, our models of them, what 1.0.1 computes, and what it does from the files that we write.

    One kind after the other: pytest runs the tests of each together, so that processes share the work.
    """
    cases = [each for each in keras_cases(COUNT, work) if each[0]["kind"] == request.param]
    if FRAMEWORK == "jax":  # on which 1.0.1 has no mixed memory
        cases = [each for each in cases if not each[0]["arguments"].get("mixed_memory")]
    for case, _ in cases[::3]:
        seedless = case["wiring"] and case["wiring"][0] == "NCP"  # 1.0.1 forgot the seed of an NCP
        case["whole"] = case["kind"] in ("LTC", "CfC") and not seedless
    answers, models, back = ask(cases), [], []
    for case, parts in cases:
        file = f"{case['made']}-ours.weights.h5"
        models.append(loaded(case))
        models[-1].save_weights(file)
        back.append(({**case, "file": file}, parts))
    return list(zip(cases, models, answers, ask(back), strict=True))


def made(case):
    units = getattr(wirings, case["wiring"][0])(**case["wiring"][1]) if case["wiring"] else case["units"]
    return getattr(ncps.keras, case["kind"])(units, **case["arguments"])


def loaded(case):
    layer = made(case)
    if case["kind"].endswith("Cell"):
        layer = keras.layers.RNN(layer, return_sequences=True)
    model = keras.Sequential([keras.Input((case["steps"], case["features"]), batch_size=case["batch"]), layer])
    model.load_weights(case["made"] + ".weights.h5")
    return model


def close(x, expected, what):
    x, expected = np.asarray(x), np.asarray(expected)
    assert x.shape == expected.shape, what
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-5 * scale, err_msg=str(what))


def test_outputs_of_loaded_weights_agree(theirs):
    assert len(theirs) >= 4
    for (case, parts), model, answer, back in theirs:
        x, expected = parts["given"]["x"].astype("float32"), answer["results"]["output"]
        close(keras.ops.convert_to_numpy(model(x)), expected, case)
        close(back["results"]["output"], expected, case)


def test_models_of_1_0_1_load(theirs):
    for (case, parts), _, answer, _ in theirs:
        if case["whole"]:
            model = keras.models.load_model(case["made"] + ".keras")
            assert type(model.layers[0]) is getattr(ncps.keras, case["kind"])
            x = parts["given"]["x"].astype("float32")
            close(keras.ops.convert_to_numpy(model(x)), answer["results"]["output"], case)


@pytest.mark.skipif(FRAMEWORK == "jax", reason="the gradients of 1.0.1 are taken on torch and TensorFlow")
def test_gradients_agree(theirs):
    for (case, parts), model, answer, _ in theirs:
        ours = gradients_by_their_names(model, parts["given"])
        assert ours.keys() == answer["gradients"].keys()
        for name, gradient in ours.items():
            close(gradient, answer["gradients"][name], (name, case))


def gradients_by_their_names(model, given):
    """Our gradients as those of the arrays of 1.0.1: linear maps of ours, but for the bias of the memory."""
    gradients = gradients_of(model, *(given[name].astype("float32") for name in ("x", "direction")))
    own = {id(v): g for v, g in zip(model.trainable_variables, gradients, strict=True)}
    found, cell = {}, model.layers[0].cell
    cells = {"": cell, "rnn_cell/": cell.cell} if isinstance(cell, ncps.keras.MixedMemoryRNN) else {"": cell}
    for prefix, each in cells.items():
        paths = {weight.path: own[id(weight.variable)] for weight in each.walk()}
        for pair in described(each, KERAS)[0]:
            gradient = paths[pair.path]
            parts = zip(pair.split(gradient), pair.split(np.zeros_like(gradient)), strict=True)
            found |= {prefix + name: a - b for name, (a, b) in zip(pair.names, parts, strict=True)}
    return found


def gradients_of(model, x, direction):
    if FRAMEWORK == "torch":
        import torch

        model.zero_grad()
        (model(x) * torch.from_numpy(direction)).sum().backward()
        return [v.value.grad.numpy() for v in model.trainable_variables]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x) * direction)
    return [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, [v.value for v in model.trainable_variables])]
