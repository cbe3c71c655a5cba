"""The run of a closed-form continuous-time network over a sequence, with a backward pass written by hand."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ncps import tree
from ncps.ops.activations import elu, gelu, lecun_tanh, relu, sigmoid, silu, softplus
from ncps.ops.arithmetic import absolute, erf, exp, sign, tanh
from ncps.ops.comparison import where
from ncps.ops.control import custom_gradient, scan
from ncps.ops.creation import Tensor, cast, convert_to_tensor, copy, ones_like, zeros_like
from ncps.ops.dispatch import composite
from ncps.ops.linalg import matmul
from ncps.ops.reductions import sum
from ncps.ops.sequences.chunks import over_chunks, over_steps
from ncps.ops.shapes import concatenate, reshape, split, stack, transpose

Tree = Any


class Activation(NamedTuple):
    """An activation y = f(x), and its slope dy/dx as a function of what a run keeps: y, or x where y does not tell."""

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    keeps_x: bool = False

    def kept(self, x: Tensor, y: Tensor) -> Tensor:
        """What is kept of both."""
        return x if self.keeps_x else y

    def value(self, kept: Tensor) -> Tensor:
        """y."""
        return self.function(kept) if self.keeps_x else kept


def slope_of_silu(x: Tensor) -> Tensor:
    """The slope of x σ(x)."""
    s = sigmoid(x)
    return s + x * (s - s * s)


def slope_of_gelu(x: Tensor) -> Tensor:
    """The slope of x (1 + tanh(a x + b x³)) / 2, Gaussian error linear units by tanh."""
    a = (2 / math.pi) ** 0.5
    b = 0.044715 * a
    y = tanh(x * (a + b * x * x))
    return 0.5 * (1 + y + x * (1 - y * y) * (a + 3 * b * x * x))


def gelu_exact(x: Tensor) -> Tensor:
    """x times the normal distribution function of x."""
    return gelu(x, approximate=False)


def slope_of_gelu_exact(x: Tensor) -> Tensor:
    """The slope of that."""
    return 0.5 * (1 + erf(0.5**0.5 * x)) + x * (0.5 / math.pi) ** 0.5 * exp(-0.5 * x * x)


ACTIVATIONS: dict[str | None, Activation] = {
    "tanh": Activation(tanh, lambda y: 1 - y * y),
    "lecun_tanh": Activation(lecun_tanh, lambda y: 0.666 * 1.7159 - (0.666 / 1.7159) * (y * y)),
    "sigmoid": Activation(sigmoid, lambda y: y - y * y),
    "relu": Activation(relu, lambda y: cast(y > 0, y.dtype)),
    "elu": Activation(elu, lambda y: where(y > 0, ones_like(y), y + 1)),
    "softplus": Activation(softplus, lambda y: 1 - exp(-y)),
    "exp": Activation(exp, lambda y: y),
    "silu": Activation(silu, slope_of_silu, keeps_x=True),
    "gelu": Activation(gelu, slope_of_gelu, keeps_x=True),
    "gelu_exact": Activation(gelu_exact, slope_of_gelu_exact, keeps_x=True),
    "linear": Activation(lambda x: x, ones_like),
    None: Activation(lambda x: x, ones_like),
}
NARROW = 48  # units, see `CfCRun`


class CfCLayer(NamedTuple):
    """One layer of neurons of `cfc_sequence`.

    `maps` are kernels and biases, (K, W) and (W,): those of the backbone, if there is one, then the heads side by side;
    the first takes inputs and states [x, h]. The mode pure has `w_tau` and `A` (H,). `mask`, of the shape of the heads'
    kernel, is true where that counts; None for everywhere. The op applies it: in a control loop, to make a new kernel
    takes longer than the step.
    """

    maps: tuple[tuple[Tensor, Tensor], ...]
    w_tau: Tensor | None = None
    A: Tensor | None = None
    mask: Tensor | None = None


@composite
def cfc_sequence(
    inputs: Tensor,
    initial: tuple[Tensor, ...],
    times: Tensor,
    valid: Tensor | None,
    resets: Tensor | None,
    layers: tuple[CfCLayer, ...],
    mode: str,
    backbone_activation: str | None,
    head_activation: str | None,
    every: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    r"""Runs a stack of closed-form continuous-time layers over a sequence, each driven by the one before.

    With the heads f, g, a, b of z = backbone([x, h]), the elapsed time t and the gate $s = \sigma(a(z)\,t + b(z))$,

    $$h' = (1 - s) \odot \phi(f(z)) + s \odot \phi(g(z)) \quad \text{(default)}, \qquad
      h' = \phi(f(z)) + s \odot \phi(g(z)) \quad \text{(no\_gate)},$$
    $$h' = A - A \odot e^{-t (|w_\tau| + |f(z)|)} \odot f(z) \quad \text{(pure)}.$$

    Args:
        inputs: (T, B, F); finite where a step does not count.
        initial: states (B, H) of the layers before the first step.
        times: elapsed times, a scalar, (T, 1, 1) or (T, B, 1).
        valid: (T, B, 1), true where a step counts; None for everywhere. Other steps leave the states.
        resets: (T, B, 1), true where a sample starts from zeros before a step; None for nowhere.
        layers: see `CfCLayer`.
        mode: ``"default"``, ``"no_gate"`` or ``"pure"``.
        backbone_activation: one of `ACTIVATIONS`.
        head_activation: the same, for φ.
        every: whether the outputs of all steps are wanted, or only of the last.

    Returns:
        States of the last layer, (T, B, H) or (B, H), and those of all layers after the last step.

    Source: Hasani et al., Nature Machine Intelligence 2022 (arXiv 2106.13898), eq. 3 and 4.

    Example:
        >>> kernel, bias = ops.zeros((3 + 4, 4 * 4)), ops.zeros((4 * 4,))  # of [x, h] for the heads f, g, a, b
        >>> layer, state = ops.CfCLayer(((kernel, bias),)), ops.zeros((2, 4))
        >>> outputs, last = ops.cfc_sequence(
        ...     ops.ones((5, 2, 3)), (state,), np.float32(0.1), None, None, (layer,), "default", None, "tanh", True
        ... )
        >>> outputs.shape, [h.shape for h in last]
        ((5, 2, 4), [(2, 4)])
    """
    layers = unmasked(tree.map(convert_to_tensor, layers))
    functions = cfc_functions(mode, backbone_activation, head_activation, every)
    return custom_gradient(*functions)(inputs, initial, times, valid, resets, layers)


def unmasked(layers: tuple[CfCLayer, ...]) -> tuple[CfCLayer, ...]:
    """The layers with zeros in the kernels of their heads where their masks are false, and without masks."""

    def one(layer: CfCLayer) -> CfCLayer:
        if layer.mask is None:
            return layer
        *backbone, (kernel, bias) = layer.maps
        return layer._replace(maps=(*backbone, (where(layer.mask, kernel, 0.0), bias)), mask=None)

    return tuple(map(one, layers))


def cfc_functions(
    mode: str, backbone_activation: str | None, head_activation: str | None, every: bool
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The run of `cfc_sequence`, the same with what the backward pass needs, and the backward pass."""

    def begun(args: Any) -> CfCRun:
        return CfCRun(args, mode, ACTIVATIONS[backbone_activation], ACTIVATIONS[head_activation], every)

    def function(*args: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        outputs, final, _ = begun(args).forward(keep=False)
        return outputs, final

    def forward(*args: Any) -> tuple[tuple[Tensor, tuple[Tensor, ...]], Tree]:
        outputs, final, kept = begun(args).forward(keep=True)
        return (outputs, final), (args, kept)

    def backward(kept: Tree, upstream: tuple[Tensor, tuple[Tensor, ...]]) -> Tree:
        args, kept = kept
        return begun(args).backward(kept, *upstream)

    return function, forward, backward


class Kept(NamedTuple):
    """What the backward pass needs of a step of a layer, each (B, ...)."""

    before: Tensor  # the state, after a possible reset
    hidden: list[Tensor]  # of the backbone's layers, as their activation keeps it
    heads: Tensor  # of f and g side by side, as their activation keeps it; f in the mode pure
    gate: Any  # s, or 2 s - 1 of joined heads; None in the mode pure
    rate: Any  # a; None unless the elapsed times differ
    after: Tensor | None  # the state; None of the last layer, as it is the output


class Slopes(NamedTuple):
    """Derivatives of a step of a layer that do not depend on the gradients that come in."""

    heads: Tensor  # of the new state by the heads, (..., heads, H)
    hidden: list[Tensor]  # of the outputs of the backbone's layers by what they are activations of


class CfCRun:
    """The run and its backward pass.

    One product gives the gradient of a kernel of many steps. In the forward pass, each layer takes inputs and states in
    one product. To project the inputs of many steps first gains 2 to 8 hundredths on torch and nothing under XLA, which
    looks the projections up one by one, within the activations, whose loops then do not use the processor's vectors; of
    many samples it takes memory, which systems hand out slowly (512 samples, XLA: 1.5 times the time). An elapsed time
    that all steps and samples share is folded into the heads. Where tanh activates the heads of few units, one tanh of
    all heads gives the gate as well, σ(x) = (1 + tanh(x / 2)) / 2: of an activation for each, XLA makes loops so short
    that they do not use the processor's vectors. It halves the time of 34, 22 and 8 units, and does nothing for 64.
    """

    def __init__(self, args: Any, mode: str, backbone: Any, head: Any, every: bool) -> None:
        self.inputs, self.initial, self.times, valid, resets, self.layers = args
        self.mode, self.backbone, self.head, self.every = mode, backbone, head, every
        self.shared = len(self.times.shape) == 0
        self.xs = None if self.shared else self.times, valid, resets
        self.joined = [
            self.shared and mode != "pure" and self.head.function is tanh and h.shape[-1] < NARROW for h in self.initial
        ]
        self.features = self.inputs.shape[-1]

    def folded(self, i: int, halved: bool = False) -> list[tuple[Tensor, Tensor]]:
        """The maps of a layer, with f, g, a t + b as heads where all steps share t; with half of the last on demand."""
        *hidden, heads = self.layers[i].maps
        n = self.initial[i].shape[-1]

        def fold(x: Tensor) -> Tensor:
            gate = x[..., 2 * n : 3 * n] * self.times + x[..., 3 * n :]
            return concatenate([x[..., : 2 * n], 0.5 * gate if halved else gate], -1)

        if self.mode != "pure" and self.shared:
            heads = tuple(fold(x) for x in heads)
        return [*hidden, heads]

    # -- forward

    def forward(self, keep: bool) -> tuple[Tensor, tuple[Tensor, ...], list[Kept] | None]:
        """Outputs, the last states, and what the backward pass needs of every step."""
        maps = [self.folded(i, halved) for i, halved in enumerate(self.joined)]
        products = [self.products(i, one) for i, one in enumerate(maps)]

        def step(states: tuple[Tensor, ...], x: Tree) -> tuple[tuple[Tensor, ...], Tree]:
            (below, time, counts, fresh), _ = x
            time = self.times if time is None else time
            kept: list[Kept] = []
            for i, state in enumerate(states):
                before = started(state, fresh)
                below = kept[-1].after if kept else below
                kept.append(self.layer_step(i, products[i], below, before, time, counts))
            after = tuple(one.after for one in kept)
            kept[-1] = kept[-1]._replace(after=None)
            return after, (after[-1] if self.every else None, kept if keep else None)

        final, (outputs, kept) = over_steps(step, self.initial, ((self.inputs, *self.xs), None))
        return outputs if self.every else copy(final[-1]), final, kept  # a user may change outputs in place

    def products(self, i: int, maps: list[tuple[Tensor, Tensor]]) -> list[Callable[[Tensor], Any]]:
        """The maps of a layer as functions; the last may give several tensors, see `linear_heads`."""
        *hidden, heads = maps
        whole = self.mode == "pure" or self.joined[i]
        last = linear(*heads) if whole else linear_heads(*heads, self.initial[i].shape[-1])
        return [*(linear(*one) for one in hidden), last]

    def layer_step(
        self, i: int, maps: list[Callable[[Tensor], Any]], below: Tensor, before: Tensor, time: Tensor, counts: Any
    ) -> Kept:
        """One step of a layer, from its inputs and its state."""
        x, hidden, (*backbone, heads) = concatenate([below, before], -1), [], maps
        for apply in backbone:
            z = apply(x)
            x = self.backbone.function(z)
            hidden.append(self.backbone.kept(z, x))
        new, heads, gate, rate = self.solution(i, heads(x), time)
        after = new if counts is None else where(counts, new, before)
        return Kept(before, hidden, heads, gate, rate, after)

    def solution(self, i: int, heads: Any, time: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """The new state; the activated heads, the gate and its rate."""
        if self.mode == "pure":
            A, w_tau = self.layers[i].A, self.layers[i].w_tau
            return A - A * exp(-time * (absolute(w_tau) + absolute(heads))) * heads, heads, None, None
        n = self.initial[i].shape[-1]
        if self.joined[i]:
            active = tanh(heads)
            f, g, s = active[..., :n], active[..., n : 2 * n], active[..., 2 * n :]  # the last is 2 s - 1
            # Written as f + s (g - f), XLA would compute the three tanh of a neuron in one go again.
            new = f + 0.5 * (g + s * g) if self.mode == "no_gate" else 0.5 * ((f + g) + s * (g - f))
            return new, active[..., : 2 * n], s, None
        *parts, gate = heads
        active, rate = [self.head.function(x) for x in parts], None
        if not self.shared:
            rate = gate[..., :n]
            gate = rate * time + gate[..., n:]
        f, g = active if len(active) > 1 else (active[0][..., :n], active[0][..., n:])
        s, kept = sigmoid(gate), [self.head.kept(x, y) for x, y in zip(parts, active, strict=True)]
        together = kept[0] if len(kept) == 1 else concatenate(kept, -1)
        return (f + s * g if self.mode == "no_gate" else f + s * (g - f)), together, s, rate

    # -- backward

    def backward(self, kept: list[Kept], d_outputs: Tensor, d_final: tuple[Tensor, ...]) -> Tree:
        """Gradients of all arguments."""
        all_maps = [self.folded(i) for i in range(len(self.layers))]
        kernels = [[transpose(kernel) for kernel, _ in maps] for maps in all_maps]
        of_inputs, kernels[0][0] = kernels[0][0][:, : self.features], kernels[0][0][:, self.features :]

        def step(d_states: tuple[Tensor, ...], x: Tree) -> tuple[tuple[Tensor, ...], Tree]:
            d_above, slopes, counts, fresh = x
            d_befores: list[Tensor] = []
            results: list[Any] = []
            for i in reversed(range(len(d_states))):
                d_after = d_states[i] if d_above is None else d_states[i] + d_above
                d_new = d_after if counts is None else where(counts, d_after, zeros_like(d_after))
                results.insert(0, (d_new, maps_backward(slopes[i], d_new, kernels[i])))
                d_joint, n = matmul(results[0][1][0], kernels[i][0]), d_new.shape[-1]
                d_above, d_before = d_joint[..., :-n], d_joint[..., -n:]
                d_before = d_before if counts is None else d_before + (d_after - d_new)
                d_befores.insert(0, started(d_before, fresh))
            return tuple(d_befores), results

        def chunk(carry: Tree, xs: Tree) -> tuple[Tree, Tree]:
            (d_states, totals), ((inputs, d_outputs, *others), kept) = carry, xs
            times = self.times if self.shared else others[0]
            kept = [self.separate(i, one) for i, one in enumerate(kept)]
            slopes = [self.slopes(i, one, times) for i, one in enumerate(kept)]
            d_states, results = scan(step, d_states, (d_outputs, slopes, *others[1:]), reverse=True)
            below = [inputs, *(one.after for one in kept[:-1])]
            products = [
                map_products(x, one.before, map(self.backbone.value, one.hidden), d_maps)
                for x, one, (_, d_maps) in zip(below, kept, results, strict=True)
            ]
            rest, d_times = self.outside_maps(kept, results, times)
            d_inputs = matmul(results[0][1][0], of_inputs)
            totals = tree.map(lambda a, b: a + b, totals, (products, rest))
            return (d_states, totals), ((d_inputs, d_times), None)

        if not self.every:
            d_final, d_outputs = (*d_final[:-1], d_final[-1] + d_outputs), None
        totals = tree.map(zeros_like, (all_maps, [(layer.w_tau, layer.A) for layer in self.layers]))
        xs = (self.inputs, d_outputs, *self.xs), kept
        carry, ((d_inputs, d_times), _) = over_chunks(chunk, (d_final, totals), xs, reverse=True)
        d_initial, (d_maps, rest) = carry
        unfolded = [self.unfolded(i, maps) for i, maps in enumerate(d_maps)]
        d_layers = tuple(CfCLayer(maps, *others) for (maps, _), others in zip(unfolded, rest, strict=True))
        return d_inputs, d_initial, self.d_times(d_times, [d for _, d in unfolded]), None, None, d_layers

    def slopes(self, i: int, kept: Kept, times: Tensor) -> Slopes:
        """Those of a layer in many steps."""
        hidden = [self.backbone.slope(x) for x in kept.hidden]
        if self.mode == "pure":
            decay = self.decay(i, kept.heads, times)
            return Slopes((self.layers[i].A * decay * (times * absolute(kept.heads) - 1))[..., None, :], hidden)
        n, s = kept.gate.shape[-1], kept.gate
        slope = self.head.slope(kept.heads)
        f, g = (slope[..., :n], s * slope[..., n:])
        by_gate = self.by_gate(kept)
        gates = [by_gate] if self.shared else [by_gate * times, by_gate]
        return Slopes(stack([f if self.mode == "no_gate" else f - f * s, g, *gates], axis=-2), hidden)

    def separate(self, i: int, kept: Kept) -> Kept:
        """What is kept of many steps of a layer, with s as the gate."""
        return kept._replace(gate=0.5 + 0.5 * kept.gate) if self.joined[i] else kept

    def by_gate(self, kept: Kept) -> Tensor:
        """The derivative of the new state by what the gate is a sigmoid of."""
        n, s = kept.gate.shape[-1], kept.gate
        heads = self.head.value(kept.heads)
        f, g = heads[..., :n], heads[..., n:]
        return (g if self.mode == "no_gate" else g - f) * (s - s * s)

    def decay(self, i: int, heads: Tensor, times: Tensor) -> Tensor:
        """The exponential of the mode pure."""
        return exp(-times * (absolute(self.layers[i].w_tau) + absolute(heads)))

    def outside_maps(self, kept: list[Kept], results: list[Any], times: Tensor) -> tuple[list[Any], Tensor | None]:
        """Gradients of `w_tau` and `A`, and of elapsed times (T, B, 1) that the heads do not contain."""
        rest, d_times = [], None
        for i, (one, (d_new, _)) in enumerate(zip(kept, results, strict=True)):
            if self.mode == "pure":
                A, w_tau = self.layers[i].A, self.layers[i].w_tau
                decayed = self.decay(i, one.heads, times) * one.heads
                d_exponent = d_new * A * decayed
                d_w_tau = sum(d_exponent * times, axis=(0, 1)) * sign(w_tau)
                rest.append((d_w_tau, sum(d_new * (1 - decayed), axis=(0, 1))))
                by_time = d_exponent * (absolute(w_tau) + absolute(one.heads))
            else:
                rest.append((None, None))
                by_time = None if self.shared else d_new * self.by_gate(one) * one.rate
            if by_time is not None:
                by_time = sum(by_time, axis=-1, keepdims=True)
                d_times = by_time if d_times is None else d_times + by_time
        return rest, d_times

    def unfolded(self, i: int, maps: list[Any]) -> tuple[tuple[Any, ...], Tensor | None]:
        """Gradients of the maps of a layer, and of a shared elapsed time, from those with the time in the heads."""
        if self.mode == "pure" or not self.shared:
            return tuple(maps), None
        *hidden, heads = maps
        n = self.initial[i].shape[-1]
        rates = [x[..., 2 * n : 3 * n] for x in self.layers[i].maps[-1]]
        d_time = plus(*(sum(d[..., 2 * n :] * rate) for d, rate in zip(heads, rates, strict=True)))
        heads = tuple(concatenate([d[..., : 2 * n], d[..., 2 * n :] * self.times, d[..., 2 * n :]], -1) for d in heads)
        return (*hidden, heads), d_time

    def d_times(self, d_times: Tensor | None, d_shared: list[Any]) -> Tensor:
        """Gradients of the elapsed times in their shape."""
        if not self.shared:
            return sum(d_times, axis=1, keepdims=True) if self.times.shape[1] == 1 else d_times
        return sum(d_times) if d_times is not None else functools.reduce(plus, d_shared)


def maps_backward(slopes: Slopes, d_new: Tensor, kernels: list[Tensor]) -> list[Tensor]:
    """Gradients of the results of the maps of a layer in one step, from that of the new state.

    `kernels` are transposed.
    """
    heads, units = slopes.heads.shape[-2:]
    d_maps = [reshape(slopes.heads * d_new[:, None], (-1, heads * units))]
    for kernel, slope in zip(kernels[:0:-1], slopes.hidden[::-1], strict=True):
        d_maps.insert(0, matmul(d_maps[0], kernel) * slope)
    return d_maps


def map_products(
    below: Tensor, before: Tensor, hidden: Iterable[Tensor], d_maps: list[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Gradients of kernels and biases of a layer, of many steps."""
    first = concatenate([product(below, d_maps[0]), product(before, d_maps[0])], axis=0)
    kernels = [first, *(product(x, d) for x, d in zip(hidden, d_maps[1:], strict=True))]
    return [(kernel, sum(d, axis=(0, 1))) for kernel, d in zip(kernels, d_maps, strict=True)]


def product(x: Tensor, d: Tensor) -> Tensor:
    """The gradient (K, W) of a kernel, from what it was applied to (T, B, K) and the gradient of the result."""
    return matmul(transpose(reshape(x, (-1, x.shape[-1]))), reshape(d, (-1, d.shape[-1])))


def linear(kernel: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """The map z kernel + bias."""
    return lambda z: matmul(z, kernel) + bias


@composite
def linear_heads(kernel: Tensor, bias: Tensor, units: int) -> Callable[[Tensor], list[Tensor]]:
    """The map that gives the heads f, g and those of the gate: of these f and g together, and the gate.

    A backend may have another one, that gives f, g and the gate.
    """
    whole = linear(kernel, bias)

    def heads(z: Tensor) -> list[Tensor]:
        x = whole(z)
        return [x[..., : 2 * units], x[..., 2 * units :]]

    return heads


def separate_heads(kernel: Tensor, bias: Tensor, units: int) -> Callable[[Tensor], list[Tensor]]:
    """`linear_heads` as three products.

    XLA in TensorFlow does them at the same time on several cores, which takes 0.7 of the time of 144, 96 and 16 units.
    In jax they take as long as one; of up to 16 samples, in TensorFlow, 1.1 to 1.5 times as long.
    """
    maps = [linear(*pair) for pair in zip(*(split(x, [units, 2 * units], -1) for x in (kernel, bias)), strict=True)]
    return lambda z: [apply(z) for apply in maps]


def started(h: Tensor, fresh: Tensor | None) -> Tensor:
    """h (B, H), with zeros for the samples that start afresh (B, 1)."""
    return h if fresh is None else where(fresh, zeros_like(h), h)


def plus(a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    return a + b
