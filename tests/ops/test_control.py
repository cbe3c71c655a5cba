"""Loops, branches, gradients written by hand."""

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

import ncps
from ncps import ops
from ncps.errors import UnsupportedOperationError


def array(x):
    return ops.convert_to_numpy(x)


def close(x, wanted, rtol=1e-5):
    np.testing.assert_allclose(array(x), wanted, rtol=rtol, atol=1e-6)


def tensor(*numbers):
    return ops.convert_to_tensor(np.float32(numbers))


XS = np.float32([[1, 2], [3, 4], [5, 6]])


class State(NamedTuple):
    total: Any
    count: Any


# ---- scan


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan(backend, reverse, unroll):
    last, outputs = ops.scan(
        lambda c, x: (2 * c + x, c), ops.zeros((2,)), ops.convert_to_tensor(XS), reverse=reverse, unroll=unroll
    )
    c, wanted = np.zeros(2), []
    for x in XS[::-1] if reverse else XS:
        wanted.append(c)
        c = 2 * c + x
    close(last, c)
    close(outputs, wanted[::-1] if reverse else wanted)


def test_scan_converts_numpy(backend):
    last, outputs = ops.scan(lambda c, x: (c + x, c * x), np.zeros(2, np.float32), XS)
    close(last, XS.sum(0))
    close(outputs, [[0, 0], [3, 8], [20, 36]])


def test_scan_of_trees(backend):
    def step(state, x):
        state = State(state.total + x["a"], state.count + 1)
        return state, [state.total * x["b"][0], {"n": state.count}]

    xs = {"a": ops.convert_to_tensor(XS), "b": (ops.convert_to_tensor(np.float32([1, 10, 100])),)}
    last, (products, counts) = ops.scan(step, State(ops.zeros((2,)), ops.convert_to_tensor(np.int32(0))), xs)
    assert isinstance(last, State)
    close(last.total, [9, 12])
    assert int(array(last.count)) == 3
    assert ops.dtype(last.count) == "int32"
    close(products, [[1, 2], [40, 60], [900, 1200]])
    assert array(counts["n"]).tolist() == [1, 2, 3]


def test_scan_without_outputs(backend):
    last, outputs = ops.scan(lambda c, x: (c + x, None), ops.zeros((2,)), ops.convert_to_tensor(XS))
    assert outputs is None
    close(last, [9, 12])
    _, (outputs, nothing) = ops.scan(lambda c, x: (c, (x, None)), ops.zeros((2,)), ops.convert_to_tensor(XS))
    assert nothing is None
    close(outputs, XS)


def test_scan_by_length(backend):
    last, outputs = ops.scan(lambda c, x: (c * 2, c), ops.ones((1,)), length=4)
    close(last, [16])
    close(outputs, [[1], [2], [4], [8]])


def test_scan_of_one_step(backend):
    last, outputs = ops.scan(lambda c, x: (c + x, c - x), ops.ones((2,)), ops.convert_to_tensor(XS[:1]))
    close(last, [2, 3])
    close(outputs, [[0, -1]])


@pytest.mark.parametrize(("xs", "length"), [
    (None, None), (None, 0), (XS[:0], None), (XS, 2), ((XS, XS[:2]), None),
])  # fmt: skip
def test_scan_of_an_unclear_length(backend, xs, length):
    with pytest.raises(ValueError, match="number of steps"):
        ops.scan(lambda c, x: (c, x), ops.zeros((2,)), xs, length)


def test_gradients_of_slices_are_laid_together_on_torch():
    """That of a slice alone has the size of all slices: a long sequence took the square of its length."""
    torch = pytest.importorskip("torch")
    xs = torch.ones((50, 2), requires_grad=True)
    with ncps.backend_scope("torch"):
        last, _ = ops.scan(lambda c, x: (0.5 * c + x, None), ops.zeros((2,)), xs)
    found, names = [last.grad_fn], []
    while found:
        node = found.pop()
        names.append(node.name())
        found += [below for below, _ in node.next_functions if below is not None]
    assert "UnbindBackward0" in names
    assert "SelectBackward0" not in names


