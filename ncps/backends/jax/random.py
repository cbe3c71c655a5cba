"""Random numbers from keys out of nnx streams, whose count is state that moves on with every draw."""

from __future__ import annotations

import contextlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.errors import TraceContextError

from ncps.backends.jax.ops import floating, native_dtype


class GlobalGenerator:
    """Where draws without a seed come from. It is no state that jax tracks, so what is compiled cannot use it."""

    def __init__(self):
        self.numbers = np.random.default_rng()

    def __call__(self):
        if isinstance(jnp.zeros(()), jax.core.Tracer):
            raise RuntimeError(
                "Random numbers from the global generator would be constants of the compiled function. Give the op a "
                "seed or a seed generator (ncps.ops.random.seed_generator), held by the module that nnx.jit compiles."
            )
        return jax.random.key(self.integer())

    def integer(self):
        return int(self.numbers.integers(2**32))


GLOBAL = GlobalGenerator()


def random_seed_generator(seed=None):
    return nnx.RngStream(jax.random.key(GLOBAL.integer() if seed is None else seed), tag="ncps")


def random_set_seed(seed):
    GLOBAL.numbers = np.random.default_rng(seed)


def new_key(seed):
    if seed is None or isinstance(seed, (nnx.RngStream, nnx.Rngs)):
        return draw(GLOBAL if seed is None else seed)
    return seed if isinstance(seed, jax.Array) else jax.random.key(seed)


# nnx refuses to count a draw inside a function that jax transforms: the new count would leave the transformation as a
# tracer. So an op that transforms a function lifts the randomness out of it. It runs the function; at the first draw
# from a generator that cannot count there it stops, traces the function once to note all such generators, draws one key
# from each outside, where they can count, and runs the function with these. Inside, draw number n of step i is
# fold_in(fold_in(key, i), n). Functions that do not draw pay nothing, and what is recomputed draws the same numbers.


class Lifting(threading.local):
    """The innermost transformed function of this thread, and the generators noted while one is only traced."""

    frame = None
    noted = None


lifting = Lifting()


class Stop(BaseException):  # no Exception: nobody but `lifted` shall catch it
    """A draw inside a transformed function, the first time it is run."""

    def __init__(self, frame):
        super().__init__()
        self.frame = frame


class Frame:
    """One transformed function: a key for every generator that it draws from."""

    def __init__(self, generators=None, keys=None):
        self.generators = generators
        self.keys = keys
        self.step = None
        self.counts = None

    def steps(self, count):
        """Something to run over that numbers the steps, if the function draws at all."""
        return jnp.arange(count) if self.generators else None

    @contextlib.contextmanager
    def at(self, step=None, keys=None):
        before = (lifting.frame, self.step, self.counts, self.keys)
        lifting.frame, self.step, self.counts = self, step, {}
        self.keys = self.keys if keys is None else keys
        try:
            yield
        finally:
            lifting.frame, self.step, self.counts, self.keys = before

    def key(self, generator):
        if lifting.noted is not None:
            lifting.noted[id(generator)] = generator
            return jax.random.key(0)
        if self.generators is None:
            raise Stop(self)
        position = [id(known) for known in self.generators].index(id(generator))
        count = self.counts[position] = self.counts.get(position, -1) + 1
        key = self.keys[position]
        return jax.random.fold_in(key if self.step is None else jax.random.fold_in(key, self.step), count)


def draw(generator):
    if generator is GLOBAL and lifting.frame is not None:
        return lifting.frame.key(generator)
    try:
        return generator()
    except TraceContextError:
        if lifting.frame is None:
            raise
        return lifting.frame.key(generator)


def lifted(transform):
    """``transform(frame)`` with the draws of the functions that it runs inside ``with frame.at(...)``."""
    frame = Frame()
    try:
        return transform(frame)
    except Stop as stop:
        if stop.frame is not frame:
            raise
    lifting.noted = {}
    try:
        jax.eval_shape(lambda: transform(Frame()))
        generators = list(lifting.noted.values())
    finally:
        lifting.noted = None
    return transform(Frame(generators, [draw(generator) for generator in generators]))


def random_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return jax.random.normal(new_key(seed), tuple(shape), native_dtype(dtype)) * stddev + mean


def random_uniform(shape, minval=0.0, maxval=1.0, dtype="float32", seed=None):
    return jax.random.uniform(new_key(seed), tuple(shape), native_dtype(dtype), minval, maxval)


def random_randint(shape, minval, maxval, dtype="int32", seed=None):
    return jax.random.randint(new_key(seed), tuple(shape), minval, maxval, native_dtype(dtype))


def random_bernoulli(shape, probability=0.5, seed=None):
    return jax.random.bernoulli(new_key(seed), probability, tuple(shape))


def random_dropout(inputs, rate, seed=None):
    inputs = floating(inputs)
    kept = random_bernoulli(inputs.shape, 1 - rate, seed)
    return jnp.where(kept, inputs / (1 - rate), 0) if rate < 1 else jnp.zeros_like(inputs)
