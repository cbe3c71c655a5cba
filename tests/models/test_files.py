"""Models in files: from any backend to any other, with the optimizer, and whatever somebody did to the file."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small_models import ELAPSED, MASK, SERIES, TARGETS, Irregular, can_train, sequential

import ncps
from ncps import optimizers, saving
from ncps.backend import NCPSBackend, backend_scope
from ncps.layers import LTC, CfC, Dense, Layer, LSTMCell, MixedMemory
from ncps.saving import files
from ncps.saving.weights import weights_of
from ncps.wirings import AutoNCP, FullyConnected

ROOT = str(Path(__file__).parents[2])
BACKENDS = ("numpy", "torch", "jax", "mlx", "tensorflow", "keras")


def needs(*backends):
    for backend in backends:
        if backend not in NCPSBackend.available_backends():
            pytest.skip(f"{backend} is not installed")


@pytest.fixture(params=BACKENDS)
def source(request):
    needs(request.param)
    return request.param


@pytest.fixture(params=BACKENDS)
def target(request):
    needs(request.param)
    return request.param


def wired():
    wiring = AutoNCP(8, 2, seed=4)
    wiring.add_synapse(7, 0, polarity=-1)
    return ncps.Sequential([LTC(wiring, unfolds=2, return_sequences=True), MixedMemory(LSTMCell(3)), Dense(1)])


def trained(make, backend, epochs=1):
    """A model and its predictions; trained where there are gradients."""
    with backend_scope(backend):
        ncps.set_seed(2)
        model = make()
        if can_train(backend):
            model.compile(optimizers.Adam(0.01), "mse", metrics=["mae"])
            model.fit((SERIES, ELAPSED, MASK), TARGETS, epochs=epochs, batch_size=24, shuffle=False, verbose=0)
        else:
            predicted(model)
        return model, predicted(model)


@functools.cache
def source_of(make, backend):
    """One such model for all tests that only read it."""
    return trained(make, backend)


def predicted(model):
    return model.predict((SERIES, ELAPSED, MASK), 24, verbose=0)


# ---- from backend to backend


def test_all_pairs_of_backends_predict_the_same(source, target, tmp_path):
    model, wanted = source_of(Irregular, source)
    saving.save(model, tmp_path / "model.safetensors")
    data = {"x": (SERIES, ELAPSED, MASK), "y": TARGETS, "batch_size": 24, "verbose": 0}
    with backend_scope(target):
        again = saving.load(tmp_path / "model.safetensors")
        np.testing.assert_allclose(predicted(again), wanted, rtol=0, atol=2e-5)
        if can_train(source) and can_train(target):
            losses = again.fit(epochs=30, **data).history["loss"]  # 30 steps
            assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("there", BACKENDS)
def test_wirings_and_nested_cells_move(there, tmp_path):
    needs(there)
    model, wanted = source_of(wired, "numpy")
    moved = ncps.convert(model, there)
    with backend_scope(there):
        np.testing.assert_allclose(predicted(moved), wanted, rtol=0, atol=2e-5)
    back = ncps.convert(moved, "numpy")
    np.testing.assert_array_equal(predicted(back), wanted)


def test_conversion_keeps_the_way_of_training(trains):
    needs("torch")
    model, wanted = source_of(Irregular, trains)
    again = ncps.convert(model, "torch")
    np.testing.assert_allclose(predicted(again), wanted, rtol=0, atol=2e-5)
    again.compile(**again.compile_arguments)
    assert "mae" in again.evaluate((SERIES, ELAPSED, MASK), TARGETS, verbose=0, return_dict=True)


def test_training_goes_on_as_if_never_interrupted(trains, tmp_path):
    data = {"x": (SERIES, ELAPSED, MASK), "y": TARGETS, "batch_size": 24, "shuffle": False, "verbose": 0, "epochs": 3}
    model, _ = trained(Irregular, trains)
    saving.save(model, tmp_path / "model", optimizer=True)
    wanted = model.fit(**data).history["loss"]
    again = saving.load(tmp_path / "model")
    np.testing.assert_allclose(again.fit(**data).history["loss"], wanted, rtol=1e-6)
    fresh = ncps.convert(saving.load(tmp_path / "model"), trains)
    assert fresh.fit(**data).history["loss"] != wanted


@ncps.register_serializable("tests.models")
class Conductances(Layer):
    """Weights that must not be negative, one of them so by the optimizer's hand."""

    def build(self, input_shape):
        self.g = self.add_weight("g", (3,), [-0.25, 0.5, -0.125], constraint="non_negative")

    def call(self, inputs):
        return inputs[:, -1] * ncps.ops.non_negative(self.g)

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[-1]


