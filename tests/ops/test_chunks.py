"""Loops over long sequences: in chunks, and where XLA compiles them for TensorFlow."""

import numpy as np
import pytest

import ncps
from ncps import tree
from ncps.ops.sequences import chunks

T, B = 11, 3
RNG = np.random.default_rng(0)
X, D = RNG.normal(size=(T, B, 2)), RNG.normal(size=(T, B))


def step(carry, xs):
    """A decay, for one step or many."""
    (x,), d = xs
    after = 0.5 * carry * d[..., None] + x
    return after, ((after,), (after * x)[..., 0])


def run(loop, x, d, carry, reverse):
    if loop == "over_chunks":
        return chunks.over_chunks(lambda c, xs: chunks.scan(step, c, xs, reverse=reverse), carry, ((x,), d), reverse)
    return chunks.over_steps(step, carry, ((x,), d), reverse)


@pytest.fixture(params=[False, True], ids=["forwards", "reverse"])
def expected(request):
    """Whether from the last step to the first, the last carry, and the outputs."""
    carry, outputs = np.ones((B, 2)), [None] * T
    for t in reversed(range(T)) if request.param else range(T):
        carry, outputs[t] = step(carry, ((X[t],), D[t]))
    return request.param, carry, [np.stack(x) for x in zip(*((y, z) for (y,), z in outputs), strict=True)]


def compare(found, expected):
    _, carry, (first, second) = expected
    np.testing.assert_allclose(found[0], carry, rtol=1e-5)
    np.testing.assert_allclose(found[1][0][0], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1][1], second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loop", ["over_steps", "over_chunks"])
def test_loops(loop, backend, expected, short_chunks):
    x, d, carry = tree.map(ncps.ops.convert_to_tensor, tuple(a.astype(np.float32) for a in (X, D, np.ones((B, 2)))))
    compare(tree.map(ncps.ops.convert_to_numpy, run(loop, x, d, carry, expected[0])), expected)


@pytest.mark.parametrize("loop", ["over_steps", "over_chunks"])
def test_gradients_of_loops(loop, differentiable, expected, short_chunks):
    def total(x, d, carry):
        carry, ((first,), second) = run(loop, x, d, carry, expected[0])
        return sum(ncps.ops.sum(y * y) for y in (carry, first, second))

    def plain_total(x, d, carry):
        found = 0
        for t in reversed(range(T)) if expected[0] else range(T):
            carry, ((first,), second) = step(carry, ((x[t],), d[t]))
            found += np.sum(first**2) + np.sum(second**2)
        return found + np.sum(carry**2)

    args = X, D, np.ones((B, 2))
    _, gradients = ncps.ops.value_and_grad(total)(*(ncps.ops.cast(a, "float32") for a in args))
    for i, gradient in enumerate(gradients):
        direction = np.random.default_rng(i).normal(size=args[i].shape)
        wanted = plain_total(*(a + 1e-30j * direction if j == i else a for j, a in enumerate(args))).imag / 1e-30
        assert np.sum(ncps.ops.convert_to_numpy(gradient) * direction) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("loop", ["over_steps", "over_chunks"])
def test_loops_and_their_gradients_with_xla(loop, expected, short_chunks):
    tf = pytest.importorskip("tensorflow")
    x, d, carry = (tf.constant(a, tf.float32) for a in (X, D, np.ones((B, 2))))

    def with_gradients(x, d, carry):
        with ncps.backend_scope("tensorflow"), tf.GradientTape() as tape:
            tape.watch([x, d, carry])
            found = run(loop, x, d, carry, expected[0])
            total = tf.add_n([tf.reduce_sum(y**2) for y in tf.nest.flatten(found)])
        return found, tape.gradient(total, [x, d, carry])

    (found, compiled), (_, plain) = (tf.function(with_gradients, jit_compile=jit)(x, d, carry) for jit in (True, None))
    compare(tree.map(lambda y: y.numpy(), found), expected)
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