@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_of_scan(differentiable, reverse):
    def loss(w, init, xs):
        last, outputs = ops.scan(lambda c, x: (ops.tanh(w * c + x), c * x), init, xs, reverse=reverse)
        return ops.sum(last) + ops.sum(outputs)

    def plain(w, init, xs):
        c, total = init, 0.0
        for x in xs[::-1] if reverse else xs:
            total = total + np.sum(c * x)
            c = np.tanh(w * c + x)
        return total + np.sum(c)

    args = (np.float64([0.5, -0.3]), np.float64([0.1, 0.2]), 0.1 * np.float64(XS))
    value, gradients = ops.value_and_grad(loss)(*(ops.cast(x, "float32") for x in args))
    close(value, plain(*args))
    for i, got in enumerate(gradients):
        wanted = np.zeros(args[i].shape)
        for index in np.ndindex(wanted.shape):
            up, down = [x.copy() for x in args], [x.copy() for x in args]
            up[i][index] += 1e-5
            down[i][index] -= 1e-5
            wanted[index] = (plain(*up) - plain(*down)) / 2e-5
        np.testing.assert_allclose(array(got), wanted, rtol=1e-3, atol=1e-4)


# ---- associative scan


def affine(a, b):
    """Composition of the maps x -> m x + v: matrices do not commute."""
    m1, v1 = a
    m2, v2 = b
    return ops.matmul(m2, m1), ops.matmul(m2, v1[..., None])[..., 0] + v2


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 8, 13])
def test_associative_scan_in_order(backend, length, reverse):
    rng = np.random.default_rng(length)
    m, v = np.float32(rng.normal(size=(length, 2, 2))), np.float32(rng.normal(size=(length, 2)))
    elems = (ops.convert_to_tensor(m), ops.convert_to_tensor(v))
    got_m, got_v = ops.associative_scan(affine, elems, reverse=reverse)
    total_m, total_v = np.eye(2), np.zeros(2)
    for t in reversed(range(length)) if reverse else range(length):
        total_m, total_v = m[t] @ total_m, m[t] @ total_v + v[t]
        close(got_m[t], total_m, 1e-4)
        close(got_v[t], total_v, 1e-4)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_associative_scan_along_an_axis(backend, axis):
    x = np.float32(np.random.default_rng(0).uniform(0.5, 1.5, (3, 5, 4)))
    close(ops.associative_scan(lambda a, b: a * b, x, axis=axis), np.cumprod(x, axis))


def test_gradient_of_associative_scan(differentiable):
    x = tensor(0.5, 2.0, 3.0, 0.25, 1.5)
    weights = np.float32([1, 2, 3, 4, 5])
    _, gradient = ops.value_and_grad(lambda x: ops.sum(ops.associative_scan(lambda a, b: a * b, x) * tensor(*weights)))(
        x
    )
    wanted = [(np.cumprod(array(x)) * weights)[i:].sum() / array(x)[i] for i in range(5)]
    close(gradient, wanted)


# ---- branches and loops


@pytest.mark.parametrize("how", [bool, np.bool_, ops.convert_to_tensor])
@pytest.mark.parametrize("pred", [True, False])
def test_cond(backend, pred, how):
    x = tensor(1, 2)
    got = ops.cond(how(pred), lambda: {"a": x + 1, "b": (x,)}, lambda: {"a": x * 5, "b": (-x,)})
    close(got["a"], [2, 3] if pred else [5, 10])
    close(got["b"][0], [1, 2] if pred else [-1, -2])


def test_cond_on_a_comparison(backend):
    x = tensor(3, 4)
    close(ops.cond(ops.sum(x) > 6, lambda: x * 2, lambda: x), [6, 8])
    close(ops.cond(ops.sum(x) > 8, lambda: x * 2, lambda: x), [3, 4])


def test_gradient_of_cond(differentiable):
    def loss(x):
        return ops.sum(ops.cond(ops.sum(x) > 0, lambda: x * x, lambda: -x))

    close(ops.value_and_grad(loss)(tensor(1, 2))[1], [2, 4])
    close(ops.value_and_grad(loss)(tensor(-1, -2))[1], [-1, -1])


def test_while_loop(backend):
    start = ops.convert_to_tensor(np.int32(0))
    n, x = ops.while_loop(lambda n, x: ops.sum(x) < 100, lambda n, x: (n + 1, x * 2), (start, tensor(1, 2)))
    assert int(array(n)) == 6
    close(x, [64, 128])


def test_while_loop_of_one_variable(backend):
    (x,) = ops.while_loop(lambda x: ops.sum(x) < 10, lambda x: (x + 1,), [tensor(0, 0)])
    close(x, [5, 5])


def test_while_loop_stops_in_time(backend):
    n, x = ops.while_loop(
        lambda n, x: ops.any(x > 0),
        lambda n, x: [n + 1, x * 2],
        [ops.zeros((), "int32"), tensor(1)],
        maximum_iterations=3,
    )
    assert int(array(n)) == 3
    close(x, [8])
    (same,) = ops.while_loop(lambda x: ops.any(x > 5), lambda x: (x * 2,), (tensor(1),))
    close(same, [1])


