"""Random numbers from NumPy's generators."""

from __future__ import annotations

import numpy as np

from ncps.backends.numpy.ops import floating, native_dtype

GLOBAL = [np.random.default_rng()]  # in a list, so that set_seed replaces it for everyone


def random_seed_generator(seed=None):
    return np.random.default_rng(GLOBAL[0].integers(2**63) if seed is None else seed)


def random_set_seed(seed):
    GLOBAL[0] = np.random.default_rng(seed)


def generator(seed):
    if seed is None:
        return GLOBAL[0]
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return generator(seed).normal(mean, stddev, shape).astype(native_dtype(dtype))


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return generator(seed).uniform(minval, maxval, shape).astype(native_dtype(dtype))


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return generator(seed).integers(minval, maxval, shape).astype(native_dtype(dtype))


def random_bernoulli(shape, probability=0.5, seed=None):
    return generator(seed).random(shape) < probability


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(inputs.shape, 1 - rate, seed)
    return np.where(kept, inputs / (1 - rate), 0).astype(inputs.dtype) if rate < 1 else np.zeros_like(inputs)
