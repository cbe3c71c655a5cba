"""Loops, branches and gradients on jax arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ncps import tree
from ncps.backends import common
from ncps.backends.jax.ops import cast, is_floating, is_tensor, is_variable, tensor, tensors, unary
from ncps.backends.jax.random import lifted


def plain(trees):
    """The trees of a function's results, without variables: jax would take them for containers."""
    return jax.tree.map(lambda x: x[...] if is_variable(x) else x, trees, is_leaf=is_variable)


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    init, xs = tensors((init, xs))
    steps = common.scan_length(xs, length, lambda n: n)  # jax.export knows lengths by name only

    def transform(frame):
        def step(carry, numbered):
            i, x = numbered
            with frame.at(i):
                return plain(f(carry, x))

        # Where there is something to run over, jax counts the steps itself, also those that it knows by name only.
        return lax.scan(step, init, (frame.steps(steps), xs), length, reverse, unroll)

    return lifted(transform)


def associative_scan(f, elems, reverse=False, axis=0):
    return lax.associative_scan(lambda a, b: plain(f(a, b)), tensors(elems), reverse, axis)


def cond(pred, true_fn, false_fn):
    if isinstance(pred, (bool, np.bool_)):
        return true_fn() if pred else false_fn()

    def transform(frame):
        def branch(function):
            def op():
                with frame.at():
                    return tensors(function())

            return op

        return lax.cond(tensor(pred), branch(true_fn), branch(false_fn))

    return lifted(transform)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    loop_vars = tensors(tuple(loop_vars))

    def transform(frame):
        def go_on(state):
            count, loop_vars = state
            more = tensor(cond(*loop_vars)).astype(bool)
            return more if maximum_iterations is None else more & (count < maximum_iterations)

        def step(state):
            count, loop_vars = state
            with frame.at(count):
                result = tensors(body(*loop_vars))
            return count + 1, tuple(result) if isinstance(result, (tuple, list)) else (result,)

        return lax.while_loop(go_on, step, (jnp.int32(0), loop_vars))[1]

    return lifted(transform)


def fori_loop(lower, upper, body_fun, init_val):
    init_val = tensors(init_val)

    def transform(frame):
        def step(i, value):
            with frame.at(i):
                return tensors(body_fun(i, value))

        return lax.fori_loop(lower, upper, step, init_val)

    return lifted(transform)


def vectorized_map(function, elements):
    elements = tensors(elements)
    count = common.scan_length(elements, None, lambda n: n)

    def transform(frame):
        def one(i, element):
            with frame.at(i):
                return plain(function(element))

        numbers = frame.steps(count)
        return jax.vmap(one, in_axes=(None if numbers is None else 0, 0))(numbers, elements)

    return lifted(transform)


def checkpoint(function):
    def op(*args, **kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        # jax would trace every argument; flags and modules go round it.
        traced = [tensor(x) if is_tensor(x) or isinstance(x, np.ndarray) else None for x in leaves]

        def transform(frame):
            def run(traced):
                mixed = [x if t is None else t for x, t in zip(leaves, traced, strict=True)]
                args, kwargs = tree.unflatten(structure, mixed)
                with frame.at():
                    return plain(function(*args, **kwargs))

            return jax.checkpoint(run)(traced)

        return lifted(transform)

    return op


def custom_gradient(function, forward, backward):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        types = [x.dtype if is_floating(x) else None for x in leaves]

        def transform(frame):
            @jax.custom_vjp
            def run(keys, leaves):
                with frame.at(keys=keys):
                    return plain(function(*tree.unflatten(structure, leaves)))

            def run_forward(keys, leaves):
                with frame.at(keys=keys):
                    return plain(forward(*tree.unflatten(structure, leaves)))

            def run_backward(residuals, cotangents):
                gradients = common.gradients_of(backward, residuals, cotangents, args)
                found = common.per_leaf(args, gradients)
                # None is jax's zero, also for integers, whose gradients have a type of their own.
                return None, [
                    None if g is None or dtype is None else cast(g, dtype)
                    for g, dtype in zip(found, types, strict=True)
                ]

            run.defvjp(run_forward, run_backward)
            # The keys are an argument: jax runs the functions when the tracers around this call may be gone.
            return run(frame.keys, leaves)

        return lifted(transform)

    return op


stop_gradient = unary(lax.stop_gradient)


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        real_leaves = [x if is_floating(x) else None for x in leaves]

        def transform(frame):
            def run(real_leaves):
                mixed = [x if r is None else r for x, r in zip(leaves, real_leaves, strict=True)]
                with frame.at():
                    return tensor(function(*tree.unflatten(structure, mixed)))

            return jax.value_and_grad(run)(real_leaves)

        value, found = lifted(transform)
        gradients = tree.unflatten(structure, found)
        return value, gradients[0] if len(args) == 1 else gradients

    return op