def test_fori_loop(backend):
    i_sum, x = ops.fori_loop(2, 5, lambda i, v: (v[0] + i, v[1] * 2), (ops.zeros((), "int32"), tensor(1, 2)))
    assert int(array(i_sum)) == 9
    close(x, [8, 16])
    close(ops.fori_loop(0, 0, lambda i, v: v + 1, tensor(7)), [7])


def test_gradient_of_fori_loop(differentiable):
    _, gradient = ops.value_and_grad(lambda x: ops.sum(ops.fori_loop(0, 3, lambda i, v: v * x, x)))(tensor(2, 3))
    close(gradient, [32, 108])


def test_vectorized_map(backend):
    elements = {"m": np.float32(np.arange(12).reshape(3, 2, 2)), "v": XS}
    got = ops.vectorized_map(lambda e: (ops.matmul(e["m"], e["v"]), [ops.sum(e["v"])]), elements)
    close(got[0], np.einsum("tij,tj->ti", elements["m"], XS))
    close(got[1][0], XS.sum(1))


def test_gradient_of_vectorized_map(differentiable):
    _, gradient = ops.value_and_grad(lambda x: ops.sum(ops.vectorized_map(lambda e: e * ops.sum(e), x)))(
        ops.convert_to_tensor(XS)
    )
    close(gradient, 2 * XS.sum(1, keepdims=True) * np.ones(2))


# ---- gradients


def test_value_and_grad_of_trees(differentiable):
    def loss(weights, x):
        return ops.sum(weights["a"] * x) + 3 * ops.sum(weights["b"][0] ** 2)

    weights = {"a": tensor(1, 2), "b": [tensor(4)]}
    value, (gradients, x_gradient) = ops.value_and_grad(loss)(weights, tensor(5, 6))
    close(value, 17 + 48)
    close(gradients["a"], [5, 6])
    close(gradients["b"][0], [24])
    close(x_gradient, [1, 2])


def test_value_and_grad_passes_integers_by(differentiable):
    value, (gradient, none) = ops.value_and_grad(lambda x, i: ops.sum(ops.take(x, i)))(
        tensor(1, 2, 3), ops.convert_to_tensor(np.int32([0, 0, 2]))
    )
    close(value, 5)
    close(gradient, [2, 0, 1])
    assert none is None


def test_value_and_grad_of_what_is_not_used(differentiable):
    _, (gradient, unused) = ops.value_and_grad(lambda x, y: ops.sum(x * x))(tensor(3), tensor(4, 5))
    close(gradient, [6])
    close(unused, [0, 0])


def test_stop_gradient(differentiable):
    _, gradient = ops.value_and_grad(lambda x: ops.sum(x * ops.stop_gradient(x)))(tensor(2, 3))
    close(gradient, [2, 3])


def test_checkpoint(differentiable):
    runs = []

    def inner(x, tree, scale=1.0):
        runs.append(None)
        return {"y": ops.tanh(x * tree[0]) * scale}, tree[0]

    def loss(function, x, w):
        out, same = function(x, [w], scale=2.0)
        return ops.sum(out["y"]) + ops.sum(same)

    args = (tensor(0.5, -1), tensor(2, 3))
    wanted_value, wanted = ops.value_and_grad(lambda *a: loss(inner, *a))(*args)
    value, gradients = ops.value_and_grad(lambda *a: loss(ops.checkpoint(inner), *a))(*args)
    close(value, array(wanted_value))
    for got, one in zip(gradients, wanted, strict=True):
        close(got, array(one))


def test_checkpoint_runs_on_every_backend(backend):
    close(ops.checkpoint(lambda x, flag: x * 2 if flag else x)(tensor(1, 2), True), [2, 4])


def test_checkpoint_differentiates_what_the_function_closes_over(differentiable):
    """Such as the weights of the layer that the function belongs to."""

    def loss(w, x):
        held = {"w": [w]}
        return ops.sum(ops.checkpoint(lambda x: ops.sin(held["w"][0] * x) * w)(x))

    w, x = np.float64([0.5, 2]), np.float64([1.5, -1])
    _, gradients = ops.value_and_grad(loss)(tensor(*w), tensor(*x))
    close(gradients[0], np.cos(w * x) * x * w + np.sin(w * x))
    close(gradients[1], np.cos(w * x) * w * w)


