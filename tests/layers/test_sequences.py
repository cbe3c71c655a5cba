"""Every way of running a sequence: on NumPy each against its meaning, then all backends against NumPy."""

import numpy as np
import pytest
from native import can_train, compiled_once, projected, to_numpy, value_and_gradients
from test_harness import LAYERS as SPECS, RNNS, Leaky, some_go_without  # noqa: F401 - a fixture

import ncps
from ncps import ops, tree
from ncps.backend import backend_scope
from ncps.layers import (
    GRU,
    LSTM,
    LTC,
    RNN,
    Bidirectional,
    CfC,
    CfCCell,
    Dense,
    LinOSS,
    LSTMCell,
    LTCCell,
    MixedMemory,
    StackedRNNCells,
    TimeDistributed,
)
from ncps.wirings import AutoNCP

LAYERS = [name for name in RNNS if name not in ("sequential_ltc", "bidirectional")]
RNG = np.random.default_rng(8)
B, T, F = 3, 6, 2
X = RNG.normal(size=(B, T, F)).astype(np.float32)
TIMES = RNG.uniform(0.1, 1.5, size=(B, T)).astype(np.float32)
MASKS = {
    "right": [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]],
    "left": [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0, 0, 1], [0, 1, 1, 0, 1, 0], [1, 0, 0, 0, 0, 0]],
}
MASKS = {name: np.array(mask, bool) for name, mask in MASKS.items()}
RESETS = np.array([[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)


SHOWING_ALL = {"return_sequences": True, "return_state": True, "go_backwards": False}


def made(name, **options):
    """The layer of the harness, with other options of `RNN`, and nothing in its weights alike."""
    spec = SPECS[name]
    ncps.set_seed(11)
    first = spec.make()
    config = first.get_config() | {**SHOWING_ALL, **options}
    ncps.set_seed(11)
    layer = type(first).from_config(config)
    layer.ensure_built((B, T, F))
    return shaken(layer)


def shaken(layer):
    rng = np.random.default_rng(4)
    layer.set_weights([w + rng.uniform(0.01, 0.2, w.shape).astype(np.float32) for w in layer.get_weights()])
    return layer


def run(layer, *args, **options):
    """The outputs, and the leaves of the state where it is returned; jax compiles one program in place of fifty."""
    stateful = any(getattr(each, "stateful", False) for each in layer.layers_within())
    with backend_scope(layer.bound_to):
        if layer.bound_to == "jax" and layer.built and not stateful:
            outputs = compiled_once(lambda layer: layer(*args, **options), layer)
        else:
            outputs = layer(*args, **options)
        return [to_numpy(x) for x in tree.flatten(outputs)[0]]


def close(got, wanted, tolerance=2e-6):
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.fixture
def on_numpy():
    with backend_scope("numpy"):
        yield


# ---- what the features mean


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("name", LAYERS)
class TestMeaning:
    @pytest.mark.parametrize("padding", list(MASKS))
    def test_a_masked_batch_is_each_series_alone(self, name, padding):
        layer, mask = made(name), MASKS[padding]
        x, times = X.copy(), TIMES.copy()
        x[~mask] = np.nan  # whatever stands there
        times[~mask] = 99.0
        outputs, *states = run(layer, x, timespans=times, mask=mask)
        for i in range(B):
            alone, *own = run(layer, X[i][mask[i]], timespans=TIMES[i][mask[i]])
            close([outputs[i][mask[i]], *(s[i] for s in states)], [alone, *own])

    def test_a_masked_step_repeats_the_output_or_gives_zeros(self, name):
        mask = MASKS["holes"]
        repeated = run(made(name), X, mask=mask)[0]
        zeros = run(made(name, zero_output_for_mask=True), X, mask=mask)[0]
        for i in range(B):
            for t in range(T):
                if mask[i, t]:
                    np.testing.assert_array_equal(zeros[i, t], repeated[i, t])
                else:
                    assert not zeros[i, t].any()
                    if t > 0:
                        np.testing.assert_array_equal(repeated[i, t], repeated[i, t - 1])
        last = run(made(name, return_sequences=False), X, mask=mask)[0]
        np.testing.assert_array_equal(last, repeated[:, -1])

    def test_a_wholly_masked_sample_keeps_its_initial_state(self, name):
        layer = made(name)
        start = tree.map(lambda size: RNG.normal(size=(B, size)).astype(np.float32), layer.cell.state_size)
        mask = np.ones((B, T), bool)
        mask[1] = False
        for state, first in zip(run(layer, X, start, mask)[1:], tree.flatten(start)[0], strict=True):
            np.testing.assert_array_equal(state[1], first[1])

    def test_backwards_is_the_flipped_sequence(self, name):
        options = {"timespans": TIMES, "mask": MASKS["right"], "resets": RESETS}
        flipped = {key: value[:, ::-1] for key, value in options.items()}
        close(run(made(name, go_backwards=True), X, **options), run(made(name), X[:, ::-1], **flipped), 0)

    def test_a_sequence_in_parts_is_the_whole(self, name):
        layer = made(name)
        wanted = run(layer, X, timespans=TIMES, resets=RESETS)
        first, state = layer(X[:, :2], timespans=TIMES[:, :2], resets=RESETS[:, :2])
        second, state = layer(X[:, 2:], initial_state=state, timespans=TIMES[:, 2:], resets=RESETS[:, 2:])
        close([np.concatenate([first, second], 1), *tree.flatten(state)[0]], wanted)
        close(
            [layer(X[:, 2:], initial_state=list(tree.flatten(state)[0]))[0]], [layer(X[:, 2:], initial_state=state)[0]]
        )

    def test_resets_start_afresh(self, name):
        layer = made(name)
        outputs, *states = run(layer, X, timespans=TIMES, resets=RESETS)
        for i in range(B):
            ends = [*np.flatnonzero(RESETS[i]), T]
            parts, begin = [], 0
            for end in ends:
                if end > begin:
                    part = run(layer, X[i, begin:end], timespans=TIMES[i, begin:end])
                    parts.append(part[0])
                begin = end
            close([outputs[i], *(s[i] for s in states)], [np.concatenate(parts), *part[1:]])

    def test_a_stream_with_resets_is_the_sequence(self, name):
        layer = made(name)
        wanted, *states = run(layer, X, timespans=TIMES, resets=RESETS)
        state, outputs = None, []
        for t in range(T):
            output, state = layer.step(X[:, t], state, timespan=TIMES[:, t], reset=RESETS[:, t])
            outputs.append(output)
        close([np.stack(outputs, 1), *tree.flatten(state)[0]], [wanted, *states])

    def test_a_reset_at_a_masked_step_counts(self, name):
        layer, mask = made(name), np.ones((1, T), bool)
        mask[0, 2] = False
        resets = np.zeros((1, T), bool)
        resets[0, 2] = True
        outputs, *states = run(layer, X[:1], mask=mask, resets=resets)
        alone, *own = run(layer, X[:1, 3:])
        close([outputs[:, 3:], *states], [alone, *own])

    def test_a_single_series_has_no_batch_axis(self, name):
        layer = made(name)
        options = {"timespans": TIMES, "mask": MASKS["holes"], "resets": RESETS}
        wanted = run(layer, X, **options)
        close(run(layer, X[0], **{key: value[0] for key, value in options.items()}), [x[0] for x in wanted])

    def test_padding_has_no_gradient_and_unrolling_changes_nothing(self, name):
        close(run(made(name, unroll=True), X, timespans=TIMES), run(made(name), X, timespans=TIMES), 0)

    def test_stateful_goes_on_where_the_call_before_ended(self, name):
        wanted = run(made(name), X, timespans=TIMES)
        layer = made(name, stateful=True)
        for _ in range(2):
            first = run(layer, X[:, :2], timespans=TIMES[:, :2])[0]
            second, *states = run(layer, X[:, 2:], timespans=TIMES[:, 2:])
            close([np.concatenate([first, second], 1), *states], wanted)
            with pytest.raises(ValueError, match=r"batch of 3 samples.*2 samples.*reset_state"):
                layer(X[:2])
            layer.reset_state()
        given = run(layer, X, tree.map(lambda size: np.ones((B, size), np.float32), layer.cell.state_size))
        layer.reset_state()
        layer.reset_state()
        assert np.abs(given[0] - run(layer, X)[0]).max() > 1e-4
        layer.reset_state()
        assert len(run(layer, X[:2])[0]) == 2


# ---- the same on every backend

BACKWARDS = {"go_backwards": True, "zero_output_for_mask": True}
UNROLLED = {"unroll": True, "return_sequences": False}
FEATURES = {
    "mask_and_state": ({}, {"timespans": TIMES, "mask": MASKS["holes"]}, True),
    "backwards": (BACKWARDS, {"timespans": TIMES[0], "mask": MASKS["right"]}, False),
    "resets": (UNROLLED, {"timespans": 0.4, "mask": MASKS["left"], "resets": RESETS}, True),
    "chunks": (BACKWARDS, {"timespans": TIMES, "mask": MASKS["holes"], "resets": RESETS}, True),
}


@pytest.mark.parametrize("feature", list(FEATURES))
@pytest.mark.parametrize("name", LAYERS)
def test_features_give_what_they_give_on_numpy(backend, name, feature, request):
    options, call, initial = FEATURES[feature]
    layer = made(name, **options)
    with backend_scope("numpy"):
        exact = made(name, **options)
    if initial:
        rng = np.random.default_rng(6)
        sizes = layer.cell.state_size
        call = call | {"initial_state": tree.map(lambda size: rng.normal(size=(B, size)).astype(np.float32), sizes)}
    wanted = run(exact, X, **call)
    if feature == "chunks":
        request.getfixturevalue("short_chunks")
    close(run(layer, X, **call), wanted)


@pytest.mark.parametrize("name", LAYERS)
def test_stateful_layers_give_what_they_give_on_numpy(backend, name):
    layer = made(name, stateful=True)
    with backend_scope("numpy"):
        wanted = run(made(name), X, timespans=TIMES)
    for _ in range(2):
        first = run(layer, X[:, :3], timespans=TIMES[:, :3])[0]
        second, *states = run(layer, X[:, 3:], timespans=TIMES[:, 3:])
        close([np.concatenate([first, second], 1), *states], wanted)
        layer.reset_state()
    assert not any("state" in path for path in layer.weight_paths())


STATEFUL = {
    "ltc": lambda: LTC(AutoNCP(6, 2), unfolds=2, stateful=True),
    "mixed": lambda: MixedMemory(LSTMCell(3), stateful=True),
}


@pytest.mark.parametrize("name", list(STATEFUL))
def test_no_gradient_passes_from_call_to_call(backend, name):
    """The second call knows the state of the first as a constant: its gradients are those of that initial state."""
    if not can_train(backend):
        pytest.skip("no gradients there")
    ncps.set_seed(2)
    layer = STATEFUL[name]()
    projection = [RNG.normal(size=to_numpy(layer(X)).shape)]
    kept = [to_numpy(layer.read_state(state)) for state in layer.state_names()]

    def loss(layer, **options):
        outputs = layer(X, **options)
        return projected(outputs, projection), outputs

    _, output, gradients = value_and_gradients(layer, loss)
    _, wanted_output, wanted = value_and_gradients(layer, lambda layer: loss(layer, initial_state=kept))
    np.testing.assert_allclose(output, wanted_output, rtol=0, atol=2e-6)
    for path, gradient in wanted.items():
        np.testing.assert_allclose(gradients[path], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max(), err_msg=path)


GRADIENTS = {
    "ltc": lambda: LTC(AutoNCP(6, 2), unfolds=2, return_sequences=True),
    "cfc": lambda: CfC(3, backbone_units=4, return_sequences=True),
    "lstm": lambda: LSTM(3, append_timespans=True, return_sequences=True),
    "linoss": lambda: LinOSS(3, return_sequences=True),
    "both": lambda: Bidirectional(GRU(3, return_sequences=True)),
}


@pytest.mark.usefixtures("short_chunks")
@pytest.mark.parametrize("name", list(GRADIENTS))
def test_gradients_of_a_masked_batch_are_those_of_each_series_alone(backend, name):
    if not can_train(backend):
        pytest.skip("no gradients there")
    ncps.set_seed(2)
    layer = GRADIENTS[name]()
    outputs = to_numpy(layer(X))
    mask = MASKS["left"]
    projection = RNG.normal(size=outputs.shape).astype(np.float32) * mask[..., None]
    x = X.copy()
    x[~mask] = np.nan

    def masked(layer):
        outputs = layer(x, timespans=TIMES, mask=mask)
        return projected(outputs, [projection]), ()

    def alone(layer):
        total = 0.0
        for i in range(B):
            outputs = layer(X[i][mask[i]], timespans=TIMES[i][mask[i]])
            total = total + projected(outputs, [projection[i][mask[i]]])
        return total, ()

    (_, _, gradients), (_, _, wanted) = value_and_gradients(layer, masked), value_and_gradients(layer, alone)
    for path, gradient in wanted.items():
        error = np.abs(gradients[path] - gradient).max()
        assert error < 2e-5 * max(np.abs(gradient).max(), 1e-3), path


# ---- both directions, stacks, steps of time

MERGED = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("mode", [*MERGED, None])
def test_both_directions(backend, mode, sequences):
    ncps.set_seed(3)
    layer = Bidirectional(LTC(3, unfolds=2, return_sequences=sequences, return_state=True), mode)
    options = {"timespans": TIMES, "mask": MASKS["holes"], "resets": RESETS}
    start = [RNG.normal(size=(B, 3)).astype(np.float32) for _ in range(2)]
    merged, *states = run(layer, X, **options, initial_state=start)[-4 if mode is None else -3 :]
    with backend_scope("numpy"):
        forward = LTC(3, unfolds=2, return_sequences=sequences, return_state=True, input_size=F)
        backward = LTC(3, unfolds=2, return_sequences=sequences, return_state=True, go_backwards=True, input_size=F)
    forward.set_weights(layer.layer.get_weights())
    backward.set_weights(layer.backward_layer.get_weights())
    assert any((a != b).any() for a, b in zip(forward.get_weights(), backward.get_weights(), strict=True))
    (a, a_state), (b, b_state) = run(forward, X, start[0], **options), run(backward, X, start[1], **options)
    b = b[:, ::-1] if sequences else b
    if mode is None:
        close([merged, *states], [a, b, a_state, b_state])
    else:
        close([merged, *states], [MERGED[mode](a, b), a_state, b_state])
    single = run(layer, X[1], **{key: value[1] for key, value in options.items()}, initial_state=[s[1] for s in start])
    close(single[:1], [merged[1]])


def test_a_backward_layer_of_its_own(backend):
    both = Bidirectional(CfC(4, return_sequences=True), "concat", GRU(3, return_sequences=True, go_backwards=True))
    assert tuple(both(X).shape) == (B, T, 7)
    again = type(both).from_config(both.get_config())
    assert tuple(again(X).shape) == (B, T, 7)


def test_stateful_in_both_directions(backend):
    layer = Bidirectional(LTC(3, unfolds=2, stateful=True))
    first = run(layer, X)[0]
    assert np.abs(run(layer, X)[0] - first).max() > 1e-4
    layer.reset_state()
    np.testing.assert_allclose(run(layer, X)[0], first, rtol=0, atol=1e-6)


def test_layers_share_a_wiring(backend):
    """Each works on its own copy, also with another number of inputs."""
    wiring = AutoNCP(8, 2, seed=1)
    layers = [LTC(wiring, unfolds=2, return_sequences=True), CfC(wiring, return_sequences=True), LTC(wiring, unfolds=2)]
    x = X
    for layer in layers:
        x = layer(x, timespans=TIMES)
    assert tuple(x.shape) == (B, 2)
    assert [layer.cell.wiring.input_dim for layer in layers] == [2, 2, 2]
    other = LTC(wiring)(np.zeros((1, 2, 5), np.float32))
    assert tuple(other.shape) == (1, 2)


def test_stacked_cells_are_stacked_layers(backend):
    cells = [CfCCell(4, backbone_units=5), LTCCell(AutoNCP(6, 2), unfolds=2), LSTMCell(3)]
    stack = RNN(StackedRNNCells(cells), return_sequences=True)
    options = {"timespans": TIMES, "mask": MASKS["holes"], "resets": RESETS}
    got = run(stack, X, **options)
    x = X
    for cell in stack.cell.cells:
        layer = RNN(type(cell).from_config(cell.get_config()), return_sequences=True)
        layer.ensure_built(tuple(x.shape))
        layer.set_weights(cell.get_weights())
        x = layer(x, **options)
    close(got, [to_numpy(x)])


def test_time_distributed_is_every_step(backend):
    images = RNG.normal(size=(2, 3, 4, 2)).astype(np.float32)
    for inner in (Dense(5, "tanh"), CfC(3)):
        layer = TimeDistributed(inner)
        got = run(layer, images)[0]
        close([got[:, t] for t in range(3)], [run(inner, images[:, t])[0] for t in range(3)], 1e-6)
        assert tuple(layer.compute_output_shape(images.shape)) == got.shape


def test_cells_of_users_in_every_wrapper(backend):
    for make in (
        lambda: MixedMemory(Leaky(3)),
        lambda: MixedMemory(Leaky(3), memory_to="state"),
        lambda: RNN(StackedRNNCells([Leaky(3), LTCCell(2), Leaky(4)])),
        lambda: Bidirectional(RNN(Leaky(3)), None),
    ):
        ncps.set_seed(1)
        layer = make()
        got = run(layer, X, timespans=TIMES, mask=MASKS["holes"])
        with backend_scope("numpy"):
            ncps.set_seed(1)
            close(got, run(make(), X, timespans=TIMES, mask=MASKS["holes"]))


def test_dropout_within_wrappers_draws_at_every_step(backend):
    cells = [LSTMCell(3), CfCCell(8, backbone_units=16, backbone_dropout=0.5)]
    layer = RNN(StackedRNNCells(cells), return_sequences=True)
    x = np.ones((1, 4, 2), np.float32)
    ncps.set_seed(0)
    quiet = run(layer, x, training=False)[0]
    np.testing.assert_array_equal(quiet, run(layer, x, training=False)[0])
    loud = run(layer, x, training=True)[0]
    assert np.abs(loud - quiet).max() > 1e-3
    assert np.abs(loud - run(layer, x, training=True)[0]).max() > 1e-3


# ---- the parallel layer


@pytest.fixture(scope="module")
def long_series():
    """Inputs, times, and the outputs of the sequential form; imex grows where steps are irregular."""
    x = np.random.default_rng(0).normal(size=(1, 4096, 2)).astype(np.float32)
    times = {"im": np.random.default_rng(1).uniform(0.2, 1.5, (1, 4096)).astype(np.float32), "imex": 1.0}
    with backend_scope("numpy"):
        return {name: (x, t, run(oscillators(name, parallel=False), x, timespans=t)[0]) for name, t in times.items()}


def oscillators(discretization, parallel=True):
    ncps.set_seed(0)
    return LinOSS(4, discretization=discretization, return_sequences=True, parallel=parallel, input_size=2)


@pytest.mark.parametrize("discretization", ["im", "imex"])
def test_the_parallel_layer_is_the_sequential_one(backend, discretization, long_series):
    x, times, wanted = long_series[discretization]
    got = run(oscillators(discretization), x, timespans=times)[0]
    scale = 1 if discretization == "im" else np.abs(wanted).max()
    np.testing.assert_allclose(got / scale, wanted / scale, rtol=0, atol=1e-4)


def test_a_reset_ends_nan(backend):
    """Whether it came from the inputs or the initial state, also at a masked step; neither do gradients get any."""
    start = np.full((B, 12), np.nan, np.float32)
    mask, resets = MASKS["holes"], np.zeros((B, T), bool)
    resets[:, [0, 4]] = True
    x = X.copy()
    x[:, 2] = np.nan
    layers = {}
    for parallel in (True, False):
        ncps.set_seed(0)
        layers[parallel] = LinOSS(3, return_sequences=True, return_state=True, parallel=parallel, input_size=F)
    for options in ({}, {"mask": mask, "timespans": TIMES}):
        wanted = run(layers[False], x, start, resets=resets, **options)
        assert np.isfinite(wanted[0][:, 4:]).all()
        assert np.isfinite(wanted[1]).all()
        assert np.isnan(wanted[0][0, 2]).all()
        close(run(layers[True], x, start, resets=resets, **options), wanted)
    if can_train(backend):
        for layer in layers.values():
            _, _, gradients = value_and_gradients(layer, lambda layer: (ops.sum(layer(X, start, resets=resets)[0]), ()))
            assert all(np.isfinite(gradient).all() and gradient.any() for gradient in gradients.values())


@pytest.mark.slow
def test_a_hundred_thousand_steps_train(backend):
    if backend not in ("torch", "jax", "tensorflow"):
        pytest.skip("slow there, or no gradients")
    ncps.set_seed(0)
    layer = LinOSS(4, input_size=1)
    x = np.random.default_rng(0).normal(size=(1, 100_000, 1)).astype(np.float32)

    def loss(layer):
        return ops.mean(ops.square(layer(x))), ()

    value, _, gradients = value_and_gradients(layer, loss)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients.values())
