"""The Keras module of ncps 1.0.1 as users met it, and what it could not do, on the framework of KERAS_BACKEND."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from ncps import layers  # noqa: E402
from ncps.backend import backend_scope  # noqa: E402
from ncps.keras import LTC, CfC, CfCCell, LTCCell, MixedMemoryRNN, WiredCfCCell  # noqa: E402
from ncps.wirings import NCP, AutoNCP, FullyConnected, Wiring  # noqa: E402

FRAMEWORK = os.environ["KERAS_BACKEND"]


def ncp():
    return NCP(4, 3, 2, 2, 2, 3, 2, seed=7)


LAYERS = {
    "LTC": lambda **o: LTC(5, **o),
    "wired LTC": lambda **o: LTC(ncp(), **o),
    "LTC with memory": lambda **o: LTC(AutoNCP(8, 2), mixed_memory=True, **o),
    "CfC": lambda **o: CfC(5, backbone_units=7, backbone_layers=2, activation="gelu", **o),
    "pure CfC": lambda **o: CfC(5, mode="pure", **o),
    "wired CfC": lambda **o: CfC(ncp(), **o),
    "wired CfC with memory": lambda **o: CfC(AutoNCP(8, 2), mixed_memory=True, **o),
    "masked CfC": lambda **o: CfC(2, backbone_units=0, sparsity_mask=[[1, 0], [0, -1], [1, 1], [1, 1], [1, 0]], **o),
    "improved CfC": lambda **o: CfC(ncp(), head_activation="tanh", masked_gates=True, fully_recurrent=False, **o),
}


# Compilers take seconds for each: there a few layers train, and test_keras_parity.py compares the gradients of all.
TRAINED = {"torch": set(LAYERS), "numpy": set()}.get(FRAMEWORK, {"wired LTC", "wired CfC with memory", "improved CfC"})


@pytest.fixture(params=LAYERS)
def make(request):
    keras.utils.set_random_seed(1)
    return LAYERS[request.param]


def inputs(*shape):
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def numbers(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("name", LAYERS)
def test_trains_and_comes_back_from_a_file(name, tmp_path):
    keras.utils.set_random_seed(1)
    x, y = inputs(4, 6, 3), inputs(4, 6, 1)
    model = keras.Sequential([keras.Input((6, 3)), LAYERS[name](return_sequences=True), keras.layers.Dense(1)])
    if name in TRAINED:
        model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mean_squared_error")
        model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numbers(again(x)), numbers(model(x)), rtol=1e-5, atol=1e-6)
    assert type(again.layers[0]) is type(model.layers[0])
    again.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")


def test_pairs_of_inputs_and_elapsed_times(make):
    layer, x = make(return_sequences=True), inputs(4, 6, 3)
    times = np.random.default_rng(4).uniform(0.1, 2.0, (4, 6)).astype("float32")
    together = numbers(layer((x, times)))
    np.testing.assert_allclose(numbers(layer((x, times[..., None]))), together, atol=1e-6)
    for i in range(4):
        np.testing.assert_allclose(numbers(layer((x[i : i + 1], times[i : i + 1])))[0], together[i], atol=1e-5)
    assert np.abs(together - numbers(layer(x))).max() > 1e-4
    given = keras.Input((6, 3)), keras.Input((6,))
    with pytest.raises(ValueError, match=r"a pair of inputs and elapsed times. Received: 3 tensors"):
        layer((x, times, times))
    model = keras.Model(given, layer(given))
    np.testing.assert_allclose(numbers(model([x, times])), together, atol=1e-6)


def test_configuration(make):
    layer = make(return_sequences=True, name="rnn")
    config = layer.get_config()
    assert {"cell", "units", "mixed_memory", "return_sequences", "name", "dtype"} <= set(config)
    assert config["cell"]["registered_name"].startswith("ncps>")
    again = type(layer).from_config(config)
    assert again.get_config()["units"] == config["units"]
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    assert type(keras.saving.deserialize_keras_object(json.loads(text))) is type(layer)


def test_both_directions(make):
    model = keras.Sequential([keras.Input((6, 3)), keras.layers.Bidirectional(make()), keras.layers.Dense(1)])
    assert model(inputs(4, 6, 3)).shape == (4, 1)


def test_videos_frame_by_frame(make):
    layer, x = make(), inputs(2, 3, 6, 3)
    outputs = numbers(keras.layers.TimeDistributed(layer)(x))
    np.testing.assert_allclose(outputs[:, 1], numbers(layer(x[:, 1])), atol=1e-6)


CELLS = {
    "LTCCell": lambda: LTCCell(FullyConnected(5, 2)),
    "CfCCell": lambda: CfCCell(5, backbone_dropout=0.0),
    "WiredCfCCell": lambda: WiredCfCCell(AutoNCP(8, 2)),
    "MixedMemoryRNN": lambda: MixedMemoryRNN(WiredCfCCell(AutoNCP(8, 2))),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_in_the_rnn_of_keras(name, tmp_path):
    x = inputs(4, 6, 3)
    model = keras.Sequential([keras.Input((6, 3)), keras.layers.RNN(CELLS[name](), return_sequences=True)])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numbers(again(x)), numbers(model(x)), atol=1e-6)
    assert again.layers[0].cell.get_config()["name"] == model.layers[0].cell.name


def test_cells_alone():
    cell = LTCCell(FullyConnected(8, 4))
    output, hx = cell(inputs(3, 8), keras.ops.zeros((3, 8)))  # a state alone, as in the tests of 1.0.1
    assert tuple(output.shape) == (3, 4)
    assert tuple(hx[0].shape) == (3, 8)
    slow, _ = cell((inputs(3, 8), np.full((3, 1), 0.1, "float32")), [keras.ops.zeros((3, 8))])
    assert np.abs(numbers(slow) - numbers(output)).max() > 1e-3
    assert (cell.sensory_size, cell.motor_size, cell.state_size, cell.output_size) == (8, 4, 8, 4)


def test_states(make):
    layer, x = make(return_sequences=True, return_state=True), inputs(4, 6, 3)
    outputs, *last = layer(x)
    _, *state = layer(x[:, :4])
    second, *state = layer(x[:, 4:], initial_state=state)
    np.testing.assert_allclose(numbers(second), numbers(outputs)[:, 4:], atol=1e-6)
    for a, b in zip(state, last, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), atol=1e-6)


def test_stateful_copies_weights_from_a_stateless_one():
    x = inputs(1, 6, 3)
    stateless = keras.Sequential([keras.Input((None, 3), batch_size=1), CfC(5, return_sequences=True)])
    rnn = CfC(5, return_sequences=True, stateful=True)
    stateful = keras.Sequential([keras.Input((None, 3), batch_size=1), rnn])
    stateful.set_weights(stateless.get_weights())
    expected = numbers(stateless(x))
    steps = [numbers(stateful(x[:, i : i + 1]))[:, 0] for i in range(6)]
    np.testing.assert_allclose(np.stack(steps, 1), expected, atol=1e-6)
    rnn.reset_states()
    np.testing.assert_allclose(numbers(stateful(x)), expected, atol=1e-6)


def test_old_names_of_generic_and_own_layers():
    with backend_scope("keras"):
        generic = layers.CfC(4)
    assert keras.saving.get_registered_name(type(generic)) == "ncps.layers>CfC"
    assert keras.saving.get_registered_name(CfC) == "ncps>CfC"
    assert keras.saving.get_registered_object("ncps>LTC") is LTC


SERIALIZED = """
import keras, ncps, ncps.keras, ncps.layers
with ncps.backend_scope("keras"):
    for cls in (ncps.keras.CfC, ncps.layers.CfC, ncps.keras.LTC, ncps.layers.LTC):
        layer = cls(4)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert type(again) is type(layer), (again, layer)
