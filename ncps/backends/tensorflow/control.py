"""Loops, branches and gradients on TensorFlow tensors: eagerly, in a `tf.function`, and compiled by XLA."""

from __future__ import annotations

import functools

import tensorflow as tf

from ncps import tree
from ncps.backends import common
from ncps.backends.tensorflow.ops import (
    boolean,
    dims,
    in_xla,
    is_tensor,
    slice as part_of,
    slice_update,
    swapaxes,
    tensor,
    unary,
)
from ncps.backends.tensorflow.random import at_step, drawing, next_seed, seeded
from ncps.ops.dispatch import COMPOSITES


def outlined(function, leaves):
    """A trace of a function of tensors apart from the graph, and a seed for every generator that it draws from.

    The trace tells what comes out and what is captured.
    """
    used = []

    def note(generator):
        if not any(generator is known for known in used):
            used.append(generator)
        return tf.zeros(2, generator.state.dtype)

    with drawing(note):
        specs = [tf.TensorSpec(x.shape, x.dtype) for x in leaves]
        trace = tf.function(function, autograph=False).get_concrete_function(*specs)
    return trace, [(generator, next_seed(generator)) for generator in used]


def wider(a, b):
    """The shape of tensors that have either shape."""
    if a.rank != b.rank:
        raise ValueError(
            f"Expected a loop to keep the shapes of its state. Received: {a} and then {b}. Pad the state to one shape."
        )
    return tf.TensorShape([m if m == n else None for m, n in zip(a, b, strict=True)])


def steps_of(xs, length):
    """Number of steps of a scan: a scalar tensor where it is unknown."""
    leaves = tree.flatten(xs)[0]
    known = [x for x in leaves if x.shape[0] is not None]
    if known or (not leaves and not is_tensor(length)):
        return common.scan_length(known, length)
    return tf.shape(leaves[0])[0] if length is None else length


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    init, xs = tree.map(tensor, init), tree.map(tensor, xs)
    steps = steps_of(xs, length)
    if isinstance(steps, int) and (unroll or tf.executing_eagerly()):
        return unrolled_scan(f, init, xs, steps, reverse)
    return looped_scan(f, init, xs, steps, reverse)


def unrolled_scan(f, carry, xs, steps, reverse):
    leaves, structure = tree.flatten(xs)
    slices = [tf.unstack(x, steps) for x in leaves]  # the gradient of x[t] would be as large as x, at every step
    outputs = []
    for t in reversed(range(steps)) if reverse else range(steps):
        carry, y = at_step(f, t)(carry, tree.unflatten(structure, [x[t] for x in slices]))
        outputs.append(y)
    if reverse:
        outputs.reverse()
    return carry, tree.map(lambda *ys: tf.stack(ys), *outputs)


def looped_scan(f, init, xs, steps, reverse):
    carry, carry_structure = tree.flatten(init)
    slices, structure = tree.flatten(xs)
    count, found = len(carry), {}

    def step(*leaves):
        state, y = f(tree.unflatten(carry_structure, leaves[:count]), tree.unflatten(structure, leaves[count:]))
        y, found["y"] = tree.flatten(tree.map(tensor, y))
        state, returned = tree.flatten(state)
        if returned != carry_structure:
            raise ValueError(
                f"Expected a scan to keep the structure of its state. Received: {returned}. Return it as it came."
            )
        return [tensor(x) for x in state], y

    # A loop wants to know beforehand what it carries and what it collects.
    trace, seeds = outlined(step, [*carry, *(x[0] for x in slices)])
    outline = trace.structured_outputs
    invariants = [wider(x.shape, spec.shape) for x, spec in zip(carry, outline[0], strict=True)]
    inputs = [tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x) for x in slices]
    outputs = [tf.TensorArray(spec.dtype, steps, element_shape=spec.shape) for spec in outline[1]]

    def body(i, carry, outputs):
        t = steps - 1 - i if reverse else i
        carry, y = seeded(step, seeds, t)(*carry, *(x.read(t) for x in inputs))
        return i + 1, carry, [array.write(t, leaf) for array, leaf in zip(outputs, y, strict=True)]

    _, carry, outputs = tf.while_loop(
        lambda i, *_: i < steps,
        body,
        (tf.constant(0), carry, outputs),
        (tf.TensorShape(()), invariants, [tf.TensorShape(None)] * len(outputs)),
        maximum_iterations=steps,  # XLA lays out the memory of the backward pass by it
    )
    stacked = [array.stack() for array in outputs]
    return tree.unflatten(carry_structure, carry), tree.unflatten(found["y"], stacked)


