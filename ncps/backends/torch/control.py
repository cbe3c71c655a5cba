"""Loops, branches and gradients on torch tensors, eagerly and under torch's compiler."""

from __future__ import annotations

import functools
import inspect

import torch
from torch._higher_order_ops.scan import scan as traced_scan, scan_op as traced_scan_operator  # private in torch 2.13
from torch.utils.checkpoint import checkpoint as recompute

from ncps import tree
from ncps.backends import common
from ncps.backends.torch.ops import is_tensor, tensor, unary
from ncps.ops.dispatch import COMPOSITES


def scan(f, init, xs=None, length=None, reverse=False, unroll=False):
    if not unroll and torch.compiler.is_compiling():
        return compiled_scan(f, init, xs, length, reverse)
    in_place = None if torch.is_grad_enabled() or is_watched() else room
    return step_by_step(f, tree.map(tensor, init), tree.map(tensor, xs), length, reverse, in_place)


step_by_step = functools.partial(common.loop_scan, torch.unbind, torch.stack)


def is_watched():
    """Whether a compiler, a tracer, a mode or a transformation of torch.func looks on or stands between."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.maybe_current_level() is not None
    )


def room(steps, y):
    return y.new_empty((steps, *y.shape))


@torch.compiler.assume_constant_result  # runs while the compiler traces
def scan_stands_alone():
    """Whether no other scan is in the graph that is being traced, as far as its gradients are asked for."""
    from torch._dynamo.symbolic_convert import InstructionTranslator

    graph = InstructionTranslator.current_tx().output.graph
    return not any(node.target is traced_scan_operator for node in graph.nodes)


def compiled_scan(f, init, xs, length, reverse):
    """The scan as torch's own operator: one step is compiled, however many there are.

    Two of them in one graph get wrong gradients from torch 2.13 with inductor: those of captured tensors of one shape
    are summed up in one buffer. So any after the first is laid out step by step.
    """
    if torch.is_grad_enabled() and torch.compiler.is_dynamo_compiling() and not scan_stands_alone():
        return step_by_step(f, tree.map(tensor, init), tree.map(tensor, xs), length, reverse)
    carry, carry_structure = tree.flatten(init)
    slices, structure = tree.flatten(xs)
    if not slices:  # the operator wants something to run over; elsewhere the length may be known by name only
        slices, structure = [torch.arange(common.scan_length(xs, length))], None

    def step(carry, x):
        carry, y = f(tree.unflatten(carry_structure, carry), tree.unflatten(structure, x))
        # The operator refuses None, and results that alias one another or an input.
        return [c.clone() for c in tree.flatten(carry)[0]], () if y is None else tree.map(torch.clone, y)

    carry, outputs = traced_scan(step, [c.clone() for c in carry], slices, reverse=reverse)
    return tree.unflatten(carry_structure, carry), None if outputs == () else outputs


def chunk_steps(steps):
    return None if torch.compiler.is_compiling() else COMPOSITES["chunk_steps"](steps)  # loops in loops it refuses


def associative_scan(f, elems, reverse=False, axis=0):
    return common.associative_scan(torch.cat, torch.stack, f, tree.map(tensor, elems), reverse, axis)


def cond(pred, true_fn, false_fn):
    if torch.compiler.is_compiling() and isinstance(pred, torch.Tensor):
        return torch.cond(pred, true_fn, false_fn)
    return true_fn() if pred else false_fn()


while_loop = common.while_loop
fori_loop = common.fori_loop


def vectorized_map(function, elements):
    return torch.vmap(function, randomness="different")(tree.map(tensor, elements))


def checkpoint(function):
    def op(*args, **kwargs):
        # The compiler decides itself what to keep, and torch.func refuses the hooks that recomputing is made of.
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            return function(*args, **kwargs)
        return recompute(function, *args, use_reentrant=False, **kwargs)

    return op


class ByHand(torch.autograd.Function):
    """A backward pass written by hand; residuals travel as outputs, so that torch.func can transform the function.

    As such they have no gradients of their own. Where the backward pass is to be differentiated, it therefore runs on
    residuals that are computed once more.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(call, *leaves):
        outputs, residuals = call.forward(*tree.unflatten(call.structure, leaves))
        out, call.out_structure = tree.flatten(outputs)
        call.kept, call.kept_structure = tree.flatten(residuals)
        known = [*leaves, *out]
        fresh = list({id(x): x for x in call.kept if is_tensor(x) and position(x, known) is None}.values())
        call.places = [position(x, [*known, *fresh]) for x in call.kept]
        call.kept = [None if is_tensor(x) else x for x in call.kept]
        call.outputs, call.fresh = len(out), len(fresh)
        call.like = [(x.shape, x.dtype, x.device) for x in out]
        # An input that is returned as it is could not be saved.
        return (*(x if position(x, leaves) is None else x.view_as(x) for x in out), *fresh)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.call, *leaves = inputs
        known = [*leaves, *output]
        ctx.mark_non_differentiable(*output[ctx.call.outputs :])
        if not torch.compiler.is_compiling():
            ctx.set_materialize_grads(False)  # zeros for residuals, which are large, would be made for nothing
        ctx.save_for_backward(
            *(known[place] for place in ctx.call.places if place is not None), *(leaves if ctx.call.fresh else ())
        )

    @staticmethod
    def backward(ctx, *cotangents):
        call, saved = ctx.call, iter(ctx.saved_tensors)
        kept = [x if place is None else next(saved) for x, place in zip(call.kept, call.places, strict=True)]
        residuals, backward = tree.unflatten(call.kept_structure, kept), call.backward
        if call.fresh and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            (_, residuals), backward = call.again[0](*tree.unflatten(call.structure, list(saved))), call.again[1]
        upstream = [
            torch.zeros(shape, dtype=dtype, device=device) if x is None else x
            for x, (shape, dtype, device) in zip(cotangents[: call.outputs], call.like, strict=True)
        ]
        upstream = tree.unflatten(call.out_structure, upstream)
        gradients = common.gradients_of(backward, residuals, upstream, call.structure)
        return (None, *common.per_leaf(call.structure, gradients))


