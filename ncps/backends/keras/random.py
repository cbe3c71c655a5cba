"""Random numbers from Keras' generators, whose state is a variable."""

from __future__ import annotations

import importlib
import threading
import weakref

import keras

from ncps.backends.keras.ops import FRAMEWORK, floating, native_dtype

below = importlib.import_module(f"ncps.backends.{FRAMEWORK}.random")


class Drawn(keras.random.SeedGenerator):
    """A seed that has been drawn, in the form in which Keras takes it."""

    def __init__(self, seed):
        self.seed = self._initial_seed = seed

    def next(self, ordered=True):
        return self.seed


class Recording(threading.local):
    """How draws get their seeds in a function that is run again."""

    draw = None


recording = Recording()


class Stream:
    """A generator in the form that the ops on jax draw from, and lift out of the functions that jax transforms."""

    def __init__(self, generator):
        self.generator = weakref.proxy(generator)

    def __call__(self):
        if below.lifting.frame is not None:
            return below.lifting.frame.key(self)
        return below.jax.random.wrap_key_data(self.generator.next())


streams = weakref.WeakKeyDictionary()


def next_seed(generator):
    if FRAMEWORK == "jax":
        return streams.setdefault(generator, Stream(generator))()
    if FRAMEWORK == "tensorflow":
        return below.next_seed(generator)
    return generator.next() if recording.draw is None else recording.draw(generator)


def random_seed_generator(seed=None):
    return keras.random.SeedGenerator(seed)


def random_set_seed(seed):
    keras.utils.set_random_seed(seed)
    below.random_set_seed(seed)


def generator(seed):
    if isinstance(seed, keras.random.SeedGenerator):
        return Drawn(next_seed(seed))
    if seed is None and FRAMEWORK == "jax" and below.lifting.frame is not None:  # where Keras' own would be a constant
        return Drawn(below.draw(below.GLOBAL))
    return None if seed is None else int(seed)


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return keras.random.normal(shape, mean, stddev, native_dtype(dtype), generator(seed))


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return keras.random.uniform(shape, minval, maxval, native_dtype(dtype), generator(seed))


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return keras.random.randint(shape, minval, maxval, native_dtype(dtype), generator(seed))


def random_bernoulli(shape, probability=0.5, seed=None):
    return random_uniform(shape, seed=seed) < probability


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    return keras.random.dropout(inputs, rate, seed=generator(seed)) if rate < 1 else keras.ops.zeros_like(inputs)