def over_steps(f, carry, xs, reverse=False):
    def one(carry, xs):
        carry, ys = f(carry, tree.map(lambda x: x[0], xs))
        return carry, tree.map(lambda y: y[None], ys)

    if chunk_where_copied(xs) is None:
        return COMPOSITES["over_steps"](f, carry, xs, reverse)
    return over_parts(one, carry, xs, 1, reverse)


def over_chunks(f, carry, xs, reverse=False):
    size = chunk_where_copied(xs)
    if size is None:
        return COMPOSITES["over_chunks"](f, carry, xs, reverse)
    return over_parts(f, carry, xs, size, reverse)


def chunk_where_copied(xs):
    """Steps of a chunk of a sequence that XLA would copy as a whole, and that is long; else None."""
    known = all(x.shape.is_fully_defined() for x in tree.flatten(xs)[0])
    return COMPOSITES["chunk_steps"](steps_of(xs, None)) if known and in_xla() else None


def over_parts(f, carry, xs, size, reverse):
    """`f` for some steps after the others, with the time of the user's tensors second.

    They are transposed before and afterwards: XLA sees that the transposes cancel one another, and copies a part at a
    time. Otherwise it would copy all that comes in, and all that goes out.
    """
    (leaves, structure), axes = tree.flatten(xs), time_axes(xs)
    wholes = [swapaxes(x, 0, axis) for x, axis in zip(leaves, axes, strict=True)]
    carry, carry_structure = tree.flatten(carry)
    steps, found = steps_of(xs, None), {}

    def part(start, length, carry):
        parts = [part_of(x, at(start, axis, x), sized(x, length, axis)) for x, axis in zip(wholes, axes, strict=True)]
        own = [swapaxes(x, 0, axis) for x, axis in zip(parts, axes, strict=True)]
        carry, ys = f(tree.unflatten(carry_structure, carry), tree.unflatten(structure, own))
        found["axes"] = time_axes(ys)
        ys, found["structure"] = tree.flatten(ys)
        return tree.flatten(carry)[0], [swapaxes(y, 0, axis) for y, axis in zip(ys, found["axes"], strict=True)]

    def written(start, length, carry, ys):
        carry, parts = part(start, length, carry)
        places = [at(start, axis, y) for y, axis in zip(ys, found["axes"], strict=True)]
        return carry, list(map(slice_update, ys, places, parts))

    _, parts = outlined(lambda *carry: part(0, size, carry), carry)[0].structured_outputs
    shapes = [sized(y, steps, axis) for y, axis in zip(parts, found["axes"], strict=True)]
    state = carry, [tf.zeros(shape, y.dtype) for shape, y in zip(shapes, parts, strict=True)]
    count, rest = divmod(steps, size)
    late = functools.partial(at_step(written, count), count * size, rest) if rest else lambda *state: state
    state = late(*state) if reverse else state
    _, *state = tf.while_loop(
        lambda i, *_: i < count,
        lambda i, *state: (i + 1, *at_step(written, i)((count - 1 - i if reverse else i) * size, size, *state)),
        (tf.constant(0), *state),
        maximum_iterations=count,
    )
    carry, ys = state if reverse else late(*state)
    ys = [swapaxes(y, 0, axis) for y, axis in zip(ys, found["axes"], strict=True)]
    return tree.unflatten(carry_structure, carry), tree.unflatten(found["structure"], ys)


def time_axes(pair):
    """Where the time of the tensors of a pair is, of those of the user and of the others."""
    return [axis for axis, part in zip((1, 0), pair, strict=True) for _ in tree.flatten(part)[0]]


def sized(x, length, axis):
    """The shape of x with another length of an axis."""
    return [length if i == axis else n for i, n in enumerate(x.shape)]


def at(start, axis, x):
    """Indices of the first element of a part of x."""
    return [start if i == axis else 0 for i in range(x.shape.rank)]


