"""Random configurations compute what the tf module of ncps 1.0.1 computes; runs where Keras is on TensorFlow."""

import importlib
import os

import numpy as np
import pytest
from asking import server
from random_cases import tf_cases

keras = pytest.importorskip("keras")

if os.environ["KERAS_BACKEND"] != "tensorflow":

    def test_another_framework_is_told():
        with pytest.raises(ImportError, match=r"ncps\.tf needs Keras on TensorFlow.*KERAS_BACKEND=tensorflow"):
            importlib.import_module("ncps.tf")

else:
    import tensorflow as tf

    import ncps.tf
    from ncps import wirings
    from ncps.checkpoints.dialects import KERAS
    from ncps.checkpoints.weights import described, from_old, to_old
    from ncps.saving.weights import set_weights

    CASES = tf_cases(56)
    KINDS = ["LTC", "CfC", "LTCCell", "CfCCell", "WiredCfCCell"]

    @pytest.fixture(scope="module")
    def ask(ncps_101, tf_keras, tmp_path_factory):
        work = tmp_path_factory.mktemp("ncps1")
        with server("tf", [ncps_101, tf_keras], work, TF_USE_LEGACY_KERAS="1") as ask:
            yield ask

    @pytest.fixture(scope="module", params=KINDS)
    def theirs(request, ask):
        cases = [each for each in CASES if each[0]["kind"] == request.param]
        answers = ask(cases)
        layers = [loaded(*case, answer) for case, answer in zip(cases, answers, strict=True)]
        again = [
            (case, {**parts, "weights": weights_of(layer)}) for (case, parts), layer in zip(cases, layers, strict=True)
        ]
        return list(zip(cases, layers, answers, ask(again), strict=True))

    def cells_of(layer):
        cell = layer.cell
        return {"": cell, "rnn_cell/": cell.cell} if isinstance(cell, ncps.tf.MixedMemoryRNN) else {"": cell}

    def called(layer, given):
        x = given["x"].astype("float32")
        return layer((x, given["timespans"].astype("float32"))) if "timespans" in given else layer(x)

    def loaded(case, parts, answer):
        units = getattr(wirings, case["wiring"][0])(**case["wiring"][1]) if case["wiring"] else case["units"]
        layer = getattr(ncps.tf, case["kind"])(units, **case["arguments"])
        if case["kind"].endswith("Cell"):
            layer = keras.layers.RNN(layer, return_sequences=True)
        called(layer, parts["given"])
        for prefix, cell in cells_of(layer).items():
            own = {n.removeprefix(prefix): x for n, x in answer["weights"].items() if n.startswith(prefix)}
            own = {n: x for n, x in own.items() if not n.startswith("rnn_cell/")}
            arrays = from_old(cell, own, KERAS)
            set_weights({w.path: w for w in cell.walk() if w.path in arrays}, arrays, "1.0.1")
        return layer

    def weights_of(layer):
        return {prefix + name: x for prefix, cell in cells_of(layer).items() for name, x in to_old(cell, KERAS).items()}

    def close(x, expected, what):
        x = np.asarray(x)
        assert x.shape == expected.shape, what
        scale = max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-5 * scale, err_msg=str(what))

    def test_outputs_and_gradients_agree(theirs):
        assert len(theirs) >= 6
        for (case, parts), layer, answer, back in theirs:
            with tf.GradientTape() as tape:
                output = called(layer, parts["given"])
                loss = tf.reduce_sum(output * parts["given"]["direction"].astype("float32"))
            close(output, answer["results"]["output"], case)
            close(back["results"]["output"], answer["results"]["output"], case)
            gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
            by_id = {
                id(v): tf.convert_to_tensor(g).numpy()
                for v, g in zip(layer.trainable_variables, gradients, strict=True)
            }
            for prefix, cell in cells_of(layer).items():
                paths = {weight.path: by_id[id(weight.variable)] for weight in cell.walk()}
                for pair in described(cell, KERAS)[0]:
                    found = pair.split(paths[pair.path]), pair.split(np.zeros_like(paths[pair.path]))
                    for name, a, b in zip(pair.names, *found, strict=True):
                        close(a - b, answer["gradients"][prefix + name], (name, case))

    def test_time_first():
        x, t = np.ones((6, 2, 3), "float32"), np.full((6, 2, 1), 0.5, "float32")
        layer = ncps.tf.CfC(4, return_sequences=True, time_major=True)
        outputs = layer((x, t))
        assert outputs.shape == (6, 2, 4)
        layer.time_major = False
        other = layer((x.swapaxes(0, 1), t.swapaxes(0, 1)))
        np.testing.assert_allclose(np.asarray(other).swapaxes(0, 1), outputs, atol=1e-6)

    def test_user_of_tf_keras(tmp_path):
        """As the first steps of 1.0.1 have it, with the names that TensorFlow gives Keras."""
        wiring = ncps.wirings.AutoNCP(8, 1)
        x, y = np.ones((2, 6, 3), "float32"), np.zeros((2, 6, 1), "float32")
        layer = ncps.tf.LTC(wiring, return_sequences=True)
        model = tf.keras.models.Sequential([tf.keras.layers.InputLayer(shape=(None, 3)), layer])
        model.compile(optimizer=tf.keras.optimizers.Adam(0.01), loss="mean_squared_error")
        model.fit(x, y, epochs=2, verbose=0)
        model.save(tmp_path / "model.keras")
        again = tf.keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
        assert type(again.layers[0]) is ncps.tf.LTC
        cell = ncps.tf.CfCCell(2, np.ones((3, 2)), np.ones((2, 2)), backbone_units=0, backbone_layers=0)
        assert type(cell).from_config(cell.get_config()).sparsity_mask == cell.sparsity_mask
