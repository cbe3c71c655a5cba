"""Weights go through a file unchanged, from any backend to any other, and a fault changes nothing."""

import json
import os
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file

import ncps
from ncps.layers import LTC, CfC, Dense, Layer, LayerNormalization, Sequential
from ncps.saving import files, load_weights, save_weights
from ncps.saving.weights import weights_of
from ncps.wirings import AutoNCP

BACKENDS = ncps.available_backends()
SERIES = np.linspace(-1, 1, 2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)


class Model(Layer):
    """A user's model, built by its first call."""

    def __init__(self, **options):
        super().__init__(**options)
        self.rnn = LTC(AutoNCP(8, 2))
        self.readout = Dense(4)

    def call(self, inputs):
        return self.readout(self.rnn(inputs))


def made(backend, model=Model, seed=0, **options):
    with ncps.backend_scope(backend):
        ncps.set_seed(seed)
        layer = model(**options)
        layer(SERIES)
    return layer


def numbers(layer, *inputs):
    with ncps.backend_scope(getattr(layer, "bound_to", None) or "keras"):
        return ncps.ops.convert_to_numpy(layer(*inputs))


def stack():
    return Sequential([CfC(AutoNCP(8, 2), return_sequences=True), LayerNormalization(), LTC(3), Dense(2)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", [Model, stack])
def test_weights_go_to_numpy_and_back(tmp_path, backend, model):
    there, here = made(backend, model), made("numpy", model, seed=1)
    save_weights(there, tmp_path / "a")
    load_weights(here, tmp_path / "a")
    np.testing.assert_allclose(numbers(here, SERIES), numbers(there, SERIES), atol=2e-6)
    save_weights(here, tmp_path / "b")
    back = made(backend, model, seed=2)
    load_weights(back, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    np.testing.assert_array_equal(numbers(back, SERIES), numbers(there, SERIES))


@pytest.mark.skipif("keras" not in BACKENDS, reason="keras is not installed")
def test_a_keras_sequential_has_our_paths_and_takes_layers_of_keras(tmp_path):
    ours, theirs = made("numpy", stack), made("keras", stack)
    import keras

    assert isinstance(theirs, keras.Sequential)
    assert [w.path for w in weights_of(theirs)] == ours.weight_paths()
    own = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)]) for _ in range(2)]
    save_weights(own[0], tmp_path / "own")
    load_weights(own[1], tmp_path / "own")
    assert sorted(load_file(tmp_path / "own")) == ["0/bias", "0/kernel", "1/bias", "1/kernel"]
    np.testing.assert_array_equal(own[0].get_weights()[0], own[1].get_weights()[0])
    with pytest.raises(ValueError, match="not built"):
        save_weights(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "own")


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "mlx"])
def test_types_are_kept(tmp_path, backend, dtype):
    if dtype == "float64" and (
        backend == "jax" or (backend == "keras" and os.environ["KERAS_BACKEND"] in ("jax", "numpy"))
    ):
        pytest.skip("jax has no float64 unless asked for, and Keras none of NumPy's")
    with ncps.backend_scope(backend):
        layer, other = Dense(2, input_size=3, dtype=dtype), Dense(2, input_size=3, dtype=dtype)
    save_weights(layer, tmp_path / "w")
    header = (tmp_path / "w").read_bytes()
    size = struct.unpack("<Q", header[:8])[0]
    kind = {"float16": "F16", "float64": "F64", "bfloat16": "BF16"}[dtype]
    assert json.loads(header[8 : 8 + size])["kernel"]["dtype"] == kind
    load_weights(other, tmp_path / "w")
    for a, b in zip(layer.get_weights(), other.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    single = Dense(2, input_size=3)
    load_weights(single, tmp_path / "w")
    np.testing.assert_allclose(single.get_weights()[0], layer.get_weights()[0].astype("float32"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_names_all_faults_and_changes_nothing(tmp_path, backend):
    with ncps.backend_scope(backend):
        source = Sequential([Dense(4, input_size=3), Dense(2, input_size=4), Dense(1, input_size=2, use_bias=False)])
        target = Sequential([Dense(4, input_size=3), Dense(3, input_size=4, use_bias=False), Dense(1, input_size=2)])
        for model in (source, target):
            model.build((None, 3))
    save_weights(source, tmp_path / "w")
    before = target.get_weights()
    with pytest.raises(ValueError, match="Expected the weights") as caught:
        load_weights(target, tmp_path / "w")
    for part in ("missing: 2/bias (1,)", "unexpected: 1/bias (2,)", "1/kernel of shape (4, 2) instead of (4, 3)"):
        assert part in str(caught.value)
    for a, b in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100, b"PK\x03\x04" + bytes(200)])
def test_what_is_no_safetensors_file_is_an_error(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with ncps.backend_scope("numpy"), pytest.raises(ValueError, match="Expected a safetensors file"):
        load_weights(Dense(2, input_size=3), tmp_path / "w")


def test_a_cut_file_is_an_error(tmp_path):
    with ncps.backend_scope("numpy"):
        layer = Dense(2, input_size=3)
    save_weights(layer, tmp_path / "w")
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-4])
    with pytest.raises(ValueError, match="Expected a safetensors file"):
        load_weights(layer, tmp_path / "w")


def test_a_file_of_an_unknown_type_is_an_error(tmp_path):
    header = json.dumps({"kernel": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header + b"12")
    with ncps.backend_scope("numpy"), pytest.raises(ValueError, match="kernel of type F8_E4M3"):
        load_weights(Dense(2, input_size=3), tmp_path / "w")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unbuilt_layer_is_an_error(tmp_path, backend):
    with ncps.backend_scope(backend):
        for layer, name in ((Dense(2), "Dense"), (Model(), "Model.rnn"), (stack(), "Sequential")):
            with pytest.raises(ValueError, match=f"{name}.*not built"):
                save_weights(layer, tmp_path / "w")
            with pytest.raises(ValueError, match=f"{name}.*not built"):
                load_weights(layer, tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_what_is_no_layer_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="Received: dict"):
        save_weights({}, tmp_path / "w")


@pytest.mark.parametrize("failing", ["replace", "write"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    with ncps.backend_scope("numpy"):
        layer = Dense(2, input_size=3)
    save_weights(layer, tmp_path / "w")
    before = (tmp_path / "w").read_bytes()

    def fail(*_, **__):
        raise OSError("No space left on device")

    if failing == "replace":
        monkeypatch.setattr("pathlib.Path.replace", fail)
    else:
        monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_weights(layer, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w"]


def test_constrained_weights_are_saved_as_they_count(tmp_path):
    layer = made("numpy", lambda: LTC(3))
    weights = layer.get_weights()
    layer.set_weights([value - 10 for value in weights])
    save_weights(layer, tmp_path / "w")
    assert (load_file(tmp_path / "w")["cell/w"] == 0).all()


def test_links_and_text_paths(tmp_path):
    with ncps.backend_scope("numpy"):
        layer = Dense(2, input_size=3)
    (tmp_path / "link").symlink_to(tmp_path / "w")
    save_weights(layer, str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    load_weights(layer, str(tmp_path / "w"))


@pytest.mark.parametrize(
    ("description", "message"), [({"x": float("nan")}, "NaN and infinity in init"), ({"x": "a" * 2**23}, "set_weights")]
)
def test_what_could_not_be_read_is_not_written(tmp_path, description, message):
    with pytest.raises(ValueError, match=message):
        files.write(tmp_path / "w", {"a": np.zeros(2, np.float32)}, description)
    assert not (tmp_path / "w").exists()
