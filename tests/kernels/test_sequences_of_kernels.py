"""The ops for whole sequences by kernels against their own bodies, and their second derivatives."""

import contextlib
import gc
import os
import re
import signal
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ncps
from ncps.backends.kernels import sequences
from ncps.layers import LTC, RNN, CfC, CfCCell, LTCCell
from ncps.ops.dispatch import COMPOSITES
from ncps.wirings import AutoNCP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4))
TIMES = RNG.uniform(0, 1, (3, 5))
MASK = RNG.random((3, 5)) < 0.7
RESETS = RNG.random((3, 5)) < 0.2
LAYERS = {
    "ltc": lambda: LTC(AutoNCP(9, 2), return_sequences=True, dtype="float64"),
    "ltc_last": lambda: LTC(5, unfolds=2, input_mapping=None, output_mapping="linear", dtype="float64"),
    "cfc": lambda: CfC(5, return_sequences=True, dtype="float64"),
    "cfc_wired": lambda: CfC(AutoNCP(9, 2), mode="no_gate", dtype="float64"),
    "cfc_pure": lambda: CfC(5, mode="pure", backbone_layers=2, backbone_activation="silu", dtype="float64"),
    "cfc_gelu": lambda: CfC(5, backbone_activation="gelu", head_activation="silu", dtype="float64"),
    "cfc_exact": lambda: CfC(5, backbone_activation="gelu_exact", return_sequences=True, dtype="float64"),
    "cfc_elu": lambda: CfC(5, head_activation="elu", return_sequences=True, dtype="float64"),
}
UNPREPARED = {"cfc_exact", "cfc_elu"}  # torch keeps nothing prepared for their single steps: kernels lack activations
OPTIONS = {
    "plain": {},
    "number": {"timespans": 0.3},
    "all": {"timespans": TIMES, "mask": MASK, "resets": RESETS},
}


@pytest.fixture(params=LAYERS)
def layer(request):
    pytest.importorskip("torch")
    ncps.set_seed(0)
    with ncps.backend_scope("torch"):
        return LAYERS[request.param]()


@pytest.fixture
def plain(monkeypatch):
    """A switch: from when it is thrown, torch runs the bodies of the ops."""
    table = ncps.backend.NCPSBackend.ops_of("torch")

    def throw():
        for name in ("ltc_sequence", "cfc_sequence"):
            monkeypatch.setitem(table, name, COMPOSITES[name])

    return throw


def run(layer, options):
    """Outputs, and the gradients of inputs and weights."""
    import torch

    x = torch.tensor(X, requires_grad=True)
    outputs = layer(x, **options)
    outputs.square().sum().backward()
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    layer.zero_grad()
    return [outputs, *gradients]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_kernels_and_bodies_agree(layer, options, plain):
    if not sequences.wanted():
        pytest.skip("numba is not installed, or not wanted")
    fused = run(layer, options)
    plain()
    for ours, theirs in zip(fused, run(layer, options), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-9, atol=1e-12)


def test_a_step_that_does_not_count_divides_by_nothing(plain):
    """Neurons without capacitance have no state in no time: 0 / 0, which must stay out of the gradients."""
    pytest.importorskip("torch")
    ncps.set_seed(0)
    with ncps.backend_scope("torch"):
        layer = LTC(5, initialization_ranges={"cm": (0.0, 0.0)}, return_sequences=True, dtype="float64")
    options = {"timespans": np.ones_like(TIMES), "mask": MASK}
    fused = run(layer, options)
    plain()
    for ours, theirs in zip(fused, run(layer, options), strict=True):
        assert theirs.isfinite().all()
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_a_batch_of_nobody_has_gradients_of_nothing(name):
    torch = pytest.importorskip("torch")
    with ncps.backend_scope("torch"):
        layer = LAYERS[name]()
        layer(torch.zeros(0, 5, 4, dtype=torch.float64)).sum().backward()
    assert all((p.grad == 0).all() for p in layer.parameters() if p.requires_grad)


def ops_of(kind, args, cell=None):
    """The op that a layer of 4 inputs and 4 neurons runs, with these arguments for its inputs, state and times."""
    cell = cell or kind(4, input_size=4, dtype="float64").cell
    if kind is LTC:
        return ncps.ops.ltc_sequence(*args, cell.weights_of_sequence(), cell.ends_of_synapses(), 6, 1e-8, 4, True)
    inputs, initial, *others = args
    layers = (cell.layer_of_sequence(),)
    return ncps.ops.cfc_sequence(inputs, (initial,), *others, layers, "default", "lecun_tanh", "tanh", True)


