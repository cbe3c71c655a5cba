"""Single streams of LTC on NumPy without kernels, against the body of the op."""

import itertools

import numpy as np
import pytest

import ncps
from ncps.backends.numpy import streams
from ncps.layers import LTC
from ncps.ops.dispatch import COMPOSITES
from ncps.wirings import AutoNCP

RNG = np.random.default_rng(0)
STEPS = 7
X = RNG.normal(size=(STEPS, 1, 3))
MASK, RESETS = np.array([1, 1, 0, 1, 0, 1, 1], bool), np.array([0, 1, 0, 0, 1, 0, 0], bool)
TIMES = {
    "a number": np.float64(0.3),
    "others each": RNG.uniform(0, 2, (STEPS, 1, 1)),
    "none": np.float64(0),
    "some none": np.where(MASK[:, None, None], RNG.uniform(0, 2, (STEPS, 1, 1)), 0.0),
    "next to none": np.full((STEPS, 1, 1), 1e-300),
}


@pytest.fixture(scope="module")
def network():
    """What the op takes of a network."""
    ncps.set_seed(0)
    with ncps.backend_scope("numpy"):
        cell = LTC(AutoNCP(9, 2), input_size=3, dtype="float64").cell
        yield cell.weights_of_sequence(), cell.ends_of_synapses()


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("flags", [(None, None), (MASK[:, None, None], RESETS[:, None, None])], ids=["plain", "flags"])
@pytest.mark.parametrize("times", TIMES)
def test_stream_is_the_body(network, times, flags, every):
    args = X, np.full((1, 9), 0.1), TIMES[times], *flags, *network, 6, 1e-8, 2, every
    outputs, final = streams.ltc_sequence(*args)
    expected, last = COMPOSITES["ltc_sequence"](*args)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(final, last, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("times", ["a number", "others each"])
def test_stream_runs_without_the_body(network, times, monkeypatch):
    monkeypatch.delitem(COMPOSITES, "ltc_sequence")
    streams.ltc_sequence(X, np.zeros((1, 9)), TIMES[times], None, None, *network, 6, 1e-8, 2, True)


@pytest.mark.parametrize("run", [streams.ltc_sequence, ncps.backend.NCPSBackend.ops_of("numpy")["ltc_sequence"]])
def test_a_stream_looks_at_all_synapses(run, network):
    """Two networks may have some of their arrays in common."""
    weights, synapses = network
    counts = np.diff(synapses.sensory_start)[::-1]
    target, start = np.repeat(np.arange(9), counts), np.concatenate([[0], np.cumsum(counts)])
    other_sources = synapses._replace(sensory_source=synapses.sensory_source[::-1].copy())
    other_targets = synapses._replace(sensory_target=target.astype(np.int32), sensory_start=start.astype(np.int32))
    found = []
    for ends in (synapses, other_sources, other_targets):
        args = X, np.zeros((1, 9)), np.float64(1), None, None, weights, ends, 6, 1e-8, 2, True
        found.append(run(*args)[0])
        np.testing.assert_allclose(found[-1], COMPOSITES["ltc_sequence"](*args)[0], rtol=1e-9)
    assert not any(np.allclose(*pair) for pair in itertools.combinations(found, 2))


def test_nan_goes_where_synapses_lead(network):
    weights, synapses = network
    first = np.zeros((1, 9))
    first[0, 0] = np.nan  # a motor neuron: some others do not hear of it
    args = X[:1], first, np.float64(1), None, None, weights, synapses, 1, 1e-8, 2, False
    found, expected = (run(*args)[1] for run in (streams.ltc_sequence, COMPOSITES["ltc_sequence"]))
    assert 0 < np.isnan(expected).sum() < 9
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