def test_checkpoint_inside_scan(differentiable):
    def loss(w):
        step = ops.checkpoint(lambda c, x: (ops.tanh(c * w + x), c))
        last, outputs = ops.scan(step, ops.zeros((2,)), ops.convert_to_tensor(0.1 * XS))
        return ops.sum(last) + ops.sum(outputs)

    def plain(w):
        last, outputs = ops.scan(
            lambda c, x: (ops.tanh(c * w + x), c), ops.zeros((2,)), ops.convert_to_tensor(0.1 * XS)
        )
        return ops.sum(last) + ops.sum(outputs)

    wanted = ops.value_and_grad(plain)(tensor(0.5, 0.7))
    got = ops.value_and_grad(loss)(tensor(0.5, 0.7))
    close(got[0], array(wanted[0]))
    close(got[1], array(wanted[1]))


# ---- custom_gradient; the gradients are wrong on purpose, so that one sees where they come from


def doubled(backward):
    return ops.custom_gradient(lambda x: 2 * x, lambda x: (2 * x, x), backward)


def gradient_of(function, *args):
    return ops.value_and_grad(lambda *a: ops.sum(function(*a)))(*args)[1]


def test_custom_gradient(differentiable):
    function = doubled(lambda x, upstream: 100 * x * upstream)
    close(function(tensor(1, 2)), [2, 4])
    close(gradient_of(function, tensor(1, 2)), [100, 200])
    close(gradient_of(lambda x: 3 * function(x * x), tensor(1, 2)), [600, 4800])


def test_custom_gradient_has_values_on_every_backend(backend):
    close(doubled(lambda x, upstream: upstream)(tensor(1, 2)), [2, 4])
    close(doubled(lambda x, upstream: upstream)(np.float32([1, 2])), [2, 4])


def test_custom_gradient_of_two_outputs(differentiable):
    def forward(x, y):
        return (x + y, x * y), (x, y, 7.0)

    def backward(residuals, upstream):
        x, y, seven = residuals
        return upstream[0] * seven + upstream[1] * y, upstream[0] - upstream[1] * x

    function = ops.custom_gradient(lambda x, y: forward(x, y)[0], forward, backward)

    def loss(x, y):
        total, product = function(x, y)
        return 2 * total + 5 * product

    gradients = gradient_of(loss, tensor(1, 2), tensor(3, 4))
    close(gradients[0], [14 + 15, 14 + 20])
    close(gradients[1], [2 - 5, 2 - 10])
    _, gradient = ops.value_and_grad(lambda x: ops.sum(function(x, x)[0]))(tensor(1, 2))
    close(gradient, [8, 8])  # only one of the outputs is used


def test_custom_gradient_of_trees(differentiable):
    def forward(weights, x):
        return {"y": weights["a"] * x, "z": [weights["b"][0]]}, [x, weights]

    def backward(residuals, upstream):
        x, weights = residuals
        return {"a": upstream["y"] * x * 10, "b": (upstream["z"][0] * 100,)}, upstream["y"] * weights["a"]

    function = ops.custom_gradient(lambda w, x: forward(w, x)[0], forward, backward)

    def loss(weights, x):
        out = function(weights, x)
        return out["y"] + out["z"][0]

    weights = {"a": tensor(1, 2), "b": (tensor(5, 6),)}
    gradients, x_gradient = gradient_of(loss, weights, tensor(3, 4))
    close(gradients["a"], [30, 40])
    close(gradients["b"][0], [100, 100])
    close(x_gradient, [1, 2])


def test_custom_gradient_without_a_gradient(differentiable):
    function = ops.custom_gradient(
        lambda x, tree: x * tree["s"], lambda x, tree: (x * tree["s"], ()), lambda _, upstream: (upstream * 5, None)
    )
    gradients = gradient_of(lambda x, s: function(x, {"s": s}), tensor(1, 2), tensor(3, 4))
    close(gradients[0], [5, 5])
    close(gradients[1], [0, 0])


def second_derivative(framework, function, x):
    """The gradient of the sum of the gradient, by the framework's own means."""
    if framework == "torch":
        import torch

        x = tensor(*x).requires_grad_()
        (first,) = torch.autograd.grad(function(x), x, create_graph=True)
        return torch.autograd.grad(first.sum(), x)[0]
    if framework == "tensorflow":
        import tensorflow as tf

        x = tensor(*x)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            first = tf.reduce_sum(inner.gradient(y, x))
        return outer.gradient(first, x)
    if framework == "mlx":
        from mlx.core import grad
    else:
        from jax import grad
    return grad(lambda x: ops.sum(grad(function)(x)))(tensor(*x))


