"""The CfC kernels against the equations in NumPy, and their gradients against differences."""

import hashlib
import itertools
import os
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from ncps.backends.kernels import cfc, numeric

NONE = np.zeros((0, 0), bool)
ACTIVATIONS = {
    "linear": lambda x: x,
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "lecun_tanh": lambda x: 1.7159 * np.tanh(0.666 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


# -- the equations


def layer_step(inputs, state, time, layer, mode, backbone, head):
    """The state of one layer after a step; time (B, 1)."""
    z = np.concatenate([inputs, state], -1)
    for kernel, bias in layer.backbone:
        z = backbone(z @ kernel + bias)
    heads = z @ layer.heads[0] + layer.heads[1]
    if mode == "pure":
        w_tau, a = layer.tau
        return a - a * np.exp(-time * (np.abs(w_tau) + np.abs(heads))) * heads
    f, g, time_a, time_b = np.split(heads, 4, -1)
    s = 1 / (1 + np.exp(-(time_a * time + time_b)))
    return head(f) + s * head(g) if mode == "no_gate" else (1 - s) * head(f) + s * head(g)


def reference(inputs, first, times, valid, resets, layers, mode, backbone, head):
    """Outputs (B, T, H) and last states."""
    batch, steps, _ = inputs.shape
    times = np.broadcast_to(times, (batch, steps))
    states, outputs = [x.copy() for x in first], []
    for t in range(steps):
        if resets.size:
            states = [np.where(resets[:, t, None], 0, x) for x in states]
        below = inputs[:, t]
        for i, layer in enumerate(layers):
            time = times[:, t, None]
            below = layer_step(below, states[i], time, layer, mode, ACTIVATIONS[backbone], ACTIVATIONS[head])
            states[i] = np.where(valid[:, t, None], below, states[i]) if valid.size else below
        outputs.append(states[-1])
    return np.stack(outputs, 1), states


# -- problems


class Problem:
    """A stack of layers with random arguments, as the kernels take them."""

    def __init__(
        self, batch=5, steps=4, features=3, units=(6,), backbone=(7,), mode="default",
        activations=("lecun_tanh", "tanh"), times="shared", masked=False, dtype="float64", seed=0,
    ):  # fmt: skip
        self.rng = rng = np.random.default_rng(seed)
        self.mode, self.activations = mode, activations
        self.inputs = rng.standard_normal((batch, steps, features)).astype(dtype)
        self.first = tuple(self.random(batch, n) for n in units)
        self.times = rng.uniform(0.2, 1.5, {"shared": (1, 1), "steps": (1, steps), "all": (batch, steps)}[times])
        self.times = self.times.astype(dtype)
        self.valid = rng.random((batch, steps)) < 0.7 if masked else NONE
        self.resets = rng.random((batch, steps)) < 0.3 if masked else NONE
        below = (features, *units)
        self.layers = tuple(self.layer(i, n, backbone) for i, n in zip(below, units, strict=False))

    def random(self, *shape):
        return (self.rng.standard_normal(shape) * 1.5 / np.sqrt(shape[0])).astype(self.inputs.dtype)

    def layer(self, below, units, backbone):
        sizes = (below + units, *backbone)
        maps = tuple((self.random(i, n), self.random(n)) for i, n in itertools.pairwise(sizes))
        width = units if self.mode == "pure" else 4 * units
        tau = (self.random(units), self.random(units)) if self.mode == "pure" else ()
        return cfc.Layer(maps, (self.random(sizes[-1], width), self.random(width)), tau)

    def arguments(self):
        return self.inputs, self.first, self.times, self.valid, self.resets, self.layers, self.mode, *self.activations

    def forward(self, sequences=True, keep=False, threads=1):
        return cfc.forward(*self.arguments(), sequences, keep, threads)

    def backward(self, d_outputs, d_final, kept, sequences=True):
        return cfc.backward(d_outputs, d_final, *self.arguments(), sequences, kept)

    def gradients(self, threads=1, sequences=True):
        """Those of a random weighted sum of all that forward returns, and its weights."""
        rng = np.random.default_rng(1)
        outputs, final, kept = self.forward(sequences, True, threads)
        weights = [rng.standard_normal(x.shape).astype(x.dtype) for x in (outputs, *final)]
        return self.backward(weights[0], tuple(weights[1:]), kept, sequences), weights

    def expected(self, sequences=True):
        outputs, states = reference(*self.arguments())
        return outputs if sequences else outputs[:, -1], states


def test_machine_code_is_kept_by_all_files_of_the_kernels():
    """numba looks at the file of a function only, which knows nothing of those that it calls."""
    sources = hashlib.sha256()
    for path in sorted(Path(numeric.__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    for kernel in (cfc.forward_kernel, cfc.backward_kernel):
        files = kernel._cache._cache_file._index_name
        assert sources.hexdigest()[:12] in files


def test_a_kernel_is_compiled_where_nothing_can_be_written():
    names = {}
    exec("def one_more(x):\n    return x + 1\n", names)  # of no file: numba finds no place for its code
    assert numeric.compiled(names["one_more"])(2) == 3


def leaves(tree):
    return [x for branch in tree for x in leaves(branch)] if isinstance(tree, tuple) else [tree]


def close(result, expected, rtol, atol):
    for x, y in zip(leaves(result), leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


STACKS = [
    {"units": (6,), "backbone": ()},
    {"units": (6,), "backbone": (7,)},
    {"units": (17,), "backbone": (33, 16), "batch": 13},
    {"units": (5, 3), "backbone": ()},
    {"units": (9, 4, 2), "backbone": (), "batch": 37, "features": 11},
    {"units": (4, 3), "backbone": (5,)},
    {"units": (1,), "backbone": (), "batch": 1, "steps": 1, "features": 1},
    {"units": (6,), "backbone": (7,), "batch": 1, "steps": 30},
]
CONDITIONS = [
    {"times": "shared"},
    {"times": "steps", "masked": True},
    {"times": "all", "masked": True},
    {"times": "shared", "masked": True},
]


def name(value):
    return "-".join(str(x) for x in value.values()) if isinstance(value, dict) else str(value)


# -- values


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS, ids=name)
@pytest.mark.parametrize("stack", STACKS, ids=name)
@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_states_are_those_of_the_equations(mode, stack, condition, keep):
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):
        problem = Problem(mode=mode, dtype=dtype, **stack, **condition)
        for sequences in (True, False):
            outputs, final, kept = problem.forward(sequences, keep)
            assert outputs.dtype == dtype
            assert (kept is not None) == keep
            close((outputs, *final), (problem.expected(sequences)[0], *problem.expected()[1]), 0, tolerance)


@pytest.mark.parametrize("activation", sorted(cfc.ACTIVATIONS, key=str), ids=str)
def test_activations(activation):
    for activations in ((activation, "tanh"), ("tanh", activation)):
        problem = Problem(activations=activations)
        close(problem.forward()[0], problem.expected()[0], 1e-12, 1e-12)
        check_gradients(problem)
        problem.inputs[2, 1] = np.nan
        outputs = problem.forward()[0]
        assert np.isnan(outputs[2, 1:]).all()
        assert np.isfinite(np.delete(outputs, 2, 0)).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 5e-7), (np.float64, 1e-15)])