def associative_scan(f, elems, reverse=False, axis=0):
    elems = tree.map(tensor, elems)
    if tree.flatten(elems)[0][0].shape[axis] is None:
        raise ValueError(
            f"Expected elements whose number along the axis {axis} is known while tensorflow traces. Received: None. "
            f"Give the function an input signature with this length, or use ops.scan."
        )
    at = axis % tree.flatten(elems)[0][0].shape.rank

    def merged(x, shape):
        lengths = tf.shape(x)  # for the unknown ones: x has one axis more, the two that are merged
        return tf.reshape(x, dims(lengths[i + (i > at)] if n is None else n for i, n in enumerate(shape)))

    return common.associative_scan(tf.concat, tf.stack, f, elems, reverse, axis, merged)


def cond(pred, true_fn, false_fn):
    if not is_tensor(pred):
        return true_fn() if pred else false_fn()
    found = {}

    def branch(function):
        def run():
            leaves, found["structure"] = tree.flatten(function())
            return [tensor(x) for x in leaves]

        return run

    leaves = tf.cond(boolean(pred), branch(true_fn), branch(false_fn))
    return tree.unflatten(found["structure"], leaves)


def while_loop(cond, body, loop_vars, maximum_iterations=None):
    leaves, structure = tree.flatten(tuple(loop_vars))

    def step(i, leaves):
        result = at_step(body, i)(*tree.unflatten(structure, leaves))
        result = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        return i + 1, [tensor(x) for x in tree.flatten(result)[0]]

    _, leaves = tf.while_loop(
        lambda _, leaves: boolean(cond(*tree.unflatten(structure, leaves))),
        step,
        (tf.constant(0), [tensor(x) for x in leaves]),
        maximum_iterations=maximum_iterations,
    )
    return tree.unflatten(structure, leaves)


def fori_loop(lower, upper, body_fun, init_val):
    if tf.executing_eagerly():
        for i in range(int(lower), int(upper)):
            init_val = body_fun(i, init_val)
        return init_val
    start = tensor(lower)
    return while_loop(lambda i, _: i < upper, lambda i, x: (i + 1, body_fun(i, x)), (start, init_val))[1]


def vectorized_map(function, elements):
    leaves, structure = tree.flatten(elements)
    leaves, found = [tensor(x) for x in leaves], {}

    def run(*leaves):
        results, found["structure"] = tree.flatten(function(tree.unflatten(structure, leaves)))
        return [tensor(x) for x in results]

    _, seeds = outlined(run, [x[0] for x in leaves])  # one draw would serve all elements
    numbered = (tf.range(tf.shape(leaves[0])[0]), *leaves)
    results = tf.vectorized_map(lambda x: seeded(run, seeds, x[0])(*x[1:]), numbered, warn=not seeds)
    return tree.unflatten(found["structure"], results)


def checkpoint(function):
    def op(*args, **kwargs):
        # Eagerly, nothing tells which tensors a function captures, and their gradients would be lost.
        return function(*args, **kwargs) if tf.executing_eagerly() else Recomputed(function, args, kwargs)()

    return op


class Recomputed:
    """One call of a function, whose backward pass runs it again, with the seeds that its first run had.

    `tf.recompute_grad` draws anew, and loses the gradients of captured tensors. In a loop it also cannot read variables
    and constants again: so the function becomes a graph, whose captures are read where it is called first.
    """

    def __init__(self, function, args, kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        leaves, count = [tensor(x) for x in leaves], len(leaves)

        def run(*leaves):
            args, kwargs = tree.unflatten(structure, leaves)
            outputs, self.structure = tree.flatten(function(*args, **kwargs))
            return [tensor(x) for x in outputs]

        def run_seeded(*inputs):
            return seeded(run, list(zip(generators, inputs[count:], strict=True)))(*inputs[:count])

        self.graph, seeds = outlined(run, leaves)
        generators, seeds = [generator for generator, _ in seeds], [seed for _, seed in seeds]
        self.inputs = [*leaves, *seeds]
        if seeds:
            self.graph, _ = outlined(run_seeded, self.inputs)
        self.sources = self.graph.captured_inputs
        self.captured = [tf.compat.v1.get_default_graph().capture(x) for x in self.sources]
        self.graph.set_external_captures(self.captured)

    def __call__(self):
        count = len(self.inputs)

        @tf.custom_gradient
        def call(*inputs):
            return self.graph(*inputs[:count]), functools.partial(self.backward, inputs[:count])

        tensors = [x for x in self.captured if x.dtype.is_floating]  # to these, gradients flow as to arguments
        return tree.unflatten(self.structure, call(*self.inputs, *tensors))

    def backward(self, inputs, *upstream, variables=()):
        again = after(inputs, upstream)
        handles = [self.handle(variable) for variable in variables]
        sources = [*again, *(x for x in self.captured if x.dtype.is_floating)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*(x for x in sources if x.dtype.is_floating), *(x for x in handles if x is not None)])
            outputs = self.graph(*again)
        real = [(y, g) for y, g in zip(outputs, upstream, strict=True) if y.dtype.is_floating]
        known = [x for x in handles if x is not None]
        found = tape.gradient([y for y, _ in real], [*sources, *known], [g for _, g in real])
        of_handles = iter(found[len(sources) :])
        if not variables:
            return found
        return found[: len(sources)], [None if x is None else next(of_handles) for x in handles]

    def handle(self, variable):
        """The captured tensor through which a variable is read."""
        pairs = zip(self.sources, self.captured, strict=True)
        return next((inner for outer, inner in pairs if outer is variable.handle), None)


