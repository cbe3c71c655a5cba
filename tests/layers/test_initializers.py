"""Initial values: which repeat, what a layer may be given for them, and that its configuration keeps it."""

import json

import numpy as np
import pytest

import ncps
from ncps import initializers, saving
from ncps.initializers import Constant, GlorotUniform, Normal, Uniform
from ncps.layers import Dense

VALUES = np.float32([[0.1, -2, 3], [4, 5e-8, 6]])
GIVEN = [  # all that there are, and whatever else a layer takes
    *initializers.NAMED.values(),
    *initializers.NAMED,
    GlorotUniform(seed=1, blocks=3),
    Uniform(seed=np.int64(2), low=np.float32(-0.25)),
    Normal(None, 0.5),
    Constant(value=0.5),
    Constant(value=VALUES),
    Constant(value=[[1, 2, 3], [4, 5, 6]]),
    VALUES,
    VALUES.astype(int),
    VALUES.tolist(),
    0.25,
    np.float32(0.1),
]


def kernel(initializer):
    return Dense(3, kernel_initializer=initializer, input_size=3).read_weight("kernel")


def test_an_initializer_with_a_seed_repeats_and_others_do_not(backend):
    wanted = kernel(GlorotUniform(seed=1))
    np.testing.assert_array_equal(kernel(GlorotUniform(seed=1)), wanted)
    ncps.set_seed(5)  # decides nothing here
    np.testing.assert_array_equal(kernel(GlorotUniform(seed=1)), wanted)
    assert (kernel(GlorotUniform(seed=2)) != wanted).all()
    assert (kernel(GlorotUniform()) != kernel(GlorotUniform())).all()


def test_a_seed_gives_the_same_values_to_weights_of_any_name(backend):
    class Two(ncps.layers.Layer):
        def build(self, input_shape):
            self.one, self.other = (self.add_weight(name, (2, 3), GlorotUniform(seed=1)) for name in ("one", "other"))

    layer = Two()
    layer.ensure_built((None, 3))
    np.testing.assert_array_equal(layer.read_weight("one"), layer.read_weight("other"))


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_every_initializer_comes_back_from_a_configuration(given):
    def made(initializer):
        ncps.set_seed(3)
        return Dense(3, kernel_initializer=initializer, input_size=2)

    layer = made(given)
    config = json.loads(json.dumps(layer.get_config(), allow_nan=False))
    ncps.set_seed(3)
    again = Dense.from_config(config)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again.kernel, layer.kernel)
    if isinstance(given, initializers.Initializer):
        assert again.kernel_initializer == given
        assert hash(again.kernel_initializer) == hash(given)
        assert again.kernel_initializer != Constant(value=7.0)


@pytest.mark.parametrize("given", [GlorotUniform(seed=1), VALUES, VALUES.tolist()], ids=["seeded", "array", "lists"])
def test_layers_with_initial_values_of_ones_own_go_anywhere(backend, given, tmp_path):
    model = ncps.Sequential([Dense(3, kernel_initializer=given, bias_initializer=(1, 2, 3), input_size=2)])
    wanted = model.predict(VALUES[:, :2], verbose=0)  # compiled, where frameworks look at all attributes
    start = VALUES if not isinstance(given, GlorotUniform) else given((2, 3), np.random.default_rng(1))
    np.testing.assert_allclose(wanted, VALUES[:, :2] @ start + [1, 2, 3], rtol=1e-5)
    saving.save(model, tmp_path / "model")
    np.testing.assert_array_equal(saving.load(tmp_path / "model").predict(VALUES[:, :2], verbose=0), wanted)
    moved = ncps.convert(model, "numpy")
    np.testing.assert_allclose(moved.predict(VALUES[:, :2]), wanted, rtol=1e-5)


WRONG = [
    ([[1, 2], [3]], ValueError, r"one length at each depth.*Received: list"),
    (["a"], ValueError, "elements of type <U1"),
    ([None], ValueError, "elements of type object"),
    ({}, TypeError, "Expected a name, a number, an array"),
    (np.ones((3, 3)), ValueError, r"Expected initial values of shape \(2, 3\)"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_is_no_initial_value_is_told(given, error, message):
    with pytest.raises(error, match=message):
        Dense(3, kernel_initializer=given, input_size=2)


def test_a_large_array_stays_out_of_configurations(tmp_path):
    values = np.ones((2, 10_000))
    layer = Dense(10_000, kernel_initializer=values, input_size=2)
    with pytest.raises(ValueError, match=r"at most 16384 elements.*Received: \(2, 10000\).*to 'zeros'"):
        saving.save(layer, tmp_path / "layer")
    layer.kernel_initializer = "zeros"
    saving.save(layer, tmp_path / "layer")
    np.testing.assert_array_equal(saving.load(tmp_path / "layer").kernel, values)


def test_what_becomes_of_a_given_array_changes_nothing():
    values = VALUES.copy()
    layer = Dense(3, kernel_initializer=values)
    values[:] = 0
    layer.ensure_built((None, 2))
    np.testing.assert_array_equal(layer.kernel, VALUES)
