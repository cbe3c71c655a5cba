"""The run of an LTC over a sequence on a CPU, through the kernel: XLA calls back into Python for it.

Its own loop takes four times as long. Where it would be short, where XLA compiles for something else than this
process's CPU (another device, a program to be exported) and where it is differentiated once more, it runs nevertheless.
CfC gains nothing from the kernels here: most of its time goes into matrix products.
"""

from __future__ import annotations

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ncps.backend import backend_scope
from ncps.backends.jax.ops import tensors
from ncps.backends.kernels.sequences import LTCProgram
from ncps.ops.control import custom_gradient
from ncps.ops.dispatch import COMPOSITES
from ncps.ops.sequences.ltc import ltc_functions

ENOUGH = 1_000_000  # sigmoids, from which on the kernel makes up for the way through Python (half a millisecond)
TYPES = ("float32", "float64")


def placed(given, arrays):
    """The tensors of a program, None among them, of those that there are."""
    arrays = iter(arrays)
    return [next(arrays) if there else None for there in given]


def outline(shapes, dtype):
    return [jax.core.ShapedArray(tuple(shape), dtype) for shape in shapes]


def shapes_of(given, arrays):
    return [None if x is None else x.shape for x in placed(given, arrays)]


# Each primitive has the arrays of a program as arguments: `given` tells where there are some.


def run_shapes(*arrays, program, given, keep):
    return outline(program.shapes(shapes_of(given, arrays), keep), arrays[0].dtype)


def run_kernel(*arrays, program, given, keep):
    return program.forward(placed(given, map(np.asarray, arrays)), keep, threads())


def run_generic(*arrays, program, given, keep):
    args = program.call(placed(given, arrays))[:6]
    with backend_scope("jax"):
        outputs, final = functions(program, given, arrays)[0](*args)
    outputs = jnp.swapaxes(outputs, 0, 1) if program.every else outputs
    kept = run_shapes(*arrays, program=program, given=given, keep=keep)[2:]
    return [outputs, final, *(jnp.zeros(x.shape, x.dtype) for x in kept)]


def back_shapes(*arrays, program, given):
    arrays = arrays[: sum(given)]
    return outline(program.gradient_shapes(shapes_of(given, arrays)), arrays[0].dtype)


def back_kernel(*arrays, program, given):
    *arrays, kept, d_outputs, d_final = map(np.asarray, arrays)
    return program.backward(placed(given, arrays), [kept], [d_outputs, d_final], threads())


def back_generic(*arrays, program, given):
    *arrays, _, d_outputs, d_final = arrays
    args = program.call(placed(given, arrays))[:6]
    _, forward, backward = functions(program, given, arrays)
    with backend_scope("jax"):
        d_inputs, d_first, d_times, _, _, d_weights = backward(forward(*args)[1], (d_outputs, d_final))
    empty = jnp.zeros(0, d_first.dtype)
    return [jnp.swapaxes(d_inputs, 0, 1), d_first, d_times, *(empty if d is None else d for d in d_weights)]


def functions(program, given, arrays):
    return ltc_functions(*program.call(placed(given, arrays))[6:])


def threads():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def primitive(name, shapes, kernel, generic):
    """A primitive that calls `kernel` back on a CPU, and is `generic` elsewhere."""
    new = Primitive(name)
    new.multiple_results = True
    new.def_abstract_eval(shapes)
    new.def_impl(lambda *arrays, **options: jax.jit(functools.partial(new.bind, **options))(*arrays))

    def called_back(*arrays, **options):
        found = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in shapes(*arrays, **options)]
        return jax.pure_callback(functools.partial(kernel, **options), found, *arrays)

    def lowered(context, *arrays, **options):
        # Programs that are exported may run where there is no Python.
        function = generic if context.module_context.lowering_parameters.for_export else called_back
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


run = primitive("ncps_ltc_sequence", run_shapes, run_kernel, run_generic)
back = primitive("ncps_ltc_sequence_backward", back_shapes, back_kernel, back_generic)


def usable(program, arrays):
    """Whether the kernel takes these, and is worth the way."""
    inputs, source = arrays[0], arrays[-6]
    steps, batch, _ = inputs.shape
    return (
        jax.default_backend() == "cpu"
        and str(inputs.dtype) in TYPES
        and all(isinstance(n, int) for x in arrays if x is not None for n in x.shape)
        and all(x is None or x.dtype == inputs.dtype or not jnp.issubdtype(x.dtype, jnp.floating) for x in arrays)
        and steps * batch * program.unfolds * source.shape[0] >= ENOUGH
    )


def ltc_sequence(*args):
    args = (*args[:5], *tensors(args[5:7]), *args[7:])
    program, arrays = LTCProgram.of(args)
    if not usable(program, arrays):
        return COMPOSITES["ltc_sequence"](*args)
    static = args[6:]

    def taken(args):
        arrays = LTCProgram.of((*args, *static))[1]
        given = tuple(x is not None for x in arrays)
        return [x for x in arrays if x is not None], {"program": program, "given": given}

    def function(*args):
        arrays, options = taken(args)
        return program.outcome(run.bind(*arrays, **options, keep=False))

    def forward(*args):
        arrays, options = taken(args)
        *results, kept = run.bind(*arrays, **options, keep=True)
        return program.outcome(results), (args, kept)

    def backward(residuals, upstream):
        args, kept = residuals
        arrays, options = taken(args)
        return program.gradients(args, back.bind(*arrays, kept, *upstream, **options))

    return custom_gradient(function, forward, backward)(*args[:6])