"""


def test_either_is_imported_first():
    exec(SERIALIZED, {})  # here ncps.layers came first
    subprocess.run([sys.executable, "-c", SERIALIZED], check=True, capture_output=True)  # and there ncps.keras


# ---- files of 1.0.1


def changed(path, change):
    """A model file with another configuration."""
    with zipfile.ZipFile(path) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    config = json.loads(contents["config.json"])
    change(config["config"]["layers"][1]["config"])
    contents["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in contents.items():
            new.writestr(name, content)


def as_in_1_0_1(config):
    """An NCP as 1.0.1 wrote it: lists of ids, no seed, and in the cell without its class."""
    old = {
        "inter_neurons": [5, 6, 7, 8], "command_neurons": [2, 3, 4], "motor_neurons": [0, 1], "sensory_fanout": 2,
        "inter_fanout": 2, "recurrent_command_synapses": 3, "motor_fanin": 2, "seed": None,
    }  # fmt: skip
    config["units"] = {"module": "ncps.wirings.wirings", "class_name": "NCP", "config": old, "registered_name": "NCP"}
    config["wiring"] = config["cell"]["config"]["wiring"] = old


@pytest.mark.parametrize("seed", [22222, 7])
def test_an_ncp_whose_seed_1_0_1_forgot(seed, tmp_path):
    x = inputs(2, 6, 3)
    model = keras.Sequential([keras.Input((6, 3)), LTC(NCP(4, 3, 2, 2, 2, 3, 2, seed=seed))])
    model.save(tmp_path / "model.keras")
    changed(tmp_path / "model.keras", as_in_1_0_1)
    if seed == 22222:
        again = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(numbers(again(x)), numbers(model(x)), atol=1e-6)
    else:
        with pytest.raises(ValueError, match="has synapses where the wiring has none"):
            keras.models.load_model(tmp_path / "model.keras")


def test_weights_that_do_not_fit(tmp_path):
    def model(layer):
        return keras.Sequential([keras.Input((6, 3)), layer])

    model(LTC(AutoNCP(8, 2))).save_weights(tmp_path / "ltc.weights.h5")
    other = model(LTC(AutoNCP(9, 2)))
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"0 of shape \(8,\) instead of \(9,\)"):
        other.load_weights(tmp_path / "ltc.weights.h5")
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))
    model(CfC(5, backbone_layers=2)).save_weights(tmp_path / "cfc.weights.h5")
    with pytest.raises(ValueError, match=r"2 of shape \(128, 5\) instead of \(1, 5\)"):
        model(CfC(5, mode="pure")).load_weights(tmp_path / "cfc.weights.h5")


def test_wirings_in_configurations():
    from ncps.keras.configurations import wiring_from

    for wiring in (AutoNCP(8, 2), ncp(), FullyConnected(4, 2), Wiring(3)):
        name = type(wiring).__name__
        assert wiring_from({"class_name": name, "config": wiring.get_config()}) == wiring
        if name != "Wiring":
            assert wiring_from(wiring.get_config()) == wiring
    with pytest.raises(ValueError, match=r"Expected the name of a registered class. Received: 'Evil'"):
        wiring_from({"class_name": "Evil", "config": {}})
