"""The ops for whole sequences on a CPU, through the kernels, which XLA calls.

Where XLA compiles for something else than this process's CPU (another device, a program to be exported), where a run is
short and where it is differentiated once more, the ops' own bodies run.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ncps import tree
from ncps.backend import backend_scope
from ncps.backends.jax import calls
from ncps.backends.jax.ops import is_floating, tensors
from ncps.backends.kernels.sequences import FUNCTIONS, PROGRAMS, TREES, UNMASKED, WEIGHTS, threads
from ncps.ops.control import custom_gradient
from ncps.ops.dispatch import COMPOSITES
from ncps.ops.sequences.chunks import CHUNK

TYPES = ("float32", "float64")
WORK = {  # of a sample's step
    "ltc_sequence": lambda args: args[7] * args[6].source.shape[0] + args[6].sensory_source.shape[0],
    "cfc_sequence": lambda args: sum(math.prod(kernel.shape) for layer in args[5] for kernel, _ in layer.maps),
}
RUN_AGAIN = {"cfc_sequence"}  # can be run again for the gradient, from the states between chunks
MOST_KEPT = 2**31  # bytes that a run keeps for the gradient, six times its outputs: to run again takes a sixth longer
SKIPPED = object()  # an argument that has no gradient

# The work from which on a kernel makes up for the call, about half a millisecond: sigmoids, and multiplications.
ENOUGH = {"ltc_sequence": 250_000, "cfc_sequence": 30_000_000}


class Call(NamedTuple):
    """A call of an op, but for its tensors."""

    name: str
    structure: Any  # of the trees of tensors
    static: tuple[Any, ...]  # the other arguments
    chunk: int  # steps
    most_kept: int  # bytes

    @classmethod
    def of(cls, name: str, args: tuple[Any, ...]) -> tuple[Call, list[Any]]:
        """A call, and its tensors."""
        leaves, structure = tree.flatten(args[: TREES[name]])
        return cls(name, structure, args[TREES[name] :], CHUNK, MOST_KEPT), leaves

    def args(self, leaves: list[Any]) -> tuple[Any, ...]:
        """The arguments of the op."""
        return (*tree.unflatten(self.structure, leaves), *self.static)

    @property
    def number(self) -> int:
        """Number of tensors."""
        return len(tree.flatten(self.structure)[0])

    def program(self, leaves: list[Any]) -> tuple[Any, list[Any]]:
        """The kernels' program, and what it takes."""
        return PROGRAMS[self.name].of(self.args(leaves))

    def options(self, leaves: Any) -> dict[str, Any]:
        """What a call from XLA needs to know.

        That is the program, and by their numbers the tensors that it takes, those that it has gradients of, those that
        go on with the steps, and the states.
        """
        numbers = list(range(self.number))
        program, order = self.program(numbers)
        inputs, states, *flags = self.args(numbers)[:5]
        timed = [inputs, *(i for i in flags if i is not None and leaves[i].ndim == leaves[inputs].ndim)]
        return {
            "op": self.name,
            "program": program,
            "order": order,
            "gradients": self.gradients((*self.args(numbers)[:3], self.args(numbers)[WEIGHTS])),
            "timed": timed,
            "states": tree.flatten(states)[0],
            "chunk": self.chunk,
        }

    def gradients(self, found: tuple[Any, ...]) -> list[Any]:
        """Gradients of inputs, states, times and weights, or what stands for them, in the order of the program."""
        *own, weights = found
        others = tree.unflatten(self.structure, [SKIPPED] * self.number)[WEIGHTS + 1 :]
        each = PROGRAMS[self.name].of((*own, SKIPPED, SKIPPED, weights, *others, *self.static))[1]
        return [x for x in each if x is not SKIPPED]


def swapped(x: Any) -> Any:
    """Time and batch exchanged. Layers have sequences with the batch first, as kernels do: XLA then moves nothing."""
    return x.swapaxes(0, 1)


# -- the kernels, as XLA calls them


def program_of(options):
    return PROGRAMS[options["op"]](*(tuple(x) if isinstance(x, list) else x for x in options["program"]))


def placed(options, leaves):
    """The arrays of a program."""
    leaves = [swapped(leaves[0]), *leaves[1:]]
    return [None if i is None else leaves[i] for i in options["order"]]


def chunks(steps, size):
    return [slice(begin, begin + size) for begin in range(0, steps, size)]


def of_steps(options, steps):
    """The index of some steps in each tensor that goes on with them; the inputs have the batch first."""
    return {i: (slice(None), steps) if i == 0 else (steps,) for i in options["timed"]}


