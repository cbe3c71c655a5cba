"""What backends bind for the sums over synapses, against the ops' own bodies, which the parity of layers tests."""

import numpy as np
import pytest

import ncps
from ncps.ops.dispatch import COMPOSITES
from ncps.ops.sequences import synapses

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
B, N = 5, 4
UNSORTED = [3, 0, 0, 3, 1, 0]  # none for segment 2


@pytest.fixture(autouse=True)
def on_torch():
    with ncps.backend_scope("torch"):
        yield


def numbers(*shape, **options):
    return torch.tensor(RNG.normal(size=shape), **options)


def matrices(table, copies, ids):
    weights = numbers(copies, len(ids))
    with torch.no_grad():
        return [make(weights, torch.tensor(ids, dtype=torch.int32), N, ids == sorted(ids)) for make in table]


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("ids", [UNSORTED, sorted(UNSORTED), []], ids=["unsorted", "sorted", "none"])
def test_bound_matrices_are_those_of_the_body(ids, copies):
    bound, body = matrices([synapses.sparse_matrices, COMPOSITES["sparse_matrices"]], copies, ids)
    x, y = numbers(len(ids), B), numbers(copies, N, B)
    torch.testing.assert_close(bound.product(x), body.product(x))
    torch.testing.assert_close(bound.transposed(y), body.transposed(y))
    torch.testing.assert_close(bound.gradient(x, y), body.gradient(x, y))


def test_product_where_each_row_has_as_many_columns():
    rows = torch.arange(N, dtype=torch.int32).repeat_interleave(3)
    x, weights = numbers(3 * N, B), numbers(2, 3 * N)
    expected = COMPOSITES["sparse_matrices"](weights, rows, N, True).product(x)
    torch.testing.assert_close(synapses.product_of_equals(weights, N)(x), expected)


def test_transposed_product_where_each_target_has_a_synapse_from_every_source():
    sources = torch.arange(3, dtype=torch.int32).repeat(N)
    y, weights = numbers(1, 3, B), numbers(1, 3 * N)
    expected = COMPOSITES["sparse_matrices"](weights, sources, 3).transposed(y)
    torch.testing.assert_close(synapses.spread(weights, N)(y), expected)


def test_sigmoid_gradient():
    z = numbers(3, requires_grad=True)
    upstream = numbers(3)
    (expected,) = torch.autograd.grad(torch.sigmoid(z), z, upstream)
    s = torch.sigmoid(z).detach()
    torch.testing.assert_close(synapses.sigmoid_gradient(s, upstream), expected)
    torch.testing.assert_close(COMPOSITES["sigmoid_gradient"](s, upstream), expected)


def test_matrices_have_gradients_where_the_backward_pass_is_differentiated():
    rows, x, weights = torch.tensor(UNSORTED, dtype=torch.int32), numbers(6, B), numbers(2, 6)
    x.requires_grad_(), weights.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: synapses.sparse_matrices(w, rows, N).product(x), (x, weights))


@pytest.mark.parametrize("batch", [1, B])
def test_sums_by_several_weights(batch):
    x, weights = RNG.normal(size=(6, batch)), RNG.normal(size=(2, 6, 1))
    expected = np.zeros((2, N, batch))
    np.add.at(expected, (slice(None), UNSORTED), x * weights)
    rows = torch.tensor(UNSORTED, dtype=torch.int32)
    sums = synapses.weighted_sums(torch.tensor(x), [torch.tensor(w) for w in weights], rows, N)
    np.testing.assert_allclose(np.stack(sums), expected, rtol=1e-12)


@pytest.mark.parametrize("compiled", [None, True])
def test_sums_of_one_sample_are_one_where_xla_compiles(compiled):
    tf = pytest.importorskip("tensorflow")
    with ncps.backend_scope("tensorflow"):
        x, weights = tf.constant(RNG.normal(size=(6, 1))), [tf.constant(RNG.normal(size=(6, 1))) for _ in range(2)]

        @tf.function(jit_compile=compiled, autograph=False)
        def sums(x):
            return synapses.weighted_sums(x, weights, tf.constant(UNSORTED), N)

        found = np.stack(sums(x))
        kinds = [operation.type for operation in sums.get_concrete_function(x).graph.get_operations()]
    expected = np.zeros((2, N, 1))
    np.add.at(expected, (slice(None), UNSORTED), np.stack(weights) * x.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert kinds.count("UnsortedSegmentSum") == (1 if compiled else 2)
