"""Random draws, and the state that they come from."""

import numpy as np
import pytest

import ncps
from ncps import ops


def array(x):
    return ops.convert_to_numpy(x)


def fresh(seed):
    """A generator that starts at `seed`, or where the framework keeps its own, that one started afresh."""
    ops.random.set_seed(seed)
    return ops.random.seed_generator(seed)


DRAWS = {
    "normal": lambda shape, seed: ops.random.normal(shape, seed=seed),
    "uniform": lambda shape, seed: ops.random.uniform(shape, seed=seed),
    "randint": lambda shape, seed: ops.random.randint(shape, 0, 1000, seed=seed),
    "bernoulli": lambda shape, seed: ops.random.bernoulli(shape, seed=seed),
    "dropout": lambda shape, seed: ops.random.dropout(ops.ones(shape), 0.5, seed),
}


@pytest.fixture(params=DRAWS)
def draw(request):
    return DRAWS[request.param]


def test_an_integer_repeats(backend, draw):
    assert array(draw((50,), 3)).tolist() == array(draw((50,), 3)).tolist()


def test_other_integers_draw_otherwise(backend, draw):
    assert array(draw((50,), 3)).tolist() != array(draw((50,), 4)).tolist()


def test_a_generator_moves_on_and_repeats_from_its_seed(backend, draw):
    generator = fresh(5)
    first, second = array(draw((50,), generator)), array(draw((50,), generator))
    assert first.tolist() != second.tolist()
    generator = fresh(5)
    assert array(draw((50,), generator)).tolist() == first.tolist()
    assert array(draw((50,), generator)).tolist() == second.tolist()


def test_set_seed_repeats(backend, draw):
    ops.random.set_seed(7)
    first, second = array(draw((50,), None)), array(draw((50,), None))
    assert first.tolist() != second.tolist()
    ops.random.set_seed(7)
    assert array(draw((50,), None)).tolist() == first.tolist()
    ops.random.set_seed(8)
    assert array(draw((50,), None)).tolist() != first.tolist()


def test_set_seed_reaches_generators_without_a_seed(backend, draw):
    ops.random.set_seed(7)
    first = array(draw((50,), ops.random.seed_generator()))
    second = array(draw((50,), ops.random.seed_generator()))
    assert first.tolist() != second.tolist()
    ops.random.set_seed(7)
    assert array(draw((50,), ops.random.seed_generator())).tolist() == first.tolist()


def test_shapes_and_types(backend):
    assert ops.shape(ops.random.normal((2, 3), seed=0)) == (2, 3)
    assert ops.shape(ops.random.normal([0, 2], seed=0)) == (0, 2)
    assert ops.shape(ops.random.uniform((), seed=0)) == ()
    assert ops.dtype(ops.random.normal((2,), seed=0)) == ops.dtype(ops.random.uniform((2,), seed=0)) == "float32"
    assert ops.dtype(ops.random.randint((2,), 0, 3, seed=0)) == "int32"
    assert ops.dtype(ops.random.bernoulli((2,), seed=0)) == "bool"
    for dtype in ("float16", "bfloat16"):
        assert ops.dtype(ops.random.normal((2,), 1.0, 2.0, dtype, seed=0)) == dtype
        assert ops.dtype(ops.random.uniform((2,), -1.0, 2.0, dtype, seed=0)) == dtype
        assert ops.dtype(ops.random.dropout(ops.ones((2,), dtype), 0.3, seed=0)) == dtype


def test_moments(backend):
    x = array(ops.random.normal((20000,), 2.0, 3.0, seed=0))
    assert abs(x.mean() - 2) < 0.1
    assert abs(x.std() - 3) < 0.1
    x = array(ops.random.uniform((20000,), -1.0, 3.0, seed=0))
    assert -1 <= x.min() < -0.99
    assert 2.99 < x.max() < 3
    assert abs(x.mean() - 1) < 0.05
    x = array(ops.random.randint((20000,), -2, 3, seed=0))
    assert sorted(set(x.tolist())) == [-2, -1, 0, 1, 2]
    assert np.bincount(x + 2).min() > 3500
    assert abs(array(ops.random.bernoulli((20000,), 0.3, seed=0)).mean() - 0.3) < 0.02
    assert not array(ops.random.bernoulli((100,), 0.0, seed=0)).any()
    assert array(ops.random.bernoulli((100,), 1.0, seed=0)).all()