@pytest.mark.parametrize("columns", [1, 15, 16, 37, 200])
def test_squashing_in_pairs_of_vectors(dtype, tolerance, columns):
    @numba.njit(**numeric.FLAGS)
    def squash(x, begin, end, scales):
        cfc.squash(x, begin, end, scales)

    p, q, r = 1.5, 0.7, 0.25
    scales = np.repeat(np.array([p, q, r, 0, 0], dtype)[:, None], columns, 1)
    x = np.random.default_rng(0).permutation(np.linspace(-40, 40, 300 * columns)).astype(dtype).reshape(-1, columns)
    for begin in (0, columns // 3):
        found = x.copy()
        squash(found, begin, columns, scales)
        exact = p * np.tanh(q * x.astype(np.longdouble)) + r
        np.testing.assert_allclose(found[:, begin:], exact[:, begin:], 0, p * tolerance)
        np.testing.assert_array_equal(found[:, :begin], x[:, :begin])


def test_elapsed_time_of_zero():
    problem = Problem(mode="pure")
    problem.times = np.zeros((1, 1))
    close(problem.forward()[0], problem.expected()[0], 0, 1e-12)
    check_gradients(problem)


@pytest.mark.parametrize("shape", [(0, 4), (5, 0)])
@pytest.mark.parametrize("times", ["shared", "all"])
def test_no_samples_or_no_steps(shape, times):
    problem = Problem(batch=shape[0], steps=shape[1], times=times)
    for sequences in (True, False):
        outputs, (final,), kept = problem.forward(sequences, keep=True)
        assert outputs.shape == ((*shape, 6) if sequences else (shape[0], 6))
        close(final, problem.first[0], 0, 0)
        d_inputs, (d_first,), d_times, _ = problem.backward(outputs, (final,), kept, sequences)
        assert d_inputs.shape == problem.inputs.shape
        assert d_times.shape == problem.times.shape
        close(d_first, final if sequences else 2 * final, 0, 0)


def test_layouts_of_other_arrays_are_accepted():
    problem = Problem(batch=9)
    expected = problem.forward()[0]
    problem.inputs = np.asfortranarray(problem.inputs)
    problem.inputs.flags.writeable = False
    problem.layers = tuple(
        cfc.Layer(tuple((np.asfortranarray(k), b) for k, b in layer.backbone), layer.heads) for layer in problem.layers
    )
    close(problem.forward()[0], expected, 0, 0)
    problem.inputs = problem.inputs[:1, :1]
    problem.first = (problem.first[0][:1],)
    close(problem.forward()[0], expected[:1, :1], 0, 1e-14)


# -- gradients


def check_gradients(problem, sequences=True, step=1e-5, tolerance=1e-6):
    """Compares the gradients of single numbers, in all arguments, with differences of the reference."""
    rng = np.random.default_rng(2)
    gradients, (of_outputs, *of_final) = problem.gradients(sequences=sequences)

    def loss():
        outputs, states = problem.expected(sequences)
        return np.vdot(of_outputs, outputs) + sum(np.vdot(w, x) for w, x in zip(of_final, states, strict=True))

    arguments = (problem.inputs, problem.first, problem.times, problem.layers)
    for gradient, x in zip(leaves(gradients), leaves(arguments), strict=True):
        assert gradient.shape == x.shape
        for _ in range(4):
            place = tuple(int(rng.integers(n)) for n in x.shape)
            kept = x[place]
            x[place] = kept + step
            above = loss()
            x[place] = kept - step
            below = loss()
            x[place] = kept
            expected = (above - below) / (2 * step)
            assert abs(gradient[place] - expected) <= tolerance * max(1, abs(expected)), (place, x.shape)


@pytest.mark.parametrize("condition", CONDITIONS, ids=name)
@pytest.mark.parametrize("stack", STACKS, ids=name)
@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_gradients_are_those_of_differences(mode, stack, condition):
    problem = Problem(mode=mode, **stack, **condition)
    check_gradients(problem, sequences=True)
    check_gradients(problem, sequences=False)


@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_gradients_in_single_precision(mode):
    for condition in CONDITIONS:
        arguments = dict(mode=mode, batch=37, steps=9, units=(17, 5), backbone=(21,), **condition)
        (double, _), (single, _) = Problem(**arguments).gradients(), Problem(dtype="float32", **arguments).gradients()
        for x, y in zip(leaves(single), leaves(double), strict=True):
            assert x.dtype == "float32"
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * np.abs(y).max())