@pytest.mark.parametrize("kind", [LTC, CfC])
@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize(
    ("argument", "shape", "expected"),
    [
        (1, (1, 4), "initial of shape (3, 4)"),
        (2, (5, 3), "times of shape () or (5, 1, 1) or (5, 3, 1)"),
        (3, (5, 1, 1), "valid and resets of shape (5, 3, 1)"),
        (4, (5, 3), "valid and resets of shape (5, 3, 1)"),
    ],
)
def test_arrays_of_other_shapes_are_refused(kind, times, argument, shape, expected):
    """Kernels do not look where an array ends."""
    if not sequences.wanted():
        pytest.skip("numba is not installed, or not wanted")
    args = [np.repeat(X.swapaxes(0, 1), times, 1), np.zeros((3 * times, 4)), np.float64(1), None, None]
    args[argument] = np.ones(shape, bool if argument > 2 else float)
    expected = expected.replace("3", f"{3 * times}")
    told = f"Expected {expected} with inputs of shape {args[0].shape}. Received: {shape}."
    with ncps.backend_scope("numpy"), pytest.raises(ValueError, match=re.escape(told)):
        ops_of(kind, args)


@pytest.mark.parametrize("kind", [LTC, CfC])
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("framework", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("argument", "shape"), [(1, (1, 3)), (1, (1, 5)), (2, (7, 1, 1)), (3, (7, 1, 1)), (4, (5, 2, 1)), (4, (1, 1))]
)
def test_streams_that_are_prepared_refuse_other_shapes(framework, kind, steps, argument, shape):
    if not sequences.wanted():
        pytest.skip("numba is not installed, or not wanted")
    if framework == "torch":
        torch = pytest.importorskip("torch")
    gradients = torch.no_grad() if framework == "torch" else contextlib.nullcontext()
    with ncps.backend_scope(framework), gradients:
        cell = kind(4, input_size=4, dtype="float64").cell
        args = [ncps.ops.convert_to_tensor(x) for x in (X[:1, :steps].swapaxes(0, 1), np.zeros((1, 4)), np.float64(1))]
        args += None, None
        for _ in range(3):
            assert type(ops_of(kind, args, cell)) is tuple
        args[argument] = ncps.ops.convert_to_tensor(np.ones(shape, bool if argument > 2 else float))
        with pytest.raises(ValueError, match=re.escape(f"Received: {shape}.")):
            ops_of(kind, args, cell)


@pytest.mark.parametrize("name", LAYERS)
def test_torch_tensors_that_are_negated_later(name):
    """Some views of complex tensors have a bit that says so, and no array."""
    torch = pytest.importorskip("torch")
    ncps.set_seed(0)
    with ncps.backend_scope("torch"):
        layer = LAYERS[name]()
    x = torch.tensor(X)
    negated = torch.complex(x, -x).conj().imag
    assert negated.is_neg()
    with torch.no_grad():
        torch.testing.assert_close(layer(negated), layer(x))
    factors = torch.complex(*(torch.tensor(RNG.normal(size=layer(x).shape)) for _ in range(2)))
    found = []
    for loss in (lambda y: (torch.complex(0 * y, y).conj() * factors).real.sum(), lambda y: (y * factors.imag).sum()):
        layer.zero_grad()
        loss(layer(x)).backward()
        found.append([p.grad for p in layer.parameters() if p.requires_grad])
    torch.testing.assert_close(*found)


def test_a_layer_for_other_inputs_is_refused():
    if not sequences.wanted():
        pytest.skip("numba is not installed, or not wanted")
    with ncps.backend_scope("numpy"):
        layers = (CfC(4, input_size=3, dtype="float64").cell.layer_of_sequence(),)
        with pytest.raises(ValueError, match="first map of 4 inputs and 4 states"):
            ncps.ops.cfc_sequence(
                X, (np.zeros((5, 4)),), np.float64(1), None, None, layers, "default", "lecun_tanh", "tanh", True
            )


def test_epsilon_may_be_a_number_of_numpy():
    torch = pytest.importorskip("torch")
    outputs = []
    for kind in (np.float32, float):
        ncps.set_seed(0)
        with ncps.backend_scope("torch"):
            outputs.append(LTC(4, epsilon=kind(0.5))(torch.ones(2, 3, 2)))
    torch.testing.assert_close(*outputs)


def test_threads_that_are_gone_are_done_without():
    """Another thread may have asked for more of them, which ends those that were there."""
    from concurrent.futures import ThreadPoolExecutor as Threads

    from ncps.backends.kernels import pool

    gone, done = Threads(1), []
    gone.shutdown()
    before = pool._Pool.executor, pool._Pool.size, pool._Pool.lent
    pool._Pool.executor, pool._Pool.size, pool._Pool.lent = gone, 9, None
    try:
        pool.spread(lambda number, begin, end: done.append(number), [(0, 1), (1, 2), (2, 3)])
    finally:
        pool._Pool.executor, pool._Pool.size, pool._Pool.lent = before
    assert sorted(done) == [0, 1, 2]


