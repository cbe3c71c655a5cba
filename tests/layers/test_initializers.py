"""Initial values: which repeat, and what a layer may be given for them."""

import numpy as np

import ncps
from ncps.initializers import GlorotUniform
from ncps.layers import Dense


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