def test_missing_gradients_are_zeros():
    problem = Problem(units=(5, 3), backbone=())
    outputs, final, kept = problem.forward(keep=True)
    zeros = problem.backward(np.zeros_like(outputs), (final[0], np.zeros_like(final[1])), kept)
    close(problem.backward(None, (final[0], None), kept), zeros, 0, 0)


def test_gradients_fade_to_zeros_and_other_arithmetic_is_left_alone():
    problem = Problem(batch=3, steps=400, dtype="float32")
    d_inputs = problem.gradients(sequences=False)[0][0]
    assert np.abs(d_inputs[:, -1]).min() > 1e-3
    assert not d_inputs[:, 0].any()
    assert not (np.abs(d_inputs[d_inputs != 0]) < np.finfo("float32").tiny).any()
    assert np.float32(1e-30) * np.float32(1e-10) > 0


# -- samples and threads


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["default", "pure"])
def test_nan_stays_in_its_sample(mode, dtype):
    arguments = {"mode": mode, "batch": 9, "times": "all", "units": (5, 3), "backbone": (6,), "dtype": dtype}
    clean, dirty = Problem(**arguments), Problem(**arguments)
    for sample, value in ((2, np.nan), (5, np.inf), (7, -np.inf)):
        dirty.inputs[sample, 1, 0] = value
    others = [0, 1, 3, 4, 6, 8]
    for threads in (1, 2):
        outputs, final, _ = dirty.forward(threads=threads)
        expected, expected_final, _ = clean.forward()
        close(
            (outputs[others], *(x[others] for x in final)),
            (expected[others], *(x[others] for x in expected_final)),
            0,
            0,
        )
        assert np.isnan(outputs[2, 1:]).all()
        assert np.isfinite(outputs[2, 0]).all()
        with np.errstate(invalid="ignore"):
            (d_inputs, d_first, d_times, _), _ = dirty.gradients(threads)
        (expected, expected_first, expected_times, _), _ = clean.gradients()
        close(
            (d_inputs[others], *(x[others] for x in d_first), d_times[others]),
            (expected[others], *(x[others] for x in expected_first), expected_times[others]), 0, 0,
        )  # fmt: skip
        assert np.isnan(d_inputs[2]).any()