def test_second_derivatives(layer):
    import torch

    x, times = torch.tensor(X[:2, :3], requires_grad=True), torch.tensor(TIMES[:2, :3], requires_grad=True)
    layer(x)
    assert torch.autograd.gradgradcheck(lambda x, t: layer(x, timespans=t), (x, times))


def test_vmap_of_gradients(layer):
    import torch

    x = torch.tensor(X)
    layer(x)

    def loss(x):
        return layer(x).square().sum()

    each = torch.vmap(torch.func.grad(lambda one: loss(one[None])))(x)
    x.requires_grad_()
    loss(x).backward()
    torch.testing.assert_close(each, x.grad)


def test_program_knows_the_activations_of_the_kernels():
    cfc = pytest.importorskip("ncps.backends.kernels.cfc")
    assert set(sequences.ACTIVATIONS) == cfc.ACTIVATIONS
    assert set(ncps.ops.ACTIVATIONS) >= cfc.ACTIVATIONS


class Fading(LTCCell):
    """Half of what an LTC does, by a method that the op knows nothing of."""

    def step(self, packed, drive, timespan, constants):
        return super().step(packed, drive, timespan, constants) / 2


class Doubling(CfCCell):
    """Twice what a CfC does."""

    def solution(self, heads, timespan):
        return 2 * super().solution(heads, timespan)