def test_dropout(backend):
    x = array(ops.random.dropout(np.full((20000,), 3.0, np.float32), 0.25, seed=0))
    assert set(x.tolist()) == {0.0, 4.0}
    assert abs((x == 0).mean() - 0.25) < 0.02
    assert array(ops.random.dropout(ops.ones((9,)), 0.0, seed=0)).tolist() == [1] * 9
    assert array(ops.random.dropout(ops.ones((9,)), 1.0, seed=0)).tolist() == [0] * 9


def test_gradient_of_dropout(differentiable):
    def loss(x):
        return ops.sum(ops.random.dropout(x, 0.5, 3))

    value, gradient = ops.value_and_grad(loss)(ops.ones((100,)))
    assert set(array(gradient).tolist()) == {0.0, 2.0}
    assert float(array(value)) == array(gradient).sum()


# ---- draws inside functions that the framework transforms


def masks(x):
    """The rows, as tuples of what was dropped."""
    return [tuple(row) for row in (array(x) == 0).tolist()]


def in_scan(generator):
    _, y = ops.scan(lambda c, x: (c, ops.random.dropout(x, 0.5, generator)), ops.zeros(()), ops.ones((3, 64)))
    return y


def in_fori_loop(generator):
    def step(i, y):
        return ops.concatenate([y[1:], ops.random.dropout(ops.ones((1, 64)), 0.5, generator)])

    return ops.fori_loop(0, 3, step, ops.ones((3, 64)))


def in_while_loop(generator):
    def step(n, y):
        return n + 1, ops.concatenate([y[1:], ops.random.dropout(ops.ones((1, 64)), 0.5, generator)])

    return ops.while_loop(lambda n, y: n < 3, step, (ops.zeros((), "int32"), ops.ones((3, 64))))[1]


def in_vectorized_map(generator):
    return ops.vectorized_map(lambda x: ops.random.dropout(x, 0.5, generator), ops.ones((3, 64)))


def in_checkpoint(generator):
    def three(x):
        return ops.stack([ops.random.dropout(x, 0.5, generator) for _ in range(3)])

    return ops.checkpoint(three)(ops.ones((64,)))


def in_cond(generator):
    def three():
        return ops.stack([ops.random.dropout(ops.ones((64,)), 0.5, generator) for _ in range(3)])

    return ops.cond(ops.convert_to_tensor(True), three, lambda: ops.ones((3, 64)))


def nested(generator):
    def step(c, x):
        x = ops.random.dropout(x, 0.1, generator)
        inner = ops.checkpoint(lambda x: ops.scan(lambda c, y: (c, ops.random.dropout(y, 0.5, generator)), c, x)[1])
        return c, ops.cond(ops.sum(x) > -1, lambda: inner(x), lambda: x)

    _, y = ops.scan(step, ops.zeros(()), ops.ones((2, 2, 64)))
    return ops.reshape(y, (4, 64))


TRANSFORMED = (in_scan, in_fori_loop, in_while_loop, in_vectorized_map, in_checkpoint, in_cond, nested)


@pytest.mark.parametrize("run", TRANSFORMED)
def test_draws_in_transformed_functions(backend, run):
    generator = fresh(1)
    first, second = masks(run(generator)), masks(run(generator))
    assert len({*first, *second}) == len(first) + len(second)  # every step and every call draws anew
    assert masks(run(fresh(1))) == first


@pytest.mark.parametrize("seed", ["generator", None])
def test_checkpoint_draws_the_same_again(differentiable, seed):
    ops.random.set_seed(2)
    generator = ops.random.seed_generator() if seed else None
    weights = ops.convert_to_tensor(np.random.default_rng(0).normal(size=64).astype(np.float32))
    function = ops.checkpoint(lambda x: ops.random.dropout(ops.tanh(x), 0.5, generator))

    def loss(x):
        return ops.sum(weights * function(x))

    x = ops.ones((64,)) * 0.01
    value, gradient = ops.value_and_grad(loss)(x)
    assert 10 < (array(gradient) == 0).sum() < 54
    np.testing.assert_allclose(
        array(value), array(gradient).sum() * np.tanh(0.01) / (1 - np.tanh(0.01) ** 2), rtol=1e-3
    )
    again = ops.value_and_grad(loss)(x)[1]
    assert masks(ops.stack([again])) != masks(ops.stack([gradient]))