@pytest.mark.parametrize("mode", ["default", "pure"])
def test_steps_that_do_not_count_have_no_effect(mode):
    arguments = {"mode": mode, "batch": 7, "times": "all", "masked": True, "units": (5, 3), "backbone": (6,)}
    clean, dirty = Problem(**arguments), Problem(**arguments)
    dirty.inputs[~dirty.valid] = np.nan
    dirty.times[~dirty.valid] = np.nan
    close(dirty.forward()[:2], clean.forward()[:2], 0, 0)
    (gradients, _), (expected, _) = dirty.gradients(), clean.gradients()
    close(gradients, expected, 0, 0)
    assert not gradients[0][~dirty.valid].any()
    assert not gradients[2][~dirty.valid].any()


LARGE = {"batch": 75, "steps": 30, "features": 20, "units": (33, 9), "backbone": (40,), "dtype": "float32"}


@pytest.mark.parametrize("times", ["shared", "steps", "all"])
def test_threads_give_the_same(times):
    problem = Problem(times=times, masked=True, **LARGE)
    assert len(problem.forward(keep=True, threads=2)[2].parts) == 2
    close(problem.forward(threads=2)[:2], problem.forward(threads=1)[:2], 0, 1e-6)
    (gradients, _), (expected, _) = problem.gradients(threads=2), problem.gradients(threads=1)
    for x, y in zip(leaves(gradients), leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * np.abs(y).max())  # float32, long sums
    close(problem.gradients(threads=2)[0], gradients, 0, 0)


def test_two_python_threads_at_once():
    problem = Problem(**LARGE)
    expected, results = problem.gradients(threads=2)[0], {}

    def work(i):
        for _ in range(5):
            results[i] = problem.gradients(threads=2)[0]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(2):
        close(results[i], expected, 0, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:os.fork:RuntimeWarning")
def test_forked_child():
    problem = Problem(**LARGE)
    expected = problem.gradients(threads=2)[0]
    child = os.fork()
    if child == 0:
        same = False
        try:
            same = all(
                (x == y).all() for x, y in zip(leaves(problem.gradients(threads=2)[0]), leaves(expected), strict=False)
            )
        finally:
            os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