def constrained(backend):
    """A model in training, with weights below 0 that come back (under keras, which has constraints, they are 0)."""
    data = {"x": SERIES, "y": 3 * SERIES[:, -1] - 2, "batch_size": 24, "verbose": 0}
    with backend_scope(backend):
        model = ncps.Sequential([Conductances()])
        model.compile(optimizers.SGD(0.005), "mse")
        model.fit(**data)
    return model, data


def raw(model):
    """The one variable of a model, as it is."""
    (weight,) = weights_of(model)
    return np.asarray(ncps.ops.convert_to_numpy(weight.variable))


def test_weights_below_their_constraint_go_on_as_if_never_interrupted(trains, tmp_path):
    model, data = constrained(trains)
    saving.save(model, tmp_path / "model", optimizer=True)
    again = saving.load(tmp_path / "model")
    assert trains == "keras" or (raw(model) < 0).any()
    np.testing.assert_array_equal(raw(again), raw(model))
    wanted = model.fit(epochs=30, **data).history["loss"]
    np.testing.assert_allclose(again.fit(epochs=30, **data).history["loss"], wanted, rtol=1e-6)
    assert (raw(model) > 0).all()  # it did matter


def test_weights_below_their_constraint_are_of_the_training_only(tmp_path):
    needs("torch", "jax")
    model, _ = constrained("torch")
    saving.save(model, tmp_path / "plain")
    assert list(load_file(tmp_path / "plain")) == ["0/g"]
    saving.save(model, tmp_path / "model", optimizer=True)
    with backend_scope("torch"):
        uncompiled = saving.load(tmp_path / "model", compile=False)
        assert (raw(uncompiled) >= 0).all()
        assert uncompiled.load_weights(tmp_path / "model") == []
    with backend_scope("jax"), pytest.warns(UserWarning, match="begins anew"):
        again = saving.load(tmp_path / "model")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize(("name", "shape", "message"), [
    ("~raw/0/g", (2,), r"0/g of shape \(2,\) instead of \(3,\)"), ("~raw/0/h", (3,), r"unexpected: 0/h \(3,\)"),
])  # fmt: skip
def test_weights_below_a_constraint_that_do_not_fit_are_told(name, shape, message, tmp_path):
    needs("torch")
    model, _ = constrained("torch")
    saving.save(model, tmp_path / "model", optimizer=True)
    arrays, texts = files.read(tmp_path / "model")
    files.write(tmp_path / "model", {**arrays, name: np.ones(shape, "float32")}, json.loads(texts["ncps"]))
    with backend_scope("torch"), pytest.raises(ValueError, match=message):
        saving.load(tmp_path / "model")


def test_an_optimizer_of_another_backend_begins_anew_with_a_warning(tmp_path):
    needs("torch", "jax")
    model, _ = trained(Irregular, "torch")
    saving.save(model, tmp_path / "model", optimizer=True)
    with backend_scope("jax"):
        with pytest.warns(UserWarning, match="of 'torch': on 'jax' it begins anew"):
            again = saving.load(tmp_path / "model")
        again.fit((SERIES, ELAPSED, MASK), TARGETS, verbose=0)
        assert not saving.load(tmp_path / "model", compile=False).session.arguments


