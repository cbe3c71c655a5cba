"""The kernels as XLA calls them, against the ops' own bodies on jax."""

import threading

import numpy as np
import pytest

import ncps
from ncps.backends.kernels import sequences
from ncps.layers import LTC, CfC
from ncps.ops.dispatch import COMPOSITES
from ncps.wirings import AutoNCP

jax = pytest.importorskip("jax")
nnx = pytest.importorskip("flax.nnx")
jnp = jax.numpy
if not sequences.wanted():
    pytest.skip("numba is not installed, or not wanted", allow_module_level=True)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
LAYERS = {
    "ltc": lambda: LTC(AutoNCP(9, 2), return_sequences=True, input_size=4),
    "ltc_last": lambda: LTC(5, unfolds=2, input_mapping=None, output_mapping="linear", input_size=4),
    "cfc": lambda: CfC(5, return_sequences=True, input_size=4),
    "cfc_wired": lambda: CfC(AutoNCP(9, 2), mode="no_gate", input_size=4),
    "cfc_pure": lambda: CfC(5, mode="pure", backbone_layers=2, backbone_activation="silu", input_size=4),
}
OPTIONS = {
    "plain": {},
    "number": {"timespans": 0.3},
    "all": {
        "timespans": RNG.uniform(0, 1, (3, 5)).astype("float32"),
        "mask": RNG.random((3, 5)) < 0.7,
        "resets": RNG.random((3, 5)) < 0.2,
    },
}


@pytest.fixture(params=LAYERS)
def layer(request):
    ncps.set_seed(0)
    with ncps.backend_scope("jax"):
        return LAYERS[request.param]()


@pytest.fixture
def fast(monkeypatch):
    """Runs a function of a layer's values by kernels, or by the bodies of the ops."""
    from ncps.backends.jax import sequences as bound

    monkeypatch.setattr(bound, "ENOUGH", dict.fromkeys(bound.ENOUGH, 0))
    table = ncps.backend.NCPSBackend.ops_of("jax")

    def run(function, *args, kernels=True, called=True):
        for name in bound.ENOUGH:
            monkeypatch.setitem(table, name, getattr(bound, name) if kernels else COMPOSITES[name])
        lowered = jax.jit(lambda *args: function(*args)).lower(*args)  # a function of its own: jax remembers the others
        assert not called or ("ncps_call" in lowered.as_text()) == kernels
        return lowered.compile()(*args)

    return run


def parts(layer):
    """A function of the layer's values and sequences, and the values."""
    graph, values, others = nnx.split(layer, nnx.Param, ...)
    return lambda values, x, **options: nnx.merge(graph, values, others, copy=True)(x, **options), values


def close(ours, theirs, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(jnp.max(jnp.abs(b)) + 1e-6))


def agree(layer, options, fast):
    """Holds outputs and gradients of kernels against those of the bodies."""
    outputs, values = parts(layer)

    def loss(values, x, options):
        y = outputs(values, x, **options)
        return jnp.sum(y * y), y

    function = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    close(*(fast(function, values, X, options, kernels=kernels) for kernels in (True, False)), 1e-4)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_values_and_gradients(layer, options, fast):
    agree(layer, options, fast)


@pytest.mark.parametrize("most_kept", [0, 2**31])
@pytest.mark.parametrize("options", ["number", "all"])
def test_long_sequences_in_chunks(layer, options, most_kept, fast, monkeypatch):
    from ncps.backends.jax import sequences as bound

    monkeypatch.setattr(bound, "CHUNK", 2)
    monkeypatch.setattr(bound, "MOST_KEPT", most_kept)
    agree(layer, OPTIONS[options], fast)
    outputs, values = parts(layer)
    close(*(fast(lambda v, x, o: outputs(v, x, **o), values, X, OPTIONS[options], kernels=k) for k in (True, False)))


@pytest.mark.parametrize("layer", ["ltc_last", "cfc_pure"], indirect=True)
def test_second_derivatives(layer, fast):
    outputs, values = parts(layer)

    def slope(values, x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(outputs(values, x) ** 2))(x) ** 2)

    close(*(fast(jax.grad(slope), values, X[:2, :3], kernels=kernels, called=False) for kernels in (True, False)), 1e-3)


@pytest.mark.parametrize("layer", ["ltc", "cfc_wired"], indirect=True)
def test_vmap_runs_one_element_after_the_other(layer, fast):
    outputs, values = parts(layer)
    each = fast(jax.vmap(lambda x: outputs(values, x)), np.stack([X, 2 * X]))
    close(each, [jnp.stack([outputs(values, X), outputs(values, 2 * X)])])


@pytest.mark.parametrize("layer", ["ltc", "cfc_wired"], indirect=True)
def test_threads_may_call_at_once_while_others_compile(layer, fast):
    outputs, values = parts(layer)
    found = []

    def work(scale):
        compiled = jax.jit(lambda values, x: outputs(values, scale * x))
        found.append((scale, [compiled(values, X) for _ in range(5)]))

    expected = [fast(lambda v, x, s=scale: outputs(v, s * x), values, X) for scale in (1.0, 2.0, 3.0)]
    threads = [threading.Thread(target=work, args=(scale,)) for scale in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    for scale, each in found:
        close(each, [expected[int(scale) - 1]] * 5)


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt])
def test_an_error_in_a_call_is_raised(kind, fast):
    from ncps.backends.jax import calls

    def fail(options, arguments, results):
        raise kind(f"{options['number']}")

    calls.FUNCTIONS[kind.__name__] = fail
    try:
        with pytest.raises(Exception, match=f"{kind.__name__}: .?7"):
            calls.call(kind.__name__, {"number": 7}, [jax.ShapeDtypeStruct((2,), "float32")], [jnp.zeros(3)])[
                0
            ].block_until_ready()
    finally:
        del calls.FUNCTIONS[kind.__name__]


def test_another_version_of_the_interface_is_refused(fast, monkeypatch):
    from ncps.backends.jax import calls

    assert calls.AVAILABLE
    monkeypatch.setattr(calls, "MAJOR", 1)
    with pytest.warns(RuntimeWarning, match="without compiled kernels"):
        assert not calls.registered("ncps_of_another_version")


def test_without_the_interface_the_own_bodies_run(fast, monkeypatch):
    from ncps.backends.jax import calls

    with ncps.backend_scope("jax"):
        layer = CfC(5, input_size=4)
    with_kernels = fast(layer, X)
    monkeypatch.setattr(calls, "AVAILABLE", False)
    assert "ncps_call" not in jax.jit(lambda x: layer(x)).lower(X).as_text()
    close(layer(X), with_kernels)
