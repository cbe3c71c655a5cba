"""Random numbers from mlx's own generator, which `mx.random.seed` seeds."""

from __future__ import annotations

import contextlib
import threading

import mlx.core as mx

from ncps.backends.mlx.ops import floating, native_dtype


class Inside(threading.local):
    """The key that draws without a seed come from, inside a function that is run again or mapped."""

    key = None


inside = Inside()


@contextlib.contextmanager
def drawing_from(key):
    before, inside.key = inside.key, key
    try:
        yield
    finally:
        inside.key = before


def random_seed_generator(seed=None):
    return None


def random_set_seed(seed):
    mx.random.seed(seed)


def new_key(seed):
    if seed is not None:
        return seed if isinstance(seed, mx.array) else mx.random.key(seed)
    if inside.key is None:
        return None  # mlx's own generator
    inside.key, key = mx.random.split(inside.key)
    return key


def fresh_key():
    return mx.random.randint(0, 2**32 - 1, (2,), mx.uint32, new_key(None))


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return mx.random.normal(tuple(shape), native_dtype(dtype), key=new_key(seed)) * stddev + mean


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return mx.random.uniform(minval, maxval, tuple(shape), native_dtype(dtype), new_key(seed))


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return mx.random.randint(minval, maxval, tuple(shape), native_dtype(dtype), new_key(seed))


def random_bernoulli(shape, probability=0.5, seed=None):
    return mx.random.bernoulli(probability, tuple(shape), new_key(seed))


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(inputs.shape, 1 - rate, seed)
    return mx.where(kept, inputs / (1 - rate), 0) if rate < 1 else mx.zeros_like(inputs)
