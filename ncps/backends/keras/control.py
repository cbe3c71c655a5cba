"""Loops, branches and gradients of the framework that Keras runs on."""

from __future__ import annotations

import functools
import importlib
import itertools

import keras

from ncps.backends.keras.ops import FRAMEWORK, parts_of_sequences, tensors, unary
from ncps.backends.keras.random import recording

below = importlib.import_module(f"ncps.backends.{FRAMEWORK}.control")


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    return below.scan(f, tensors(init), tensors(xs), length, reverse, unroll)


def associative_scan(f, elems, reverse=False, axis=0):
    return below.associative_scan(f, tensors(elems), reverse, axis)


def cond(pred, true_fn, false_fn):
    return below.cond(tensors(pred), lambda: tensors(true_fn()), lambda: tensors(false_fn()))


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    return below.while_loop(cond, body, tensors(tuple(loop_vars)), maximum_iterations)


def fori_loop(lower, upper, body_fun, init_val):
    return below.fori_loop(lower, upper, body_fun, tensors(init_val))


def vectorized_map(function, elements):
    return below.vectorized_map(function, tensors(elements))


def checkpoint(function):
    def op(*args, **kwargs):
        run = same_draws(function) if FRAMEWORK == "torch" else function
        return below.checkpoint(run)(*tensors(args), **tensors(kwargs))

    return op


def same_draws(function):
    """`function`, which draws the seeds of its first run again; torch itself knows of its own generators only."""
    seeds, runs = [], itertools.count()

    @functools.wraps(function, updated=())
    def op(*args, **kwargs):
        outer, again = recording.draw, iter(seeds) if next(runs) else None

        def draw(generator):
            if again is not None:
                return next(again)
            seeds.append(generator.next() if outer is None else outer(generator))
            return seeds[-1]

        recording.draw = draw
        try:
            return function(*args, **kwargs)
        finally:
            recording.draw = outer

    return op


def custom_gradient(function, forward, backward):
    op = below.custom_gradient(function, forward, backward)
    return lambda *args: op(*tensors(args))


stop_gradient = unary(keras.ops.stop_gradient)


def value_and_grad(function):
    op = below.value_and_grad(function)
    return lambda *args: op(*tensors(args))


globals().update(parts_of_sequences(below))