def test_plain_layers_have_files_too(source, target, tmp_path):
    with backend_scope(source):
        ncps.set_seed(0)
        layer = CfC(AutoNCP(6, 2), return_sequences=True, name="fast")
        wanted = ncps.ops.convert_to_numpy(layer(SERIES))
        saving.save(layer, tmp_path / "layer")
    with backend_scope(target):
        again = saving.load(tmp_path / "layer")
        assert again.name == "fast"
        np.testing.assert_allclose(ncps.ops.convert_to_numpy(again(SERIES)), wanted, rtol=0, atol=2e-6)


def test_graphs_move(source, target, tmp_path):
    if source == "keras" or target == "keras":
        pytest.skip("graphs of Keras are Keras' own")
    with backend_scope(source):
        ncps.set_seed(0)
        series, elapsed = ncps.Input((None, 3), name="series"), ncps.Input((None,), name="elapsed")
        model = ncps.Model([series, elapsed], Dense(1)(CfC(4)(series, timespans=elapsed)))
        wanted = model.predict((SERIES, ELAPSED), verbose=0)
        saving.save(model, tmp_path / "model")
    with backend_scope(target):
        again = saving.load(tmp_path / "model")
        got = again.predict({"elapsed": ELAPSED, "series": SERIES}, verbose=0)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5)


def test_weights_need_not_all_fit(tmp_path):
    with backend_scope("numpy"):
        small, large = (ncps.Sequential([Dense(3, input_size=2), Dense(n, input_size=3)]) for n in (1, 4))
        small.save_weights(tmp_path / "small")
        with pytest.raises(ValueError, match=r"1/bias of shape \(1,\) instead of \(4,\); 1/kernel"):
            large.load_weights(tmp_path / "small")
        assert len(large.load_weights(tmp_path / "small", strict=False)) == 2
        np.testing.assert_array_equal(large[0].kernel, small[0].kernel)


# ---- what is wrong


class Unknown(Layer):
    def call(self, inputs):
        return inputs


WRONG_SAVES = [
    (lambda: ncps.Sequential([Dense(2)]), ValueError, "not built"),
    (lambda: ncps.Sequential([Dense(2, input_size=3), Unknown()]), TypeError, "register"),
    (lambda: 3, TypeError, "Expected a layer"),
]