def part(options, leaves, states, steps):
    """The arrays of a program for some steps."""
    index, states = of_steps(options, steps), dict(zip(options["states"], states, strict=True))
    return placed(options, [x[index[i]] if i in index else states.get(i, x) for i, x in enumerate(leaves)])


def write(results, found):
    for result, x in zip(results, found, strict=True):
        if result is not x:  # which the kernels have written there
            result[...] = x.reshape(result.shape)


def run_kernel(options, leaves, results):
    program = program_of(options)
    if not options["again"]:
        write(results, program.forward(placed(options, leaves), options["keep"], threads(), results))
        return
    outputs, *states, kept = results
    before = [leaves[i] for i in options["states"]]
    for k, steps in enumerate(chunks(leaves[0].shape[1], options["chunk"])):
        np.concatenate([x.ravel() for x in before], out=kept[k])
        own = outputs[:, steps] if program.every else outputs
        write((own, *states), program.forward(part(options, leaves, before, steps), False, threads()))
        before = states


def back_kernel(options, arrays, results):
    program, number = program_of(options), options["number"]
    leaves, kept, upstream = arrays[:number], arrays[number : -program.results], arrays[-program.results :]
    if not options["again"]:
        outputs, *final = upstream
        outputs = swapped(outputs) if program.every else outputs
        write(results, program.backward(placed(options, leaves), kept, [outputs, *final], threads()))
        return
    outputs, *d_states = upstream
    shapes = [leaves[i].shape for i in options["states"]]
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))[:-1]
    for k, steps in reversed(list(enumerate(chunks(leaves[0].shape[1], options["chunk"])))):
        first = steps.stop >= leaves[0].shape[1]
        before = [x.reshape(shape) for x, shape in zip(np.split(kept[0][k], ends), shapes, strict=True)]
        given = part(options, leaves, before, steps)
        its = program.forward(given, True, threads())[program.results :]
        d_outputs = swapped(outputs[:, steps]) if program.every else outputs if first else np.zeros_like(outputs)
        found = program.backward(given, its, [d_outputs, *d_states], threads())
        index, d_states = of_steps(options, steps), []
        for i, result, x in zip(options["gradients"], results, found, strict=True):
            if i in options["states"]:
                d_states.append(x)
            if i in index or i in options["states"] or first:
                write([result[index[i]] if i in index else result], [x])
            else:
                result += x.reshape(result.shape)


calls.FUNCTIONS.update(sequence=run_kernel, sequence_backward=back_kernel)


# -- primitives. Their arguments are the tensors of a call; the inputs have the batch first.


def outline(shapes, like):
    return [jax.core.ShapedArray(tuple(shape), like.dtype) for shape in shapes]


def shapes_of(call, leaves):
    program, order = call.program(list(range(call.number)))
    (batch, steps, features), *others = (None if i is None else leaves[i].shape for i in order)
    return program, [(steps, batch, features), *others]


def runs_again(leaves, call):
    """Whether a run keeps the states between chunks only, and the chunks are run again for the gradient."""
    program, shapes = shapes_of(call, leaves)
    kept = program.shapes(shapes, str(leaves[0].dtype), True)[program.results :]
    size = sum(map(math.prod, kept)) * leaves[0].dtype.itemsize
    return call.name in RUN_AGAIN and shapes[0][0] > call.chunk and size > call.most_kept


def run_shapes(*leaves, call, keep):
    program, shapes = shapes_of(call, leaves)
    again = keep and runs_again(leaves, call)
    found = program.shapes(shapes, str(leaves[0].dtype), keep and not again)
    if again:
        found.append((len(chunks(shapes[0][0], call.chunk)), sum(math.prod(shape) for shape in found[1:])))
    return outline(found, leaves[0])


def run_called(*leaves, call, keep):
    results = run_shapes(*leaves, call=call, keep=keep)
    options = {**call.options(leaves), "keep": keep, "again": keep and runs_again(leaves, call)}
    return calls.call("sequence", options, results, leaves)


def run_generic(*leaves, call, keep):
    program = call.program(list(leaves))[0]
    args = call.args([swapped(leaves[0]), *leaves[1:]])
    with backend_scope("jax"):
        outputs, final = FUNCTIONS[call.name](args)[0](*args[: TREES[call.name]])
    kept = run_shapes(*leaves, call=call, keep=keep)[program.results :]
    outputs = swapped(outputs) if program.every else outputs
    return [outputs, *tree.flatten(final)[0], *(jnp.zeros(x.shape, x.dtype) for x in kept)]


def back_shapes(*arrays, call):
    program, shapes = shapes_of(call, arrays)
    return outline(program.gradient_shapes(shapes), arrays[0])


def back_called(*arrays, call):
    leaves = arrays[: call.number]
    options = {**call.options(leaves), "number": call.number, "again": runs_again(leaves, call)}
    return calls.call("sequence_backward", options, back_shapes(*arrays, call=call), arrays)