def after(leaves, upstream):
    """`leaves`, known only once `upstream` is: a compiler would find that the forward pass has the results already."""
    first = next((g for g in upstream if g.dtype.is_floating), None)
    if first is None:
        return [tf.identity(x) for x in leaves]
    first = tf.reduce_max(tf.reshape(first, (-1,))[:1])
    zero = tf.where(tf.math.is_nan(first) | True, tf.zeros_like(first), first)
    return [x + tf.cast(zero, x.dtype) if x.dtype.is_floating else tf.identity(x) for x in leaves]


def custom_gradient(function, forward, backward):
    def op(*args):
        leaves, structure = tree.flatten(args)
        found = {}

        @tf.custom_gradient
        def call(*leaves):
            inputs = tree.unflatten(structure, leaves)
            outputs, residuals = forward(*inputs)
            outputs, found["structure"] = tree.flatten(outputs)

            def gradients_of(residuals, upstream):
                cotangents = tree.unflatten(found["structure"], upstream)
                return common.per_leaf(inputs, common.gradients_of(backward, residuals, cotangents, inputs))

            # The tape does not see how the residuals came about: to differentiate once more, they are computed again.
            @tf.custom_gradient
            def first_gradients(leaves, upstream):
                gradients = gradients_of(residuals, upstream)
                real = [i for i, x in enumerate(gradients) if x is not None]

                def again(*upstream_of_gradients, variables=None):
                    args = [x for x in (*leaves, *upstream) if x.dtype.is_floating]
                    with tf.GradientTape() as tape:
                        tape.watch(args)
                        _, residuals = forward(*tree.unflatten(structure, leaves))
                        gradients = gradients_of(residuals, upstream)
                    chosen = [gradients[i] for i in real]
                    second = iter(tape.gradient(chosen, args, upstream_of_gradients))
                    each = [next(second) if x.dtype.is_floating else None for x in (*leaves, *upstream)]
                    second = each[: len(leaves)], each[len(leaves) :]
                    return second if variables is None else (second, [None] * len(variables))

                found["real"], found["count"] = real, len(gradients)
                return [tensor(gradients[i]) for i in real], again

            def gradient(*upstream, variables=None):
                real = iter(first_gradients(list(leaves), list(upstream)))
                gradients = [next(real) if i in found["real"] else None for i in range(found["count"])]
                return gradients if variables is None else (gradients, [None] * len(variables))

            return [tensor(x) for x in outputs], gradient

        outputs = call(*(tensor(x) for x in leaves))
        return tree.unflatten(found["structure"], outputs)

    return op


stop_gradient = unary(tf.stop_gradient)


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tf.identity(tensor(x)) for x in leaves]  # a tensor that is given twice has two gradients
        real_leaves = [x for x in leaves if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(real_leaves)
            value = function(*tree.unflatten(structure, leaves))
        gradients = tape.gradient(value, real_leaves, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        found = iter([tf.convert_to_tensor(x) for x in gradients])  # some are sparse
        gradients = tree.unflatten(structure, [next(found) if x.dtype.is_floating else None for x in leaves])
        return value, gradients[0] if len(args) == 1 else gradients

    return op
