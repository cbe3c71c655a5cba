"""The LTC kernels against the equations in NumPy, and their gradients against differences."""

import itertools
import os
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from ncps.backends.kernels import numeric
from ncps.backends.kernels.ltc import Weights, Wiring, backward, forward
from ncps.backends.kernels.pool import ranges

NONE = np.zeros((0, 0), bool)
RNG = np.random.default_rng(0)


# -- the equations


def sums(source, targets, sigma, mu, w, erev, sources, neurons):
    """Currents and conductances (N,) of the synapses from potentials `sources`."""
    conducted = w / (1 + np.exp(-sigma * (sources[source] - mu)))
    return np.bincount(targets, conducted * erev, neurons), np.bincount(targets, conducted, neurons)


def mapped(x, w, b):
    x = x * w if w.size else x
    return x + b if b.size else x


def reference(inputs, first, times, valid, resets, weights, wiring, unfolds, epsilon, motors, sequences):
    """Outputs and last states, one sample after the other."""
    samples, steps, _ = inputs.shape
    neurons = first.shape[1]
    p = weights
    target, sensory_target = (
        np.repeat(np.arange(neurons), np.diff(start)) for start in (wiring.start, wiring.sensory_start)
    )
    times = np.broadcast_to(times, (samples, steps))
    outputs, final = np.empty((samples, steps, motors)), np.empty((samples, neurons))
    for i in range(samples):
        v = first[i]
        for t in range(steps):
            if resets.size and resets[i, t]:
                v = np.zeros_like(v)
            if not valid.size or valid[i, t]:
                x = mapped(inputs[i, t], p.input_w, p.input_b)
                sensory = wiring.sensory_source, sensory_target, p.sensory_sigma, p.sensory_mu, p.sensory_w
                drive = sums(*sensory, p.sensory_erev, x, neurons)
                for _ in range(unfolds):
                    current, conductance = sums(wiring.source, target, p.sigma, p.mu, p.w, p.erev, v, neurons)
                    current = current + drive[0] + p.gleak * p.vleak
                    conductance = conductance + drive[1] + p.gleak + epsilon
                    delta = times[i, t] / unfolds
                    v = (p.cm * v + delta * current) / (p.cm + delta * conductance)
            outputs[i, t] = mapped(v[:motors], p.output_w, p.output_b)
        final[i] = v
    return outputs if sequences else outputs[:, -1], final


# -- problems


def draw_synapses(sources, neurons, number):
    pairs = np.sort(RNG.choice(sources * neurons, number, replace=False)) if number else np.zeros(0, int)
    target, source = np.divmod(pairs, max(sources, 1))
    return source.astype(np.int32), np.searchsorted(target, np.arange(neurons + 1)).astype(np.int32)


def draw_weights(neurons, features, motors, synapses, sensory, mappings):
    uniform = RNG.uniform
    gates = [
        x
        for number in (synapses, sensory)
        for x in (uniform(2, 5, number), uniform(-0.5, 0.5, number), uniform(0, 1, number), uniform(-1, 1, number))
    ]
    mapping = [
        uniform(0.5, 1.5, size if present else 0)
        for size, present in zip((features, features, motors, motors), mappings, strict=True)
    ]
    return Weights(uniform(0.4, 0.6, neurons), uniform(0, 1, neurons), uniform(-1, 1, neurons), *gates, *mapping)


def problem(
    samples=5, steps=4, neurons=6, features=3, motors=2, synapses=14, sensory=9, times=None, masked=True, resets=True,
    mappings=(1, 1, 1, 1), unfolds=3, epsilon=1e-8, sequences=True, dtype=np.float64,
) -> dict[str, Any]:  # fmt: skip
    """Arguments of `forward`, but for `keep` and `threads`."""
    shape = samples, steps
    numbers = {
        "inputs": RNG.uniform(-1, 1, (*shape, features)),
        "first": RNG.uniform(-1, 1, (samples, neurons)),
        "times": RNG.uniform(0.1, 2, shape if times is None else times),
    }
    return {name: x.astype(dtype) for name, x in numbers.items()} | {
        "valid": RNG.random(shape) < 0.7 if masked else NONE,
        "resets": RNG.random(shape) < 0.2 if resets else NONE,
        "weights": Weights(
            *(x.astype(dtype) for x in draw_weights(neurons, features, motors, synapses, sensory, mappings))
        ),
        "wiring": Wiring(*draw_synapses(neurons, neurons, synapses), *draw_synapses(features, neurons, sensory)),
        "unfolds": unfolds,
        "epsilon": epsilon,
        "motors": motors,
        "sequences": sequences,
    }