@pytest.mark.parametrize(("make", "error", "message"), WRONG_SAVES, ids=[message for _, _, message in WRONG_SAVES])
def test_what_cannot_be_saved_is_told(make, error, message, tmp_path):
    with backend_scope("numpy"), pytest.raises(error, match=message):
        saving.save(make(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_state_of_an_optimizer_needs_a_training(tmp_path):
    needs("torch")
    with backend_scope("torch"):
        model = sequential()
        model.compile("adam", "mse")
        model(SERIES)
        with pytest.raises(ValueError, match="Call fit first"):
            model.save(tmp_path / "model", optimizer=True)


def test_losses_that_cannot_be_written_are_left_out_with_a_warning(tmp_path):
    with backend_scope("numpy"):
        model = sequential()
        model.compile("adam", lambda y, outputs: ncps.ops.mean((y - outputs) ** 2, -1))
        model(SERIES)
        with pytest.warns(UserWarning, match="Compile it again"):
            model.save(tmp_path / "model")
        with pytest.raises(RuntimeError, match="not compiled"):
            saving.load(tmp_path / "model").evaluate(SERIES, TARGETS)


# ---- hostile files


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The bytes of a good file."""
    path = tmp_path_factory.mktemp("honest") / "model"
    with backend_scope("numpy"):
        ncps.set_seed(0)
        model = wired()
        model.compile("adam", "mse")
        model(SERIES)
        saving.save(model, path)
    return path.read_bytes()


def with_header(content, change):
    """The file with another header: `change` gets it as data and may return text."""
    length = int.from_bytes(content[:8], "little")
    header = change(json.loads(content[8 : 8 + length]))
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def with_part(content, name, change):
    """The file with another part of its description; `change` gets it as data and may return text."""

    def changed(header):
        parts = json.loads(header["__metadata__"]["ncps"])
        new = change(parts.pop(name, None))
        text = new if isinstance(new, str) else json.dumps(new)
        header["__metadata__"]["ncps"] = json.dumps(parts)[:-1] + f', "{name}": {text}}}'
        return header

    return with_header(content, changed)


def with_model(content, change):
    """The file with another configuration."""
    return with_part(content, "model", change)


def in_place(path, value):
    """Sets something deep in a configuration."""

    def change(config):
        *parents, last = path
        node = config
        for name in parents:
            node = node[name]
        node[last] = value
        return config

    return change


LTC_AT = ("config", "layers", 0, "config")
HUGE = 10**12
CHANGES = {
    "newer": lambda c: with_part(c, "version", lambda v: v + 1),
    "ages newer": lambda c: with_part(c, "version", lambda v: "9" * 5000),
    "version that is no number": lambda c: with_part(c, "version", lambda v: [v]),
    "no description": lambda c: with_header(c, lambda h: h["__metadata__"].update(ncps="{}") or h),
    "no metadata": lambda c: with_header(c, lambda h: h.pop("__metadata__") and h),
    "metadata of numbers": lambda c: with_header(c, lambda h: h.update(__metadata__={"ncps": 3}) or h),
    "unknown class": lambda c: with_model(c, in_place(("config", "layers", 2, "class_name"), "os.system")),
    "class that is no text": lambda c: with_model(c, in_place(("config", "layers", 2, "class_name"), ["Dense"])),
    "unknown argument": lambda c: with_model(c, in_place((*LTC_AT, "command"), "touch /tmp/owned")),
    "wiring for a layer": lambda c: with_model(c, lambda m: m["config"]["layers"][0]["config"]["units"]),
    "huge units": lambda c: with_model(c, in_place(("config", "layers", 2, "config", "units"), HUGE)),
    "huge wiring": lambda c: with_model(c, in_place((*LTC_AT, "units", "config", "units"), 10**6)),
    "many neurons": lambda c: with_model(c, in_place((*LTC_AT, "units", "config", "units"), 9000)),
    "huge input size": lambda c: with_model(c, in_place(("config", "layers", 2, "config", "input_size"), HUGE)),
    "many layers": lambda c: with_model(c, lambda m: in_place(("config", "layers"), m["config"]["layers"] * 2000)(m)),
    "deep lists": lambda c: with_model(c, lambda m: "[" * 100_000 + "]" * 100_000),
    "deep objects": lambda c: with_model(c, lambda m: '{"a":' * 100_000 + "1" + "}" * 100_000),
    "deep classes": lambda c: with_model(
        c, lambda m: '{"class_name": "Sequential", "config": {"layers": [' * 400 + json.dumps(m) + "]}}" * 400
    ),
    "a name twice": lambda c: with_model(c, lambda m: '{"class_name": "Dense", "class_name": "LTC", "config": {}}'),
    "a weight twice": lambda c: with_header(c, lambda h: json.dumps(h).encode()[:-1] + b', "2/bias": {}}'),
    "NaN": lambda c: with_model(c, lambda m: '{"class_name": "Dense", "config": {"units": NaN}}'),
    "huge shape": lambda c: with_header(c, lambda h: h["2/bias"].update(shape=[2**62, 2**62]) or h),
    "negative shape": lambda c: with_header(c, lambda h: h["2/bias"].update(shape=[-1]) or h),
    "overlapping": lambda c: with_header(c, lambda h: h["2/bias"].update(data_offsets=[0, 4]) or h),
    "past the end": lambda c: with_header(c, lambda h: h["2/bias"].update(data_offsets=[0, 2**60]) or h),
    "unknown type": lambda c: with_header(c, lambda h: h["2/bias"].update(dtype="Q99") or h),
    "huge header": lambda c: (2**63).to_bytes(8, "little") + c[8:],
    "empty": lambda c: b"",
    "seven bytes": lambda c: c[:7],
    "half": lambda c: c[: len(c) // 2],
    "pickle": lambda c: b"\x80\x04\x95\x1d\x00\x00\x00cos\nsystem\n(S'touch /tmp/owned'\ntR.",
    "build of a huge shape": lambda c: with_part(c, "build", lambda b: {**b, "2": [None, HUGE]}),
    "build of no layer": lambda c: with_part(c, "build", lambda b: {"9/cell": [None, 3]}),
    "build of text": lambda c: with_part(c, "build", lambda b: {**b, "": "many"}),
    "build that is a number": lambda c: with_part(c, "build", lambda b: 3),
    "training of text": lambda c: with_part(c, "training", lambda t: {"optimizer": "rm"}),
    "training that is a list": lambda c: with_part(c, "training", lambda t: [t]),
    "training with a function": lambda c: with_part(c, "training", lambda t: {"loss": "mse", "__class__": "x"}),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_file_that_somebody_changed_is_an_error_with_a_name(honest, change, tmp_path):
    (tmp_path / "model").write_bytes(CHANGES[change](honest))
    with backend_scope("numpy"), pytest.raises(ValueError, match=r"Expected .*Received: |Expected .*received: "):
        saving.load(tmp_path / "model")


FUZZ = """
import random, resource, sys, warnings
from pathlib import Path
import ncps
from ncps import saving
sys.path.insert(0, sys.argv[2])
from test_files import CHANGES

class Raised(Exception): pass
def audit(event, args):
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class"):
        raise Raised(event)
sys.addaudithook(audit)
warnings.simplefilter("error")
content = Path(sys.argv[1]).read_bytes()
path = Path(sys.argv[1] + ".changed")
ncps.set_backend("numpy")
begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rng = random.Random(0)
changes = list(CHANGES.values())
errors = loaded = 0
for i in range(2000):
    changed = bytearray(changes[i % len(changes)](content) if i % 4 == 0 else content)
    kind = rng.randrange(4) if changed else 4
    if kind == 0:
        for _ in range(rng.randrange(1, 9)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif kind == 1:
        del changed[rng.randrange(len(changed)):]
    elif kind == 2:  # in the header, where it hurts
        for _ in range(rng.randrange(1, 9)):
            changed[rng.randrange(min(len(changed), 4000))] = rng.choice(b'{}[]":,0123456789eE.-n')
    elif kind == 3:
        at = rng.randrange(len(changed))
        changed[at:at] = changed[at : at + rng.randrange(1, 200)]
    path.write_bytes(changed)
    try:
        saving.load(path)
        loaded += 1
    except ValueError as error:
        assert str(error), i
        errors += 1
used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) / 1024
print(errors, loaded, round(used))
assert used < 200, used
"""


def test_two_thousand_damaged_files_are_errors_and_take_no_memory(honest, tmp_path):
    """Files with some other weights load; all else is a ValueError, in a process that executes nothing."""
    (tmp_path / "model").write_bytes(honest)
    (tmp_path / "fuzz.py").write_text(FUZZ)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "fuzz.py"), str(tmp_path / "model"), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    errors, loaded, used = map(int, done.stdout.split())
    assert errors + loaded == 2000
    assert errors > 1000
    assert used < 200


# ---- a crash while saving

KILLED = """
import os, random, signal, sys, time
import ncps
from ncps import saving
from ncps.layers import Dense
ncps.set_backend("numpy")
models = []
for seed in range(2):
    ncps.set_seed(seed)
    models.append(ncps.Sequential([Dense(300, input_size=300), Dense(300, input_size=300)]))
path, rng = sys.argv[1], random.Random(0)
saving.save(models[0], path)
start = time.perf_counter()
saving.save(models[0], path)
one = time.perf_counter() - start
for moment in range(50):
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            for model in reversed(models):
                saving.save(model, path)
                os.write(tell, b".")
    os.close(tell)
    os.read(told, 1)
    if moment % 2:
        os.read(told, 1)
    time.sleep(rng.uniform(0, 2 * one))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)
    print(saving.load(path).get_weights()[1][0, 0])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_that_is_killed_leaves_a_whole_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "model")],
        capture_output=True, text=True, check=False, timeout=120, env=os.environ | {"PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = done.stdout.split()
    assert len(found) == 50
    assert len(set(found)) == 2  # they were killed after some files of either model, and in the middle of some
    assert len(list(tmp_path.iterdir())) > 1  # which is seen from what they left


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    with backend_scope("numpy"):
        model = ncps.Sequential([Dense(3, input_size=2)])
        saving.save(model, tmp_path / "model")
        before = (tmp_path / "model").read_bytes()

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            saving.save(model, tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# ---- the frameworks' own ways go on working


def test_state_dicts_of_torch(tmp_path):
    needs("torch")
    import torch

    (model, wanted), (other, _) = trained(Irregular, "torch"), trained(Irregular, "torch", epochs=2)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    np.testing.assert_array_equal(predicted(other), wanted)
    torch.save(model, tmp_path / "model.pt")
    again = torch.load(tmp_path / "model.pt", weights_only=False)
    np.testing.assert_array_equal(predicted(again), wanted)


def test_states_of_nnx():
    needs("jax")
    from flax import nnx

    (model, wanted), (other, _) = trained(Irregular, "jax"), trained(Irregular, "jax", epochs=2)
    nnx.update(other, nnx.state(model))
    np.testing.assert_array_equal(predicted(other), wanted)
    graph, state = nnx.split(model)
    np.testing.assert_array_equal(predicted(nnx.merge(graph, state)), wanted)
    assert hash(graph) == hash(nnx.split(other)[0])


def test_safetensors_of_mlx(tmp_path):
    needs("mlx")
    import mlx.core as mx
    from mlx.utils import tree_flatten

    (model, wanted), (other, _) = trained(Irregular, "mlx"), trained(Irregular, "mlx", epochs=2)
    mx.save_safetensors(str(tmp_path / "own.safetensors"), dict(tree_flatten(model.parameters())))
    other.load_weights(list(mx.load(str(tmp_path / "own.safetensors")).items()))
    np.testing.assert_array_equal(predicted(other), wanted)


def test_checkpoints_and_saved_models_of_tensorflow(tmp_path):
    needs("tensorflow")
    import tensorflow as tf

    (model, wanted), (other, _) = trained(Irregular, "tensorflow"), trained(Irregular, "tensorflow", epochs=2)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).read(path).assert_consumed()
    np.testing.assert_array_equal(predicted(other), wanted)
    signature = [tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None)), tf.TensorSpec((None, None), tf.bool)]
    exported = tf.Module()
    exported.model = model
    exported.run = tf.function(lambda *inputs: model(*inputs), input_signature=signature, autograph=False)
    tf.saved_model.save(exported, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.run(SERIES, ELAPSED, MASK).numpy(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [wired, Irregular], ids=["wired", "irregular"])
def test_files_of_keras(make, tmp_path):
    needs("keras")
    if make is wired and os.environ["KERAS_BACKEND"] == "tensorflow":
        pytest.skip("XLA takes half a minute for it")
    import keras

    model, wanted = trained(make, "keras")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")  # without custom_objects
    np.testing.assert_array_equal(predicted(again), wanted)
    if can_train("keras"):
        assert again.evaluate((SERIES, ELAPSED, MASK), TARGETS, verbose=0, return_dict=True)["mae"] > 0
        again.fit((SERIES, ELAPSED, MASK), TARGETS, verbose=0)


def test_keras_exports(tmp_path):
    needs("keras", "tensorflow")
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        pytest.skip("Keras exports SavedModels from TensorFlow at once, from jax through it")
    import tensorflow as tf

    with backend_scope("keras"):
        ncps.set_seed(2)
        model = sequential()
        wanted = model.predict(SERIES, verbose=0)
        model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(SERIES).numpy(), wanted, rtol=0, atol=1e-5)


def test_files_are_plain_safetensors(tmp_path):
    with backend_scope("numpy"):
        model = ncps.Sequential([LTC(FullyConnected(3), input_size=2), Dense(1, input_size=3)])
        saving.save(model, tmp_path / "model")
        arrays = load_file(tmp_path / "model")
        assert sorted(arrays) == model.weight_paths()
        save_file(arrays, tmp_path / "weights")
        model.load_weights(tmp_path / "weights")