def test_custom_gradient_is_differentiated_with_what_it_kept(differentiable, framework):
    """What the forward pass keeps depends on the arguments, also where no framework would see how."""
    function = ops.custom_gradient(
        lambda x: ops.sum(ops.exp(x)),
        lambda x: (ops.sum(ops.exp(x)), 3 * ops.exp(x)),
        lambda kept, upstream: kept * upstream,
    )
    close(second_derivative(framework, function, (0, 1, 2)), 3 * np.exp([0, 1, 2]))


def test_custom_gradient_of_integers(differentiable):
    def forward(x, index):
        return ops.take(x, index), (x, index)

    function = ops.custom_gradient(
        lambda x, i: forward(x, i)[0],
        forward,
        lambda kept, upstream: (ops.segment_sum(upstream, kept[1], 3) * 10, None),
    )
    index = ops.convert_to_tensor(np.int32([0, 2, 2]))
    close(gradient_of(lambda x: function(x, index), tensor(1, 2, 3)), [10, 0, 20])


def test_custom_gradient_inside_scan_and_checkpoint(differentiable):
    function = doubled(lambda x, upstream: 3 * upstream)
    close(gradient_of(lambda x: ops.scan(lambda c, _: (function(c), None), x, length=3)[0], tensor(1, 2)), [27, 27])
    close(gradient_of(ops.checkpoint(function), tensor(1, 2)), [3, 3])


def test_exceptions_of_a_backward_pass_arrive(differentiable):
    def backward(x, upstream):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gradient_of(doubled(backward), tensor(1, 2))


def test_a_wrong_number_of_gradients(differentiable):
    function = ops.custom_gradient(lambda x, y: x, lambda x, y: (x * 2, None), lambda _, upstream: (upstream,) * 3)
    with pytest.raises(ValueError, match="one gradient per argument"):
        gradient_of(function, tensor(1, 2), tensor(3, 4))


def test_residuals_may_be_outputs_and_arguments(differentiable):
    def forward(x, y):
        z = ops.sigmoid(x)
        return (z, y), (z, z, y, None, {"n": 3})

    def backward(kept, upstream):
        z, same, y, _, more = kept
        return upstream[0] * z * (1 - same) * more["n"] + 0 * y, upstream[1] * 5

    function = ops.custom_gradient(lambda x, y: forward(x, y)[0], forward, backward)
    gradients = gradient_of(lambda x, y: function(x, y)[0] * 2 + function(x, y)[1], tensor(0, 0), tensor(1, 2))
    close(gradients[0], [1.5, 1.5])
    close(gradients[1], [5, 5])


def run_elsewhere(function):
    """`function`, in another thread, where the NumPy backend is active."""
    found = []

    def run():
        with ncps.backend_scope("numpy"):
            try:
                found.append(function())
            except BaseException as error:
                found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def test_the_backend_is_kept_with_the_functions(differentiable):
    """The backward pass may run after the scope has ended, and in another thread."""
    function = doubled(lambda x, upstream: ops.where(x > 1, ops.zeros_like(upstream), 10 * upstream))
    both = ops.value_and_grad(lambda x: ops.sum(function(x)))
    x = tensor(1, 2)

    def run():
        value, gradient = both(x)
        with ncps.backend_scope(differentiable):  # only to look: mlx computes in the thread that asks for it
            return array(value), array(gradient)

    with ncps.backend_scope("numpy"):
        later = run()
    for value, gradient in (later, run_elsewhere(run)):
        assert float(value) == 6
        assert gradient.tolist() == [10, 0]


def test_torch_runs_the_backward_pass_after_the_scope():
    torch = pytest.importorskip("torch")
    with ncps.backend_scope("torch"):
        function = doubled(lambda x, upstream: ops.where(x > 1, ops.zeros_like(upstream), 10 * upstream))
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        y = function(x).sum()
    with ncps.backend_scope("numpy"):
        y.backward()
    assert x.grad.tolist() == [10, 0]


def test_non_negative(differentiable):
    x = tensor(-1, 0, 2)
    close(ops.non_negative(x), [0, 0, 2])
    down = ops.value_and_grad(lambda x: ops.sum(ops.non_negative(x)))(x)[1]
    up = ops.value_and_grad(lambda x: -ops.sum(ops.non_negative(x)))(x)[1]
    close(down, [0, 1, 1])  # descent would push the negative one further down
    close(up, [-1, -1, -1])  # and here it brings it back


def test_mlx_says_that_it_cannot_branch_while_it_traces():
    mx = pytest.importorskip("mlx.core")
    with ncps.backend_scope("mlx"):
        compiled = mx.compile(lambda x: ops.cond(ops.sum(x) > 0, lambda: x, lambda: -x))
        with pytest.raises(UnsupportedOperationError, match=r"mx\.compile"):
            compiled(mx.ones(2))