@pytest.mark.parametrize(("own", "base", "factor"), [(Fading, LTCCell, 0.5), (Doubling, CfCCell, 2)])
def test_a_subclass_runs_its_own_equation(own, base, factor):
    states = []
    for kind in (own, base):
        ncps.set_seed(0)
        with ncps.backend_scope("numpy"):
            layer = RNN(kind(4, dtype="float64"))
            x = X[:, :1]
            states.append((layer(x), layer.step(x[:, 0])[0]))
    for ours, theirs in zip(*states, strict=True):
        np.testing.assert_allclose(ours, factor * theirs, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outlines_for_the_compiler_are_what_the_kernels_return(dtype, monkeypatch):
    torch = pytest.importorskip("torch")
    from torch.library import opcheck

    if not sequences.wanted():
        pytest.skip("numba is not installed, or not wanted")
    from ncps.backends.torch import sequences as on_torch

    operator, calls = on_torch.OPERATORS[on_torch.forward], []
    ncps.set_seed(0)
    with ncps.backend_scope("torch"):
        layers = [CfC(5, dtype=dtype), LTC(AutoNCP(9, 2), dtype=dtype), CfC(5, mode="pure", dtype=dtype)]
    monkeypatch.setattr(on_torch, "are_plain", lambda tensors: False)
    monkeypatch.setitem(on_torch.OPERATORS, on_torch.forward, lambda *args: calls.append(args) or operator(*args))
    for layer in layers:
        layer(torch.tensor(X), timespans=torch.tensor(TIMES))
    assert len(calls) == len(layers)
    for args in calls:
        opcheck(operator, args, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_sees_what_becomes_of_its_weights(name, samples):
    """Steps on NumPy prepare the weights once: they must follow what is written into them, and new ones."""
    x, times = X[:samples], TIMES[:samples]
    with ncps.backend_scope("numpy"):
        layer = LAYERS[name]()
        layer.step(x[:, 0])
        weights = layer.get_weights()

        def write():
            for within in layer.layers_within():
                for array, _ in within.own_weights().values():
                    array *= 1.5

        changes = (
            lambda: None,
            lambda: layer.set_weights([0.5 * w for w in weights]),
            write,
            lambda: setattr(layer.cell, "A", 2 * layer.cell.A) if name == "cfc_pure" else None,
        )
        for change in changes:
            change()
            state = None
            for t in range(x.shape[1]):
                output, state = layer.step(x[:, t], state, timespan=times[:, t])
            whole = RNN(layer.cell)(np.repeat(x, 60, 0), timespans=np.repeat(times, 60, 0))  # many: laid out anew
            np.testing.assert_allclose(output, whole[::60], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_a_stream_on_torch_sees_what_becomes_of_its_weights(name, samples):
    """The same there; with gradients, steps prepare nothing."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(X[:samples, 0])
    with ncps.backend_scope("torch"):
        layer = LAYERS[name]()
    layer.step(x)

    def write():
        for p in layer.parameters():
            p.mul_(1.5)

    def replace():
        for p in layer.parameters():
            p.data = 0.5 * p.data

    weights, before = layer.get_weights(), None
    for change in (lambda: None, write, replace, lambda: layer.set_weights([0.3 * w for w in weights])):
        with torch.no_grad():
            change()
            found = [layer.step(x)[0] for _ in range(4)]
        expected = layer.step(x)[0].detach()
        for each in found:
            torch.testing.assert_close(each, expected, rtol=1e-12, atol=1e-14)
        assert before is None or not torch.allclose(before, expected)
        before = expected


def op_on_mask(mask, tensor, weight):
    """One step of a layer of 2 inputs and 2 neurons whose every weight that `mask` leaves out is NaN."""
    kernel = np.where(np.broadcast_to(mask, (4, 8)), RNG.normal(size=(4, 8)), np.nan)
    layer, state = ncps.ops.CfCLayer(((weight(kernel), weight(np.zeros(8))),), mask=tensor(mask)), np.ones((1, 2))
    options = tensor(np.float64(0.5)), None, None, (layer,), "default", None, "tanh", True
    return lambda: ncps.ops.cfc_sequence(tensor(np.ones((1, 1, 2))), (tensor(state),), *options)[0]


@pytest.mark.parametrize("name", ["numpy", "jax", "torch"])
@pytest.mark.parametrize("shape", [(4, 8), (4, 1), (8,)])
def test_what_a_mask_leaves_out_is_not_looked_at(name, shape):
    framework = pytest.importorskip(name)
    mask, kinds, without_gradients = RNG.random(shape) < 0.6, [np.asarray, np.asarray], contextlib.nullcontext
    if name == "torch":  # which prepares parameters of modules, without gradients
        kinds = [framework.tensor, lambda x: framework.nn.Parameter(framework.tensor(x))]
        without_gradients = framework.no_grad
    with ncps.backend_scope(name), without_gradients():
        step = op_on_mask(mask, *kinds)
        found = [np.asarray(step()) for _ in range(4)]
    for outputs in found:
        assert np.isfinite(outputs).all()
        np.testing.assert_allclose(outputs, found[0], rtol=1e-12)


@pytest.fixture
def large():
    """A layer on torch and inputs for which the kernels use several threads."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ncps.backend_scope("torch"):
        layer = CfC(32, input_size=4, return_sequences=True)
    yield layer, torch.tensor(np.repeat(X.astype("float32"), 40, 0))
    torch.set_num_threads(before)


def test_threads_of_torch_serve_two_callers_at_once(large):
    import torch

    layer, x = large

    def run(_):
        with torch.no_grad():
            return layer(x).numpy()

    with ThreadPoolExecutor(2) as executor:
        first, *others = executor.map(run, range(8))
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:os.fork:RuntimeWarning")
def test_a_forked_child_does_without_the_threads_of_torch(large):
    import torch

    layer, x = large
    with torch.no_grad():
        expected = layer(x).numpy()
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # which ends a child that hangs
            os._exit(0 if np.array_equal(layer(x).numpy(), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("name", LAYERS)
def test_streams_on_torch_end_with_their_layers(name):
    torch = pytest.importorskip("torch")
    from ncps.backends.torch.sequences import BY_IDENTITY, BY_VALUE

    gc.collect()
    before = len(BY_IDENTITY.known) + len(BY_VALUE.known)
    with ncps.backend_scope("torch"), torch.no_grad():
        layer = LAYERS[name]()
        for _ in range(3):
            layer.step(torch.tensor(X[0, 0]))
    weights = [weakref.ref(p) for p in layer.parameters()]
    assert len(BY_IDENTITY.known) + len(BY_VALUE.known) == before + (sequences.wanted() and name not in UNPREPARED)
    del layer
    gc.collect()
    assert [one for one in weights if one() is not None] == []
    assert len(BY_IDENTITY.known) + len(BY_VALUE.known) == before


@pytest.mark.parametrize("name", LAYERS)
def test_streams_end_with_their_layers(name):
    """What steps on NumPy prepared holds no weights of layers that are gone."""
    with ncps.backend_scope("numpy"):
        layer = LAYERS[name]()
        for _ in range(3):
            layer.step(X[0, 0])
        weights = [weakref.ref(array) for within in layer.layers_within() for array, _ in within.own_weights().values()]
        del layer
        gc.collect()
    assert len(weights) > 1
    assert [array for array in weights if array() is not None] == []


@pytest.mark.parametrize("name", ["cfc", "cfc_wired"])
def test_a_stream_does_not_read_weights_that_were_replaced_by_equal_ones(name):
    with ncps.backend_scope("numpy"):
        layer, other = LAYERS[name](), LAYERS[name]()
        for _ in range(3):
            layer.step(X[0, 0])
            other.step(X[0, 0])
        other.set_weights(layer.get_weights())
        owner = layer.cell.cells[0] if name == "cfc_wired" else layer.cell
        old = owner.heads_kernel
        owner.heads_kernel = old.copy()
        for _ in range(3):
            old += 1
            np.testing.assert_array_equal(layer.step(X[0, 0])[0], other.step(X[0, 0])[0])
