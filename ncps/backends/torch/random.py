"""Random numbers from torch's own generators, which `torch.manual_seed` seeds."""

from __future__ import annotations

import torch

from ncps.backends.torch.ops import floating, native_dtype


def random_seed_generator(seed=None):
    return None


def random_set_seed(seed):
    torch.manual_seed(seed)


def generator(seed):
    if seed is None or isinstance(seed, torch.Generator):
        return seed
    return torch.Generator().manual_seed(seed)


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return torch.randn(tuple(shape), generator=generator(seed), dtype=native_dtype(dtype)) * stddev + mean


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return torch.rand(tuple(shape), generator=generator(seed), dtype=native_dtype(dtype)) * (maxval - minval) + minval


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return torch.randint(minval, maxval, tuple(shape), generator=generator(seed), dtype=native_dtype(dtype))


def random_bernoulli(shape, probability=0.5, seed=None):
    return torch.rand(tuple(shape), generator=generator(seed)) < probability


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    if seed is None:
        return torch.nn.functional.dropout(inputs, rate)
    kept = torch.rand(inputs.shape, generator=generator(seed)).to(inputs.device) >= rate
    return torch.where(kept, inputs / (1 - rate), torch.zeros_like(inputs)) if rate < 1 else torch.zeros_like(inputs)
