"""The ops for whole sequences on CPU tensors, through the kernels, which torch's compiler takes as they are."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import torch

from ncps import tree
from ncps.backend import captured
from ncps.backends.common import per_leaf
from ncps.backends.kernels.pool import is_few, lend
from ncps.backends.kernels.sequences import (
    FUNCTIONS,
    PROGRAMS,
    TREES,
    UNMASKED,
    WEIGHTS,
    batch_first,
    check_shapes,
    elapsed,
    flags,
    one_sample,
    wanted,
)
from ncps.backends.kernels.streams import ByIdentity, ByValue
from ncps.backends.torch.control import by_hand, is_watched
from ncps.backends.torch.ops import OWN, dtype
from ncps.backends.torch.threads import team
from ncps.ops.dispatch import COMPOSITES

FAST = wanted()
TYPES = (torch.float32, torch.float64)
PLAIN = {*OWN, type(None)}


@torch.compiler.assume_constant_result  # the compiler would trace how json does it
def text_of(*options):
    return remembered(options)


remembered = functools.cache(json.dumps)


@functools.cache
def program_of(name, options):
    """The program of an op, from the text that operators can take."""
    options = [tuple(x) if isinstance(x, list) else x for x in json.loads(options)]
    return PROGRAMS[name](*options)


def arrays(tensors):
    return [None if x is None else (x.detach() if x.requires_grad else x).numpy() for x in tensors]


def tensors(results):
    return [torch.from_numpy(x) for x in results]


def shapes(tensors):
    return [None if x is None else tuple(x.shape) for x in tensors]


def empty(shapes, like):
    return [like.new_empty(shape) for shape in shapes]


def forward(name: str, options: str, inputs: Sequence[torch.Tensor | None], keep: bool) -> list[torch.Tensor]:
    return tensors(program_of(name, options).forward(arrays(inputs), keep, torch.get_num_threads()))


def backward(
    name: str,
    options: str,
    inputs: Sequence[torch.Tensor | None],
    kept: Sequence[torch.Tensor],
    upstream: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    program, upstream = program_of(name, options), [x.resolve_neg() for x in upstream]
    return tensors(program.backward(arrays(inputs), arrays(kept), arrays(upstream), torch.get_num_threads()))


OPERATORS = {
    run: torch.library.custom_op(name, run, mutates_args=(), device_types="cpu")
    for name, run in (("ncps::sequence", forward), ("ncps::sequence_backward", backward))
}


@OPERATORS[forward].register_fake
def _(name, options, inputs, keep):
    return empty(program_of(name, options).shapes(shapes(inputs), dtype(inputs[0]), keep), inputs[0])


@OPERATORS[backward].register_fake
def _(name, options, inputs, kept, upstream):
    return empty(program_of(name, options).gradient_shapes(shapes(inputs)), inputs[0])


def one_by_one(operator):
    """The rule of vmap: one element of the mapped axis after the other."""

    def rule(info, in_dims, *args):
        leaves, structure = tree.flatten(args)
        dims = list(flat_dims(in_dims, args))

        def at(i):
            return [x if d is None else x.select(d, i).contiguous() for x, d in zip(leaves, dims, strict=True)]

        results = [operator(*tree.unflatten(structure, at(i))) for i in range(info.batch_size)]
        stacked = [torch.stack(each) for each in zip(*results, strict=True)]
        return stacked, [0] * len(stacked)

    return rule


def flat_dims(dims, args):
    for d, arg in zip(dims, args, strict=True):
        if isinstance(arg, (list, tuple)):
            inner = d if isinstance(d, (list, tuple)) else [d] * len(arg)
            yield from (one for one, x in zip(inner, arg, strict=True) if x is not None)
        else:
            yield d


if FAST and (threads := team()) is not None:
    lend(threads)

for one in OPERATORS.values():
    one.register_vmap(one_by_one(one))


def offers(inputs):
    """Under the compiler, layers run in their own loop where the kernels cannot take over; exported they never can."""
    if not torch.compiler.is_compiling():
        return True
    return not torch.compiler.is_exporting() and FAST and inputs.device.type == "cpu" and inputs.dtype in TYPES


def for_loops():
    """The compiler refuses our operators within a loop."""
    return not torch.compiler.is_compiling()


def usable(tensors):
    """Whether the kernels take these."""
    dtype = tensors[0].dtype
    if dtype not in TYPES or torch.compiler.is_exporting():
        return False
    eager = not torch.compiler.is_compiling()  # which cannot ask whether a tensor is to be negated when it is read
    for x in tensors:  # a loop takes half as long as `all` of a generator, in each step of a stream
        if x is None:
            continue
        if not x.is_cpu or (x.dtype != dtype and x.is_floating_point()) or (eager and x.is_neg()):
            return False
    return True


def are_plain(tensors):
    """Whether nobody looks on or stands between: then the kernels can be called without an operator of torch.

    An operator takes half of a step of a stream.
    """
    return not (is_watched() or {*map(type, tensors)} - PLAIN)


def are_kept(parameters):
    """Whether these are a module's own parameters and masks: others may come but once, or only look like tensors."""
    return all(
        x is None or type(x) is torch.nn.Parameter or (type(x) is torch.Tensor and x.dtype == torch.bool)
        for x in parameters
    )


