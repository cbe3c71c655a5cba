"""Classes that derive from known layers export as these, unless they change the equation; so do Keras' own models."""

import numpy as np
import pytest
from c_program import compiled
from exported_models import MASK, moved, series
from test_onnx import session, zeros

from ncps import layers
from ncps.export import to_c, to_onnx
from ncps.wirings import AutoNCP

STEPS, FEATURES = 30, 4
LIMIT = 1e-5


def torch_faces():
    from ncps.torch import LTC, CfC

    return {
        "LTC": LTC(FEATURES, AutoNCP(9, 2)),
        "LTC with memory": LTC(FEATURES, 5, mixed_memory=True),
        "CfC with projection": CfC(FEATURES, 6, proj_size=3, backbone_units=9),
        "CfC of exact GELU": CfC(FEATURES, 6, activation="gelu", backbone_units=9),
        "wired CfC": CfC(FEATURES, AutoNCP(9, 2)),
        "wired CfC with memory": CfC(FEATURES, AutoNCP(9, 2), mode="no_gate", mixed_memory=True, proj_size=2),
    }


def keras_models():
    import keras

    from ncps.keras import LTC, CfC, LTCCell
    from ncps.keras.activations import lecun_tanh

    every = {"return_sequences": True}
    series, elapsed = keras.Input((None, FEATURES)), keras.Input((None,))
    hidden = CfC(AutoNCP(9, 2), **every)((keras.layers.Dense(FEATURES, "gelu")(series), elapsed))
    branchless = keras.Model([series, elapsed], keras.layers.Dense(2, "exponential")(hidden))
    return {
        "functional": (branchless, True),
        "Sequential": (
            keras.Sequential([
                keras.Input((None, FEATURES)),
                keras.layers.LayerNormalization(center=False),
                CfC(5, mixed_memory=True, backbone_units=8, **every),
                keras.layers.Dropout(0.3),
                keras.layers.Activation(lecun_tanh),
                keras.layers.TimeDistributed(keras.layers.Dense(3, use_bias=False)),
                keras.layers.RNN(LTCCell(AutoNCP(9, 2)), **every),
                keras.Sequential([LTC(4, mixed_memory=True, **every)]),
            ]),
            False,
        ),
        "mask": (CfC(6, backbone_units=0, sparsity_mask=MASK, **every), True),
    }  # fmt: skip


@pytest.fixture(scope="module")
def faces():
    pytest.importorskip("torch")
    return torch_faces()


def test_faces_on_torch(faces, tmp_path):
    import torch

    rng = np.random.default_rng(0)
    with torch.no_grad():
        for model in faces.values():
            for weight in model.parameters():
                weight += torch.tensor(moved(weight.numpy(), rng))
    program = compiled(list(faces.values()), tmp_path)
    for i, (name, model) in enumerate(faces.items()):
        inputs, times = series(FEATURES, STEPS, i)
        with torch.no_grad():
            expected = model(torch.tensor(inputs)[None], timespans=torch.tensor(times)[None])[0][0].numpy()
        assert np.abs(program.outputs(i, inputs, times) - expected).max() <= LIMIT, name


def test_states_of_faces_in_onnx_are_theirs(faces, tmp_path):
    pytest.importorskip("onnxruntime")
    import torch

    model = faces["wired CfC"]
    runtime = session(model, tmp_path / "model.onnx", "sequence")
    inputs, times = series(FEATURES, STEPS, 0, 3)
    start = np.random.default_rng(0).standard_normal((3, 9)).astype(np.float32)
    found, state = runtime.run(None, {"inputs": inputs, "timespans": times, **dict.fromkeys(zeros(runtime), start)})
    with torch.no_grad():
        outputs, after = model(torch.tensor(inputs), torch.tensor(start), torch.tensor(times))
    assert np.abs(found - outputs.numpy()).max() <= LIMIT
    assert np.abs(state - after.numpy()).max() <= LIMIT


def test_models_of_keras(tmp_path):
    keras = pytest.importorskip("keras")
    rng, models = np.random.default_rng(0), keras_models()
    inputs, times = series(FEATURES, STEPS, 0, 1)
    calls = {name: (inputs, times) if timed else inputs for name, (_, timed) in models.items()}
    for name, (model, _) in models.items():
        model(calls[name])
        model.set_weights([w + moved(w, rng) for w in model.get_weights()])
    program = compiled([model for model, _ in models.values()], tmp_path)
    for i, (name, (model, timed)) in enumerate(models.items()):
        found = program.outputs(i, inputs[0], times[0] if timed else np.ones_like(times[0]))
        expected = keras.ops.convert_to_numpy(model(calls[name]))[0]
        assert np.abs(found - expected).max() <= LIMIT * max(1, np.abs(expected).max()), name


def test_models_of_keras_without_a_form(tmp_path):
    keras = pytest.importorskip("keras")
    any_length, fixed = keras.Input((None, FEATURES)), keras.Input((5, FEATURES))
    hidden = keras.layers.Dense(3)(any_length)
    branched = keras.Model(any_length, keras.layers.Add()([hidden, keras.layers.Dense(3)(hidden)]))
    of = keras.layers
    for model, error, message in (
        (branched, ValueError, "Add with several inputs"),
        (keras.Model(any_length, [hidden, hidden]), ValueError, "2 outputs"),
        (keras.Sequential([any_length, of.GRU(3)]), TypeError, "Received: GRU 'gru"),
        (keras.Sequential([any_length, of.Dense(3, "selu")]), TypeError, "whose activation is selu"),
        (keras.Sequential([fixed, of.LayerNormalization(axis=1)]), TypeError, "normalises otherwise"),
        (keras.Sequential([of.Dense(3)]), ValueError, "not built"),
    ):
        with pytest.raises(error, match=message):
            to_c(model, tmp_path)
    assert not list(tmp_path.iterdir())


class Renamed(layers.LTC):
    """Computes what LTC does."""

    def get_config(self):
        return super().get_config() | {"more": 1}


class Doubled(layers.LTCCell):
    def positive(self, name):
        return 2 * super().positive(name)


class Reversed(layers.CfC):
    def call(self, sequences, **options):
        return super().call(sequences[:, ::-1], **options)


def test_subclasses_that_change_nothing_export_as_what_they_derive_from(tmp_path):
    codes = [to_c(made(4, input_size=3), tmp_path, name="x") for made in (layers.LTC, Renamed)]
    assert codes[0].flash == codes[1].flash


@pytest.mark.parametrize("make", [
    lambda: layers.RNN(Doubled(4), input_size=3), lambda: Reversed(4, input_size=3),
])  # fmt: skip
def test_subclasses_that_change_the_equation_are_refused(make, tmp_path):
    with pytest.raises(TypeError, match=r"Received: (Doubled|Reversed) .* has no such form"):
        to_c(make(), tmp_path)


def test_a_face_with_another_forward_is_refused(tmp_path):
    pytest.importorskip("torch")
    from ncps.torch import CfC

    class Halved(CfC):
        def forward(self, *args, **options):
            return super().forward(*args, **options)[0] / 2

    with pytest.raises(TypeError, match=r"Received: Halved"):
        to_onnx(Halved(3, 4), tmp_path / "model.onnx")