def run(arguments, threads=1):
    outputs, final, kept = forward(**arguments, keep=True, threads=threads)
    return outputs, final, kept


def gradients(arguments, d_outputs, d_final, kept, threads=1):
    """Gradients by name."""
    d_inputs, d_first, d_times, d_weights = backward(d_outputs, d_final, **arguments, kept=kept, threads=threads)
    return {"inputs": d_inputs, "first": d_first, "times": d_times, **d_weights._asdict()}


def numbers(arguments):
    """All arrays that there are gradients of, by name."""
    return {name: arguments[name] for name in ("inputs", "first", "times")} | arguments["weights"]._asdict()


def both(arguments, threads):
    """All results."""
    outputs, final, kept = run(arguments, threads)
    return outputs, final, *gradients(arguments, np.ones_like(outputs), np.ones_like(final), kept, threads).values()


def assert_same(first, second, tolerance=0.0):
    for x, y in zip(first, second, strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def check_values(arguments, tolerance=1e-13):
    outputs, final, _ = run(arguments)
    expected = reference(**arguments)
    for actual, wanted in zip((outputs, final), expected, strict=True):
        assert actual.dtype == arguments["first"].dtype
        assert actual.shape == wanted.shape
        np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)


def check_gradients(arguments):
    """Each against central differences along directions of its own; of small arrays, against all differences."""
    outputs, final, kept = run(arguments)
    seeds = RNG.standard_normal(outputs.shape), RNG.standard_normal(final.shape)
    actual = gradients(arguments, *seeds, kept)

    def loss():
        return sum(np.sum(x * seed) for x, seed in zip(reference(**arguments), seeds, strict=True))

    for name, x in numbers(arguments).items():
        assert actual[name].shape == x.shape
        given = x.copy()
        for direction in RNG.standard_normal((3 if x.size else 0, *x.shape)):
            step = 1e-5
            sides = []
            for sign in (1, -1):
                x[...] = given + sign * step * direction
                sides.append(loss())
            x[...] = given
            expected = (sides[0] - sides[1]) / (2 * step)
            scale = np.linalg.norm(actual[name]) * np.linalg.norm(direction)
            assert abs(np.sum(actual[name] * direction) - expected) <= 1e-8 * (1 + scale), name


