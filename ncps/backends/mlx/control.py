"""Loops, branches and gradients on mlx arrays: Python's own, for only `mx.compile` and `mx.vmap` trace."""

from __future__ import annotations

import contextlib
import functools

import mlx.core as mx
from mlx import nn

from ncps import tree
from ncps.backends import common
from ncps.backends.mlx.ops import is_floating, tensor, unary, unstack
from ncps.backends.mlx.random import drawing_from, fresh_key
from ncps.errors import UnsupportedOperationError

WINDOW = 64  # steps that are computed together: mlx would hold what all of a long loop needs until its end


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    init, xs = tree.map(tensor, init), tree.map(tensor, xs)
    steps = common.scan_length(xs, length)

    def run(carry, xs, steps):
        return common.loop_scan(unstack, mx.stack, f, carry, xs, steps, reverse)

    return in_windows(run, init, xs, steps, reverse)


def over_chunks(f, carry, xs, reverse=False):
    return in_windows(lambda carry, xs, steps: f(carry, xs), carry, xs, len(tree.flatten(xs)[0][0]), reverse)


def in_windows(run, carry, xs, steps, reverse):
    """Runs one window of steps after the other; where nothing transforms them, each is computed before the next one."""
    if steps <= 2 * WINDOW:
        return run(carry, xs, steps)
    starts, parts, outputs = range(0, steps, WINDOW), [], None
    leaves, structure = tree.flatten(xs)
    slices = list(zip(*(mx.split(x, list(starts[1:])) for x in leaves), strict=True)) or [()] * len(starts)
    windows = list(zip(starts, slices, strict=True))
    for start, each in reversed(windows) if reverse else windows:
        end = min(start + WINDOW, steps)
        carry, ys = run(carry, tree.unflatten(structure, each), end - start)
        if parts or is_transformed((carry, ys)):
            parts.append(ys)
            continue
        outputs = common.written(outputs, ys, slice(start, end), steps, room)
        mx.async_eval(carry, outputs)  # before the next: mlx then writes into this array, and not into a copy
    if not parts:
        return carry, outputs
    return carry, tree.map(lambda *each: mx.concatenate(each), *(reversed(parts) if reverse else parts))


def room(steps, ys):
    return mx.zeros((steps, *ys.shape[1:]), ys.dtype)


def is_transformed(arrays):
    """Whether mlx differentiates, maps or compiles the function that computes these, so that it needs all of it."""
    try:
        mx.async_eval([mx.stop_gradient(x) for x in tree.flatten(arrays)[0]])
    except ValueError:  # the only sign that mlx gives
        return True
    return False


def associative_scan(f, elems, reverse=False, axis=0):
    return common.associative_scan(mx.concatenate, mx.stack, f, tree.map(tensor, elems), reverse, axis)


def truth(x):
    try:
        return bool(x)
    except ValueError as error:
        if "eval" not in str(error):
            raise
        raise UnsupportedOperationError(
            "mlx cannot branch on values that it only traces: keep cond and while_loop out of functions given to "
            "mx.compile or vectorized_map, or choose with ncps.ops.where."
        ) from error


def cond(pred, true_fn, false_fn):
    return true_fn() if truth(pred) else false_fn()


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    loop_vars = tree.map(tensor, tuple(loop_vars))
    return common.while_loop(lambda *xs: truth(cond(*xs)), body, loop_vars, maximum_iterations)


def fori_loop(lower, upper, body_fun, init_val):
    return common.fori_loop(int(lower), int(upper), body_fun, tree.map(tensor, init_val))


def vectorized_map(function, elements):
    leaves, structure = tree.flatten(tree.map(tensor, elements))
    found = []

    def one(key, leaves):
        with drawing_from(key):
            out, out_structure = tree.flatten(function(tree.unflatten(structure, leaves)))
        found.append(out_structure)
        return [tensor(x) for x in out]

    keys = mx.random.split(fresh_key(), common.scan_length(elements, None))
    outputs = mx.vmap(one)(keys, leaves)
    return tree.unflatten(found[-1], outputs)


