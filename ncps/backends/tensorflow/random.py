"""Random numbers drawn statelessly, with seeds that come from a variable."""

from __future__ import annotations

import functools
import itertools
import threading
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from ncps.backends.tensorflow.ops import dims, floating, native_dtype, shape

FRESH = [np.random.default_rng()]  # seeds for generators without one; in a list, so that set_seed replaces it


class SeedGenerator(tf.Module):
    """A seed and the number of draws so far: [seed, draws]."""

    def __init__(self, seed=None):
        super().__init__()
        with tf.init_scope():  # a function that is being traced would own the variable
            self.state = tf.Variable(seed_of(FRESH[0].integers(2**63) if seed is None else seed), trainable=False)

    def next(self):
        seed = self.state.read_value()
        self.state.assign_add((0, 1))
        return seed


def seed_of(number):
    return tf.constant((int(number) % 2**63, 0), tf.int64)


@functools.cache
def global_generator():
    return SeedGenerator()


class Draws(threading.local):
    """How draws from generators get their seeds in this thread; None: from the generator's variable."""

    draw = None


draws = Draws()


@contextmanager
def drawing(draw):
    before, draws.draw = draws.draw, draw
    try:
        yield
    finally:
        draws.draw = before


def next_seed(generator):
    """The next seed of any generator that has a `state` and a `next()`."""
    return generator.next() if draws.draw is None else draws.draw(generator)


def at_step(function, index):
    """`function` as step `index` of a loop: where seeds do not come from a variable, each step has its own."""

    def step(*args):
        outer = draws.draw
        if outer is None:
            return function(*args)
        with drawing(lambda generator: tf.random.fold_in(outer(generator), index)):
            return function(*args)

    return step


def seeded(function, seeds, index=0):
    """`function`, which draws from one seed for each generator: the same at every run with the same index."""

    def run(*args):
        numbers = itertools.count()

        def draw(generator):
            seed = next(seed for known, seed in seeds if known is generator)
            return tf.random.fold_in(tf.random.fold_in(seed, next(numbers)), index)

        with drawing(draw):
            return function(*args)

    return run


def random_seed_generator(seed=None):
    return SeedGenerator(seed)


def random_set_seed(seed):
    FRESH[0] = np.random.default_rng(seed)
    global_generator().state.assign(seed_of(seed))


def generator(seed):
    if isinstance(seed, (int, np.integer)):
        return seed_of(seed)
    return next_seed(global_generator() if seed is None else seed)


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return tf.random.stateless_normal(dims(shape), generator(seed), mean, stddev, native_dtype(dtype))


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return tf.random.stateless_uniform(dims(shape), generator(seed), minval, maxval, native_dtype(dtype))


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    dtype = native_dtype(dtype)
    drawn = dtype if dtype in (tf.int32, tf.int64) else tf.int32
    return tf.cast(tf.random.stateless_uniform(dims(shape), generator(seed), minval, maxval, drawn), dtype)


def random_bernoulli(shape, probability=0.5, seed=None):
    return random_uniform(shape, seed=seed) < probability


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(shape(inputs), 1 - rate, seed)
    return tf.where(kept, inputs / (1 - rate), tf.zeros_like(inputs)) if rate < 1 else tf.zeros_like(inputs)