def back_generic(*arrays, call):
    program, _ = call.program(list(range(call.number)))
    leaves, (outputs, *final) = arrays[: call.number], arrays[len(arrays) - program.results :]
    args = call.args([swapped(leaves[0]), *leaves[1:]])
    _, forward, backward = FUNCTIONS[call.name](args)
    with backend_scope("jax"):
        first, kept = forward(*args[: TREES[call.name]])
        final = tree.unflatten(tree.flatten(first[1])[1], final)
        found = backward(kept, (swapped(outputs) if program.every else outputs, final))
    empty = jnp.zeros(0, leaves[0].dtype)
    first, *rest = [empty if x is None else x for x in call.gradients((*found[:3], found[WEIGHTS]))]
    return [swapped(first), *rest]


def primitive(name, shapes, called, generic):
    """A primitive that calls a kernel on a CPU, and is `generic` elsewhere."""
    new = Primitive(name)
    new.multiple_results = True
    new.def_abstract_eval(shapes)
    new.def_impl(lambda *arrays, **options: jax.jit(functools.partial(new.bind, **options))(*arrays))

    def lowered(context, *arrays, **options):
        # Programs that are exported may run where there is no Python.
        function = generic if context.module_context.lowering_parameters.for_export else called
        return mlir.lower_fun(functools.partial(function, **options), multiple_results=True)(context, *arrays)

    mlir.register_lowering(new, mlir.lower_fun(generic, multiple_results=True))
    mlir.register_lowering(new, lowered, platform="cpu")

    def batched(arrays, dims, **options):
        mapped = [d is not None for d in dims]
        moved = [jnp.moveaxis(x, d, 0) for x, d, there in zip(arrays, dims, mapped, strict=True) if there]

        def one(xs):
            xs = iter(xs)
            return new.bind(*(next(xs) if there else x for x, there in zip(arrays, mapped, strict=True)), **options)

        results = jax.lax.map(one, moved)
        return results, [0] * len(results)

    batching.primitive_batchers[new] = batched

    def differentiated(primals, tangents, **options):
        real = [
            i
            for i, t in enumerate(tangents)
            if type(t) is not ad.Zero and jnp.issubdtype(primals[i].dtype, jnp.floating)
        ]

        def of_real(*xs):
            replaced = dict(zip(real, xs, strict=True))
            return generic(*(replaced.get(i, x) for i, x in enumerate(primals)), **options)

        return jax.jvp(of_real, [primals[i] for i in real], [tangents[i] for i in real])

    ad.primitive_jvps[new] = differentiated
    return new


run = primitive("ncps_sequence", run_shapes, run_called, run_generic)
back = primitive("ncps_sequence_backward", back_shapes, back_called, back_generic)


# -- the ops


def usable(name, args, arrays):
    """Whether the kernels take these, and are worth the call."""
    inputs = arrays[0]
    return (
        calls.AVAILABLE
        and jax.default_backend() == "cpu"
        and str(inputs.dtype) in TYPES
        and all(isinstance(n, int) for x in arrays if x is not None for n in x.shape)
        and all(x is None or x.dtype == inputs.dtype or not is_floating(x) for x in arrays)
        and inputs.shape[0] * inputs.shape[1] * WORK[name](args) >= ENOUGH[name]
    )


def fused(name):
    """The op `name` by kernels where they can, else by its own body."""

    def op(*args):
        args = UNMASKED[name]((*tensors(args[: TREES[name]]), *args[TREES[name] :]))
        program, arrays = PROGRAMS[name].of(args)
        if not (program.exists() and usable(name, args, arrays)):
            return COMPOSITES[name](*args)
        rest = args[TREES[name] :]

        def bound(args):
            call, (inputs, *leaves) = Call.of(name, (*args, *rest))
            return [swapped(inputs), *leaves], call

        def function(*args):
            leaves, call = bound(args)
            return program.outcome(run.bind(*leaves, call=call, keep=False))

        def forward(*args):
            leaves, call = bound(args)
            results = run.bind(*leaves, call=call, keep=True)
            return program.outcome(results[: program.results]), (args, results[program.results :])

        def backward(residuals, upstream):
            (args, kept), (outputs, final) = residuals, upstream
            leaves, call = bound(args)
            upstream = [swapped(outputs) if program.every else outputs, *tree.flatten(final)[0]]
            return program.tree(program.gradients(back.bind(*leaves, *kept, *upstream, call=call)), arrays)

        return custom_gradient(function, forward, backward)(*args[: TREES[name]])

    return op


ltc_sequence, cfc_sequence = map(fused, PROGRAMS)