OPTIONS = {
    "plain": {},
    "nothing masked": {"masked": False},
    "no resets": {"resets": False},
    "neither": {"masked": False, "resets": False},
    "last output": {"sequences": False},
    "one time": {"times": (1, 1)},
    "time of each step": {"times": (1, 4)},
    "one sample": {"samples": 1},
    "one sample, one time": {"samples": 1, "times": (1, 1)},
    "one step": {"steps": 1},
    "one sample, one step": {"samples": 1, "steps": 1, "masked": False, "resets": False},
    "odd sizes": {"samples": 37, "times": (1, 4)},
    "one block": {"samples": 32},
    "no synapses": {"synapses": 0},
    "no sensory synapses": {"sensory": 0},
    "neither synapses": {"synapses": 0, "sensory": 0},
    "no inputs": {"features": 0, "sensory": 0},
    "all synapses": {"synapses": 36, "sensory": 18},
    "all neurons are motors": {"motors": 6},
    "one neuron": {"neurons": 1, "motors": 1, "synapses": 1, "sensory": 3},
    "no mappings": {"mappings": (0, 0, 0, 0)},
    "linear mappings": {"mappings": (1, 0, 1, 0)},
    "offsets": {"mappings": (0, 1, 0, 1)},
    "one unfold": {"unfolds": 1},
    "no epsilon": {"epsilon": 0.0},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_values_and_gradients(options):
    arguments = problem(**options)
    check_values(arguments)
    check_gradients(arguments)


def test_time_of_zero():
    arguments = problem(masked=False, resets=False)
    arguments["times"][:, 1] = 0
    check_values(arguments)
    arguments["times"][...] = 0
    outputs, final, kept = run(arguments)
    np.testing.assert_allclose(final, arguments["first"], rtol=1e-15)
    actual = gradients(arguments, np.zeros_like(outputs), np.ones_like(final), kept)
    np.testing.assert_allclose(actual["first"], 1, rtol=1e-15)
    assert np.all(np.isfinite(actual["times"]))
    assert np.any(actual["times"] != 0)


@pytest.mark.parametrize("samples", [1, 3, 40])
def test_float32(samples):
    arguments = problem(samples=samples, steps=20, dtype=np.float32, unfolds=6, epsilon=1e-8)
    check_values(arguments, 2e-5)
    outputs, final, kept = run(arguments)
    seeds = RNG.standard_normal(outputs.shape), RNG.standard_normal(final.shape)
    actual = gradients(arguments, *(x.astype(np.float32) for x in seeds), kept)
    exact = {name: x.astype(np.float64) for name, x in numbers(arguments).items()}
    arguments |= {name: exact.pop(name) for name in ("inputs", "first", "times")} | {"weights": Weights(**exact)}
    expected = gradients(arguments, *seeds, run(arguments)[2])
    for name, x in expected.items():
        assert actual[name].dtype == np.float32
        assert np.max(np.abs(actual[name] - x)) <= 1e-4 * np.max(np.abs(x)), name


@pytest.mark.parametrize(
    "options", [{}, {"neurons": 160, "synapses": 25600, "unfolds": 6, "steps": 2}], ids=["few", "many"]
)
def test_a_batch_is_its_samples(options):
    """Also where synapses are so many that blocks are narrower."""
    arguments = problem(samples=19, **options)
    together = both(arguments, 1)
    by_sample = ("inputs", "first", "times", "valid", "resets")
    alone = [both(arguments | {name: arguments[name][i : i + 1] for name in by_sample}, 1) for i in range(19)]
    outputs, final, d_inputs, d_first, d_times, *d_weights = zip(*alone, strict=True)
    expected = [np.concatenate(x) for x in (outputs, final, d_inputs, d_first, d_times)]
    assert_same(together, expected + [np.sum(x, axis=0) for x in d_weights], 1e-11)


def test_gradients_fade_to_zeros_and_other_arithmetic_is_left_alone():
    arguments = problem(samples=9, steps=300, dtype=np.float32, masked=False, resets=False, sequences=False)
    outputs, final, kept = run(arguments)
    d_inputs = gradients(arguments, np.ones_like(outputs), np.zeros_like(final), kept)["inputs"]
    assert np.all(np.any(d_inputs[:, -1] != 0, axis=-1))
    assert np.all(d_inputs[:, 0] == 0)
    if numeric.X86:
        assert np.min(np.abs(d_inputs[d_inputs != 0])) >= np.finfo(np.float32).tiny
    assert np.float32(1e-30) * np.float32(1e-10) > 0


# -- masks


@pytest.mark.parametrize("samples", [3, 20])
def test_steps_that_are_not_valid_have_no_effect(samples):
    arguments = problem(samples=samples, unfolds=2)
    arguments["valid"][0] = False
    arguments["valid"][1:, 0] = True
    masked = ~arguments["valid"]
    seeds = RNG.standard_normal((samples, 4, 2)), RNG.standard_normal((samples, 6))
    results = []
    for inputs, time in ((0, 1), (np.nan, np.nan), (np.inf, -1), (3, 0)):
        arguments["inputs"][masked], arguments["times"][masked] = inputs, time
        outputs, final, kept = run(arguments)
        results.append([outputs, final, *gradients(arguments, *seeds, kept).values()])
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(x, y)
    _, _, d_inputs, _, d_times, *_ = results[0]
    assert np.all(d_inputs[masked] == 0)
    assert np.all(d_times[masked] == 0)
    untouched = arguments["resets"][0]
    untouched[:] = False
    _, final, _ = run(arguments)
    np.testing.assert_array_equal(final[0], arguments["first"][0])


def test_a_reset_forgets_what_was_before():
    arguments = problem(resets=False)
    arguments["resets"] = np.zeros((5, 4), bool)
    arguments["resets"][:, 2] = True
    results = []
    for before in (0, np.nan):
        arguments["first"][...] = arguments["inputs"][:, :2] = before
        outputs, final, kept = run(arguments)
        d_outputs = np.zeros_like(outputs)
        d_outputs[:, 2:] = 1
        d_inputs = gradients(arguments, d_outputs, np.ones_like(final), kept)["inputs"]
        results.append((outputs[:, 2:], final, d_inputs[:, 2:]))
    assert np.all(np.isnan(outputs[:, :2]))
    assert_same(*results)


# -- NaN


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("samples", [3, 20, 40])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_stays_in_its_sample(dtype, samples, bad):
    arguments = problem(samples=samples, dtype=dtype, masked=False, resets=False)
    seeds = [RNG.standard_normal(shape).astype(dtype) for shape in ((samples, 4, 2), (samples, 6))]

    def results():
        outputs, final, kept = run(arguments)
        actual = gradients(arguments, *seeds, kept)
        return outputs, final, actual["inputs"], actual["first"], actual["times"]

    clean = results()
    victim = 1
    arguments["first"][victim, :] = bad
    others = np.arange(samples) != victim
    spoilt = results()
    for x, y in zip(clean, spoilt, strict=True):
        np.testing.assert_array_equal(x[others], y[others])
    assert not np.any(np.isfinite(spoilt[1][victim]))


# -- threads and processes


@pytest.mark.parametrize("unit", [0, 1, 8])
def test_ranges_cover_all_samples(unit):
    for samples, threads in itertools.product((1, 2, 7, 8, 9, 64, 100), (1, 2, 3, 16)):
        parts = ranges(samples, 1e9, threads, unit)
        assert [i for begin, end in parts for i in range(begin, end)] == list(range(samples))
        assert len(parts) <= threads
        assert all(begin % (unit or 1) == 0 < end - begin for begin, end in parts)
        assert ranges(samples, 1, threads, unit) == [(0, samples)]


def big(dtype=np.float32):
    return problem(samples=70, steps=50, neurons=10, synapses=60, sensory=20, dtype=dtype)


def test_threads_agree_and_repeat():
    arguments = big(np.float64)
    one, two = both(arguments, 1), both(arguments, 2)
    assert_same(one, two, 1e-11)
    for threads, expected in ((1, one), (2, two)):
        for _ in range(3):
            assert_same(both(arguments, threads), expected)


def test_two_threads_at_once():
    arguments = [big(), big()]
    expected = [both(x, 2) for x in arguments]
    results: list[Any] = [None, None]

    def compute(i):
        results[i] = [both(arguments[i], 2) for _ in range(5)]

    workers = [threading.Thread(target=compute, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, several in enumerate(results):
        for result in several:
            assert_same(result, expected[i])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:os.fork:RuntimeWarning")
def test_forked_child():
    arguments = big()
    expected = both(arguments, 2)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert_same(both(arguments, 2), expected)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


# -- memory and layout


@pytest.mark.parametrize("samples", [1, 40])
def test_memory_without_gradient_does_not_grow_with_steps(samples):
    """But for the inputs that were given, and one output: NumPy's memory; what kernels take themselves is per block."""
    peaks = []
    for steps in (10, 1000):
        arguments = problem(samples=samples, steps=steps, times=(1, 1), masked=False, resets=False, sequences=False)
        forward(**arguments, keep=False, threads=1)
        tracemalloc.start()
        outputs, final, kept = forward(**arguments, keep=False, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert kept is None
        assert outputs.shape == (samples, 2)
        assert final.shape == (samples, 6)
    assert peaks[1] - peaks[0] < 2000


def test_keeping_changes_nothing():
    for samples, sequences in itertools.product((1, 40), (True, False)):
        arguments = problem(samples=samples, sequences=sequences)
        kept = forward(**arguments, keep=True, threads=1)
        plain = forward(**arguments, keep=False, threads=1)
        assert_same(kept[:2], plain[:2])


# -- functions of numbers


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_functions(dtype, tolerance):
    import numba

    @numba.vectorize
    def tanh(x):
        return numeric.tanh(x)

    @numba.vectorize
    def logistic(x):
        return numeric.logistic(x)

    small = np.logspace(-30, 0, 500)
    x = np.concatenate([np.linspace(-40, 40, 20001), small, -small]).astype(dtype)
    wide = np.linspace(-120, 120, 20001).astype(dtype)
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(tanh(x), np.tanh(exact).astype(dtype), rtol=tolerance)
    np.testing.assert_allclose(logistic(wide), 1 / (1 + np.exp2(wide.astype(np.longdouble))), rtol=tolerance)
    for function, ends in ((tanh, (-1, 1)), (logistic, (1, 0))):
        far = np.array([-np.inf, np.inf, -1e30, 1e30], dtype)
        np.testing.assert_allclose(function(far), [*ends, *ends], atol=tolerance)
        with np.errstate(invalid="ignore"):  # the float64 form shifts bits of it
            assert np.isnan(function(dtype(np.nan)))