BY_IDENTITY = ByIdentity(torch.Tensor.data_ptr, are_kept)


BY_VALUE = ByValue()


def one_ltc(args):
    """A sample alone through an LTC with weights that are prepared; None where somebody looks on."""
    *given, weights, synapses, unfolds, epsilon, motors, every = args
    if given[0].shape[1] != 1 or not (are_plain([*given, *weights]) and usable([*given, *weights])):
        return None
    options = unfolds, epsilon, motors, every
    args = *arrays(given), type(weights)(*arrays(weights)), synapses, *options

    def prepare():
        values = args[WEIGHTS], type(synapses)(*arrays(synapses)), *options
        program, arguments = PROGRAMS["ltc_sequence"].of((*args[:WEIGHTS], *values))
        return program.stream(arguments[WEIGHTS:])

    outcome = one_sample(BY_VALUE, args, prepare)
    return None if outcome is None else tuple(tensors(outcome))


def few_steps_of_cfc(args):
    """A few steps of a CfC with parameters that are prepared; None where they are not, or somebody looks on.

    In a control loop, laying parameters out takes longer than the step.
    """
    steps, batch, features = args[0].shape
    if not is_few(batch, steps):
        return None
    program, given = PROGRAMS["cfc_sequence"].of(args)
    count = 4 + len(program.maps)
    own, weights, masks = given[:count], given[count:], [layer.mask for layer in args[WEIGHTS]]
    if not program.exists():
        return None
    prepare = functools.partial(few_steps, program, features, masks, weights)
    stream = BY_IDENTITY.stream((program, features), [*masks, *weights], prepare)
    if stream is None or not (are_plain(own) and usable(own)):
        return None
    inputs, times, valid, resets, *initial = arrays(own)
    if inputs.dtype != stream.dtype:
        return None
    check_shapes(inputs, zip(initial, stream.units, strict=True), times, valid, resets)
    own = batch_first(inputs), initial, elapsed(times), flags(valid), flags(resets)
    outputs, final = stream(*own, program.every)
    return program.outcome(tensors([outputs, *final]))


def few_steps(program, features, masks, weights):
    """What the kernels prepare for these parameters; None where they do not take them."""
    return program.few_steps(features, arrays(masks), arrays(weights)) if usable([*weights, *masks]) else None


def run(program, tensors, *args):
    """`forward` or `backward`, as an operator of torch if somebody looks on: that takes as long as a short sequence."""
    return (program if are_plain(tensors) else OPERATORS[program])(*args)


def for_tensors(program, options, forward, backward):
    """An op's own forward and backward, for the list of tensors that its program takes."""

    def kept_forward(*given):
        return forward(*program.tree(given, given))

    def kept_backward(residuals, upstream):
        args, _ = residuals
        gradients = tree.unflatten(tree.flatten(args)[1], per_leaf(args, backward(residuals, upstream)))
        return program.of((*gradients, *options))[1]

    return kept_forward, kept_backward


STREAMED = {"ltc_sequence": one_ltc, "cfc_sequence": few_steps_of_cfc}


def fused(name):
    """The op `name` by kernels where they can, else by its own body."""

    def op(*args):
        if FAST and not (torch.compiler.is_compiling() or torch.is_grad_enabled()):
            outcome = STREAMED[name](args)
            if outcome is not None:
                return outcome
        args = UNMASKED[name](args)
        program, given = PROGRAMS[name].of(args)
        tracing = torch.jit.is_tracing()  # which knows neither lists in operators nor functions with a backward pass
        if tracing or not (FAST and usable(given) and program.exists()):
            # The compiler differentiates the run itself: it refuses loops that keep what a backward pass by hand needs.
            if tracing or torch.compiler.is_compiling():
                return FUNCTIONS[name](args)[0](*args[: TREES[name]])
            return COMPOSITES[name](*args)
        options, count = text_of(*program), program.results

        def function(*given):
            return program.outcome(run(forward, given, name, options, [*given], False))

        def kept_forward(*given):
            results = run(forward, given, name, options, [*given], True)
            return program.outcome(results[:count]), ([*given], results[count:])

        def kept_backward(residuals, upstream):
            (given, kept), (outputs, final) = residuals, upstream
            upstream = [outputs, *tree.flatten(final)[0]]
            found = run(backward, [*given, *kept, *upstream], name, options, given, kept, upstream)
            return program.gradients(found)

        again = for_tensors(program, args[TREES[name] :], *map(captured, FUNCTIONS[name](args)[1:]))
        return by_hand(function, kept_forward, kept_backward, again)(*given)

    op.for_steps, op.offers, op.for_loops = FAST, offers, for_loops
    return op


ltc_sequence, cfc_sequence = map(fused, PROGRAMS)