class Held:
    """The arrays that a call of a function uses: its arguments, its closure, and the weights of modules in these.

    mx.checkpoint differentiates with respect to arguments only: the gradients of what else a function uses, such as
    the weights of the layer that it belongs to, would silently be zero. So all of it becomes an argument.
    """

    def __init__(self, function, args, kwargs):
        self.cells, self.modules, self.arrays, self._seen = [], [], [], set()
        self.args = tree.flatten((args, kwargs))
        self._look_at((function, args, kwargs))
        self.arrays += [x for x in self.args[0] if isinstance(x, mx.array)]
        for _, (leaves, _) in self.cells:
            self.arrays += [x for x in leaves if isinstance(x, mx.array)]
        self.parameters = [tree.flatten(module.parameters()) for module in self.modules]
        for leaves, _ in self.parameters:
            self.arrays += leaves

    def _look_at(self, found):
        for x in tree.flatten(found)[0]:
            if id(x) in self._seen:
                continue
            self._seen.add(id(x))
            if isinstance(x, nn.Module):
                self.modules.append(x)
            elif isinstance(x, functools.partial):
                self._look_at((x.func, x.args, x.keywords))
            elif hasattr(x, "__func__"):
                self._look_at((x.__func__, x.__self__))
            for cell in getattr(x, "__closure__", None) or ():
                self._look_into(cell)

    def _look_into(self, cell):
        if id(cell) in self._seen:
            return
        self._seen.add(id(cell))
        try:
            content = cell.cell_contents
        except ValueError:  # not assigned yet
            return
        self._look_at(content)
        if any_array(content):
            self.cells.append((cell, tree.flatten(content)))

    @contextlib.contextmanager
    def replaced(self, arrays):
        """Puts other arrays in their places, until the end of the block; yields the arguments."""
        try:
            yield self._put(arrays)
        finally:
            self._put(self.arrays)

    def _put(self, arrays):
        arrays = iter(arrays)

        def filled(leaves, structure):
            return tree.unflatten(structure, [next(arrays) if isinstance(x, mx.array) else x for x in leaves])

        call = filled(*self.args)
        for cell, flat in self.cells:
            cell.cell_contents = filled(*flat)
        for module, flat in zip(self.modules, self.parameters, strict=True):
            module.update(filled(*flat))
        return call


def any_array(trees):
    return not {mx.array}.isdisjoint(type(x) for x in tree.flatten(trees)[0])


def checkpoint(function):
    def op(*args, **kwargs):
        held, key, found = Held(function, args, kwargs), fresh_key(), []

        def run(arrays):
            # mlx's generator has moved on when the backward pass runs the function again: both runs start at one key.
            with held.replaced(arrays) as (new_args, new_kwargs), drawing_from(key):
                outputs, structure = tree.flatten(function(*new_args, **new_kwargs))
            found.append(structure)
            # mlx 0.32 gives no gradient to an output that is another one, as y and y[:n] of the whole length are.
            first, *others = (tensor(x) for x in outputs)
            return [first, *(mx.contiguous(x) for x in others)]

        outputs = mx.checkpoint(run)(held.arrays)
        return tree.unflatten(found[0], outputs)

    return op


def custom_gradient(function, forward, backward):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        if not is_transformed(leaves):  # with residuals as outputs, mlx would compute these as well
            return function(*tree.unflatten(structure, leaves))
        seen = {}

        @mx.custom_function
        def run(*leaves):
            outputs, residuals = forward(*tree.unflatten(structure, leaves))
            out, seen["outputs"] = tree.flatten(outputs)
            seen["kept"], seen["residuals"] = tree.flatten(residuals)
            seen["count"] = len(out)
            # Residuals travel as outputs, which mlx gives to the backward pass.
            return [*(tensor(x) for x in out), *(x for x in seen["kept"] if isinstance(x, mx.array))]

        @run.vjp
        def run_backward(primals, cotangents, outputs):
            primals = list(primals) if isinstance(primals, (list, tuple)) else [primals]
            count, arrays = seen["count"], iter(outputs[seen["count"] :])
            kept = [next(arrays) if isinstance(x, mx.array) else x for x in seen["kept"]]

            def gradients_of(residuals, primals, upstream):
                gradients = common.gradients_of(backward, residuals, tree.unflatten(seen["outputs"], upstream), args)
                return [
                    mx.zeros_like(x) if gradient is None else tensor(gradient, x.dtype)
                    for x, gradient in zip(primals, common.per_leaf(args, gradients), strict=True)
                ]

            # Residuals have no gradients of their own: to differentiate once more, they are computed again.
            @mx.custom_function
            def first_gradients(*both):
                return gradients_of(tree.unflatten(seen["residuals"], kept), both[: len(primals)], both[len(primals) :])

            @first_gradients.vjp
            def second_gradients(both, upstream, _):
                def again(*both):
                    _, residuals = forward(*tree.unflatten(structure, list(both[: len(primals)])))
                    return gradients_of(residuals, both[: len(primals)], both[len(primals) :])

                return mx.vjp(again, list(both), list(upstream))[1]

            return first_gradients(*primals, *cotangents[:count])

        outputs = run(*leaves)
        return tree.unflatten(seen["outputs"], outputs[: seen["count"]])

    return op


stop_gradient = unary(mx.stop_gradient)


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x) for x in leaves]
        real_leaves = [x for x in leaves if is_floating(x)]

        def run(real_leaves):
            rest = iter(real_leaves)
            return tensor(function(*tree.unflatten(structure, [next(rest) if is_floating(x) else x for x in leaves])))

        value, gradients = mx.value_and_grad(run)(real_leaves)
        found = iter(gradients)
        gradients = tree.unflatten(structure, [next(found) if is_floating(x) else None for x in leaves])
        return value, gradients[0] if len(args) == 1 else gradients

    return op