ByHand.forward.__signature__ = inspect.signature(ByHand.forward)  # which torch would take apart at every call


def position(x, known):
    """Where this very tensor stands in a list.

    A dictionary by `id` would make the compiler compile anew for each other tensor.
    """
    for place, other in enumerate(known):
        if other is x:
            return place
    return None


class ByHandCall:
    """One call of a function with a hand-written backward pass, and the structures of what went through it."""

    def __init__(self, forward, backward, again, structure):
        self.forward, self.backward, self.again, self.structure = forward, backward, again, structure


def custom_gradient(function, forward, backward):
    return by_hand(function, forward, backward, (forward, backward))


def by_hand(function, forward, backward, again):
    # `again` is a pair of forward and backward that can be differentiated, where these cannot.
    def op(*args):
        if not torch.is_grad_enabled() or torch.jit.is_tracing():  # which records the run and differentiates that
            return function(*args)
        leaves, structure = tree.flatten(args)
        call = ByHandCall(forward, backward, again, structure)
        outputs = ByHand.apply(call, *(tensor(leaf) for leaf in leaves))
        return tree.unflatten(call.out_structure, outputs[: call.outputs])

    return op


stop_gradient = unary(lambda x: x.detach())


def value_and_grad(function):
    def op(*args):
        leaves, structure = tree.flatten(args)
        leaves = [tensor(x).detach() for x in leaves]
        real_leaves = [x.requires_grad_() for x in leaves if x.is_floating_point()]
        with torch.enable_grad():
            value = function(*tree.unflatten(structure, leaves))
        found = iter(torch.autograd.grad(value, real_leaves, allow_unused=True, materialize_grads=True))
        gradients = tree.unflatten(structure, [next(found) if x.is_floating_point() else None for x in leaves])
        return value.detach(), gradients[0] if len(args) == 1 else gradients

    return op