def test_draws_inside_custom_gradient(differentiable):
    generator = fresh(3)

    def forward(x):
        kept = ops.random.bernoulli((64,), 0.5, generator)
        return ops.where(kept, x, 0.0), kept

    function = ops.custom_gradient(
        lambda x: forward(x)[0], forward, lambda kept, upstream: ops.where(kept, upstream, 0.0)
    )
    value, gradient = ops.value_and_grad(lambda x: ops.sum(function(x)))(ops.ones((64,)))
    assert float(array(value)) == array(gradient).sum()
    assert 10 < array(gradient).sum() < 54


# ---- jax compiles: what is drawn must not become a constant


@pytest.fixture
def nnx():
    nnx = pytest.importorskip("flax.nnx")
    with ncps.backend_scope("jax"):
        yield nnx


def module(nnx, seed):
    class Noise(nnx.Module):
        def __init__(self):
            self.generator = ops.random.seed_generator(seed)
            self.scale = nnx.Param(ops.ones((64,)))

    return Noise()


@pytest.mark.parametrize("run", TRANSFORMED)
def test_jax_compiled_draws(nnx, run):
    compiled = nnx.jit(lambda noise: run(noise.generator))
    noise = module(nnx, 1)
    first, second = masks(compiled(noise)), masks(compiled(noise))
    assert len({*first, *second}) == len(first) + len(second)
    noise = module(nnx, 1)
    assert [masks(compiled(noise)), masks(compiled(noise))] == [first, second]
    assert masks(run(module(nnx, 1).generator)) == first  # as without the compiler


def test_jax_compiled_gradients(nnx):
    import jax

    def loss(scale, generator):
        def step(c, x):
            return ops.checkpoint(lambda c: ops.random.dropout(c * scale + x, 0.5, generator))(c), None

        return ops.sum(ops.scan(step, ops.ones((64,)), length=None, xs=ops.ones((3, 64)))[0])

    noise = module(nnx, 1)
    eager, gradient = ops.value_and_grad(lambda s: loss(s, noise.generator))(noise.scale)
    noise = module(nnx, 1)
    compiled = nnx.jit(lambda n: ops.value_and_grad(lambda s: loss(s, n.generator))(n.scale))
    value, compiled_gradient = compiled(noise)
    np.testing.assert_allclose(array(value), array(eager), rtol=1e-6)
    np.testing.assert_allclose(array(compiled_gradient), array(gradient), rtol=1e-6)
    assert float(array(compiled(noise)[0])) != float(array(value))
    noise = module(nnx, 1)
    native, _ = nnx.value_and_grad(lambda n: loss(n.scale, n.generator))(noise)
    assert np.isfinite(float(native))
    assert int(noise.generator.count[...]) == 1
    assert isinstance(jax.numpy.asarray(native), jax.Array)


def test_jax_state_is_not_trained(nnx):
    noise = module(nnx, 1)
    assert len(nnx.to_flat_state(nnx.state(noise, nnx.Param))) == 1
    assert len(nnx.to_flat_state(nnx.state(noise, nnx.RngState))) == 2


@pytest.mark.parametrize("run", [in_scan, lambda seed: ops.random.normal((2,), seed=seed)])
def test_jax_refuses_to_compile_global_draws(nnx, run):
    import jax

    with pytest.raises(RuntimeError, match="seed generator"):
        jax.jit(lambda: run(None))()


def test_jax_global_draws_inside_transformed_functions(nnx):
    ops.random.set_seed(3)
    first, second = masks(in_scan(None)), masks(in_scan(None))
    assert len({*first, *second}) == 6
    ops.random.set_seed(3)
    assert masks(in_scan(None)) == first


def test_jax_names_the_generator_that_cannot_be_drawn_from(nnx):
    """A transformation of jax itself, around our ops, is what nnx complains of in its own words."""
    import jax
    from flax.errors import TraceContextError

    generator = ops.random.seed_generator(0)
    with pytest.raises(TraceContextError):
        jax.jit(lambda: ops.random.normal((2,), seed=generator))()
