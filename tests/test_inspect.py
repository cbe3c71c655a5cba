"""Looking inside, against formulas in float64 that use nothing of the layers but their weights."""

import subprocess
import sys

import numpy as np
import pytest

from ncps import inspect, tree
from ncps.layers import (
    CTRNN,
    GRU,
    LRC,
    LSTM,
    LTC,
    RNN,
    STC,
    Bidirectional,
    Cell,
    CfC,
    CfCCell,
    Dense,
    LinOSS,
    LTCCell,
    MixedMemory,
    MixedMemoryCell,
    NeuralODE,
    StackedRNNCells,
    TimeDistributed,
)
from ncps.wirings import AutoNCP

B, T, F, N = 2, 5, 3, 8
rng = np.random.default_rng(0)
SERIES = rng.normal(size=(B, T, F)).astype(np.float32)
ELAPSED = rng.uniform(0.1, 2.0, (B, T)).astype(np.float32)
RESETS = np.array([[0, 0, 1, 0, 0], [1, 0, 0, 0, 1]], bool)
MASK = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool)
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


def auto():
    return AutoNCP(N, 2, seed=1)


def stacked(**options):
    return RNN(StackedRNNCells([LTCCell(4, unfolds=2), MixedMemoryCell(CfCCell(3, backbone_units=4))]), **options)


LAYERS = {
    "ltc": lambda **o: LTC(auto(), unfolds=2, **o),
    "wired_cfc": lambda **o: CfC(auto(), **o),
    "lstm": lambda **o: LSTM(4, **o),
    "linoss": lambda **o: LinOSS(2, output_units=3, **o),
    "stacked": stacked,
}


def given_weights(layer):
    """Weights in which nothing is zero or the same as another, the same on all backends."""
    generator = np.random.default_rng(3)
    weights = [
        np.float32(value + generator.uniform(0.05, 0.3, value.shape)) if value.size else value
        for value in layer.get_weights()
    ]
    layer.set_weights(weights)
    return layer


def weights_of(layer):
    """Weights of the cell in float64, by name."""
    paths = [path.removeprefix("cell/") for path in layer.weight_paths()]
    return dict(zip(paths, (np.float64(value) for value in layer.get_weights()), strict=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def before_each_step(layer, **options):
    """The states (B, T, N) in which the steps begin, of `layer.step` one by one."""
    state, states = None, []
    for t in range(T):
        reset = RESETS[:, t] if "resets" in options else None
        began = np.zeros((B, layer.cell.state_size)) if state is None else inspect.to_array(state)
        states.append(np.where(reset[:, None], 0, began) if reset is not None else began)
        _, state = layer.step(SERIES[:, t], state, timespan=ELAPSED[:, t], reset=reset)
    return np.float64(np.stack(states, 1))


def synapses_of(adjacency):
    return [
        (source, target)
        for target in range(adjacency.shape[1])
        for source in range(adjacency.shape[0])
        if adjacency[source, target]
    ]


def flows(layer, states):
    """Openness and conductance (B, T, E) of the synapses among neurons and from inputs, and their ends."""
    p, wiring = weights_of(layer), layer.cell.wiring
    inputs = np.float64(SERIES) * p["input_w"] + p["input_b"]
    found = []
    for prefix, values, adjacency in (
        ("", states, wiring.adjacency_matrix),
        ("sensory_", inputs, wiring.sensory_adjacency_matrix),
    ):
        source, target = np.array(synapses_of(adjacency)).T
        openness = sigmoid(p[f"{prefix}sigma"] * (values[:, :, source] - p[f"{prefix}mu"]))
        found.append((source, target, openness, p[f"{prefix}w"] * openness))
    return found


def summed(values, target):
    """Sums (B, T, N) over the synapses of each neuron."""
    return np.stack([values[..., target == neuron].sum(-1) for neuron in range(N)], -1)


# ---- activity


@pytest.mark.parametrize("name", LAYERS)
def test_activity_is_that_of_the_stream_step_by_step(name, backend):
    layer = given_weights(LAYERS[name](input_size=F, return_state=True))
    seen = inspect.activity(layer, SERIES, timespans=ELAPSED, resets=RESETS)
    state = None
    for t in range(T):
        output, state = layer.step(SERIES[:, t], state, timespan=ELAPSED[:, t], reset=RESETS[:, t])
        np.testing.assert_allclose(seen.outputs[:, t], inspect.to_array(output), **CLOSE)
        tree.map(lambda all_, one, t=t: np.testing.assert_allclose(all_[:, t], one, **CLOSE),
                 seen.states, tree.map(inspect.to_array, state))  # fmt: skip
    assert seen.outputs.dtype == np.float32
    assert seen.outputs.shape == (B, T, layer.cell.output_size)


def test_activity_goes_with_the_layers_outputs(backend):
    options = {"go_backwards": True, "zero_output_for_mask": True, "return_sequences": True}
    layer = given_weights(LTC(auto(), input_size=F, unfolds=2, **options))
    start = np.full((B, N), 0.3, np.float32)
    call = {"timespans": ELAPSED, "mask": MASK, "initial_state": start}
    seen = inspect.activity(layer, SERIES, **call)
    np.testing.assert_allclose(seen.outputs, inspect.to_array(layer(SERIES, **call)), **CLOSE)
    np.testing.assert_array_equal(seen.states[0, 0], start[0])  # masked, and first, as the layer runs backwards
    np.testing.assert_array_equal(seen.states[0, 2], seen.states[0, 1])
    assert (seen.states[0, 1] != seen.states[0, 0]).all()


def test_a_single_series_has_no_batch_axis(backend):
    layer = given_weights(LTC(auto(), input_size=F))
    single, batch = (inspect.activity(layer, x, timespans=0.5) for x in (SERIES[0], SERIES))
    assert single.states.shape == (T, N)
    np.testing.assert_allclose(single.states, batch.states[0], **CLOSE)
    np.testing.assert_allclose(single.outputs, batch.outputs[0], **CLOSE)
    assert inspect.time_constants(layer, SERIES[0]).shape == (T, N)
    assert inspect.synapses(layer, SERIES[0]).sensory_openness.shape == (T, layer.cell.wiring.sensory_synapse_count)


def test_a_layer_is_built_and_stays_as_it_was(backend):
    layer = CfC(8, backbone_dropout=0.5, stateful=True)
    if backend == "keras":
        layer = CfC(8, backbone_dropout=0.5)
    first, again = (inspect.activity(layer, SERIES) for _ in range(2))
    assert layer.built
    np.testing.assert_array_equal(first.states, again.states)  # no dropout, no state kept
    with pytest.raises(ValueError, match="features"):
        inspect.activity(layer, SERIES[:, :, :2])


def test_a_call_that_fails_builds_nothing():
    layer = LTC(auto())
    with pytest.raises(ValueError, match="mask"):
        inspect.activity(layer, SERIES, mask=np.ones((B, T + 1)))
    assert not layer.built
    with pytest.raises(ValueError, match=r"timespans\[1, 2\] = -1.0"):
        inspect.activity(layer, SERIES, timespans=np.where(np.arange(B * T).reshape(B, T) == 7, -1.0, 1.0))


def test_a_stateful_layer_starts_from_its_state():
    layer = given_weights(GRU(4, input_size=F, stateful=True, return_sequences=True))
    layer(SERIES)
    seen = inspect.activity(layer, SERIES)
    np.testing.assert_allclose(seen.outputs, layer(SERIES), **CLOSE)


def test_a_users_cell():
    class Leaky(Cell):
        state_size = output_size = 3

        def call(self, inputs, states, *, timespan=1.0, training=None):
            states = states + timespan * inputs
            return 2 * states, states

    seen = inspect.activity(RNN(Leaky()), SERIES, timespans=0.5)
    np.testing.assert_allclose(seen.states, 0.5 * np.cumsum(SERIES, 1), **CLOSE)
    np.testing.assert_allclose(seen.outputs, np.cumsum(SERIES, 1), **CLOSE)


# ---- time constants


def test_time_constants_of_an_ltc(backend):
    layer = given_weights(LTC(auto(), input_size=F))
    seen = inspect.time_constants(layer, SERIES, timespans=ELAPSED, resets=RESETS)
    p = weights_of(layer)
    inner, sensory = flows(layer, before_each_step(layer, resets=RESETS))
    conductance = summed(inner[3], inner[1]) + summed(sensory[3], sensory[1])
    np.testing.assert_allclose(seen, p["cm"] / (p["gleak"] + conductance), **CLOSE)
    total = summed(p["w"], inner[1]) + summed(p["sensory_w"], sensory[1])  # theorem 1
    tau = p["cm"] / p["gleak"]
    assert (seen <= tau * 1.00001).all()
    assert (seen >= tau / (1 + tau * total / p["cm"]) * 0.99999).all()


@pytest.mark.parametrize("elastance", [None, "asymmetric", "symmetric"])
def test_time_constants_of_an_lrc_and_an_stc(elastance, backend):
    make = STC if elastance is None else LRC
    layer = given_weights(make(auto(), input_size=F, **({} if elastance is None else {"elastance": elastance})))
    seen = inspect.time_constants(layer, SERIES, timespans=ELAPSED)
    p, states = weights_of(layer), before_each_step(layer)
    inner, sensory = flows(layer, states)
    decay = sigmoid(p["gleak"] + summed(inner[3], inner[1]) + summed(sensory[3], sensory[1]))
    if elastance is not None:
        inputs = np.float64(SERIES) * p["input_w"] + p["input_b"]
        z = p["elastance_b"] + summed(states[:, :, inner[0]] * p["elastance_w"], inner[1])
        z = z + summed(inputs[:, :, sensory[0]] * p["sensory_elastance_w"], sensory[1])
        k = p.get("elastance_k")
        decay = decay * (sigmoid(z) if k is None else sigmoid(z + k) - sigmoid(z - k))
    np.testing.assert_allclose(seen, 1 / decay, **CLOSE)
    if elastance is None:
        assert ((seen > 1) & (seen <= 2)).all()


def test_time_constants_of_a_ctrnn(backend):
    tau = [0.5, 1.0, 8.0]
    layer = CTRNN(3, tau=tau, input_size=F)
    np.testing.assert_allclose(inspect.time_constants(layer, SERIES), np.broadcast_to(tau, (B, T, 3)), rtol=1e-6)
    weights = dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))
    layer.set_weights(list((weights | {"cell/decay": np.float32([0, 1, 2])}).values()))
    np.testing.assert_allclose(inspect.time_constants(layer, SERIES)[0, 0], [np.inf, 1, 0.5])


@pytest.mark.parametrize("mode", ["default", "no_gate", "pure"])
def test_time_constants_of_a_cfc(mode, backend):
    layer = given_weights(CfC(4, mode=mode, backbone_units=6, input_size=F))
    seen = inspect.time_constants(layer, SERIES, timespans=ELAPSED)
    p = weights_of(layer)
    x = np.concatenate([SERIES, before_each_step(layer)], -1)
    z = 1.7159 * np.tanh(0.666 * (x @ p["backbone/0/kernel"] + p["backbone/0/bias"]))
    heads = z @ p["heads_kernel"] + p["heads_bias"]
    speed = np.abs(p["w_tau"]) + np.abs(heads) if mode == "pure" else np.abs(heads[..., 8:12])
    np.testing.assert_allclose(speed * seen, np.ones_like(seen), rtol=1e-3)  # near a = 0, digits cancel


def test_time_constants_of_a_wired_cfc(backend):
    layer = given_weights(CfC(auto(), input_size=F))
    seen = inspect.time_constants(layer, SERIES, timespans=ELAPSED)
    p, wiring = weights_of(layer), layer.cell.wiring
    state = before_each_step(layer)
    after = np.float64(inspect.activity(layer, SERIES, timespans=ELAPSED).states)
    below, sources = np.float64(SERIES), np.arange(F)
    for i, neurons in enumerate(map(list, wiring.layers)):
        adjacency = wiring.sensory_adjacency_matrix if i == 0 else wiring.adjacency_matrix
        mask = np.concatenate([adjacency[np.ix_(sources, neurons)] != 0, np.ones((len(neurons), len(neurons)))])
        n = len(neurons)
        kernel = p[f"cells/{i}/heads_kernel"][:, 2 * n : 3 * n] * mask
        a = np.concatenate([below, state[:, :, neurons]], -1) @ kernel + p[f"cells/{i}/heads_bias"][2 * n : 3 * n]
        np.testing.assert_allclose(np.abs(a) * seen[:, :, neurons], np.ones_like(a), rtol=2e-3)
        below, sources = after[:, :, neurons], neurons


@pytest.mark.parametrize("make", [lambda: CfC(auto(), input_size=F), lambda: CfC(4, input_size=F), LAYERS["ltc"]])
def test_one_elapsed_time_for_all_is_one_for_each(make, backend):
    layer = given_weights(make() if make is not LAYERS["ltc"] else make(input_size=F))
    given = (0.3, np.full(T, 0.3), np.full((B, T), 0.3))
    first, *others = (inspect.time_constants(layer, SERIES, timespans=t) for t in given)
    for other in others:
        np.testing.assert_allclose(first, other, rtol=1e-5)
    default, one = (inspect.time_constants(layer, SERIES, timespans=t) for t in (None, 1.0))
    np.testing.assert_array_equal(default, one)


def test_masked_steps_have_none():
    layer = given_weights(LTC(auto(), input_size=F))
    whole, masked = (inspect.time_constants(layer, SERIES, mask=mask) for mask in (None, MASK))
    np.testing.assert_array_equal(np.isnan(masked), np.broadcast_to(~MASK[:, :, None], masked.shape))
    np.testing.assert_allclose(masked[0, :2], whole[0, :2], **CLOSE)
    assert masked.dtype == np.float32
    seen = inspect.synapses(layer, SERIES, mask=MASK)
    np.testing.assert_array_equal(np.isnan(seen.current).all(-1), ~MASK)
    np.testing.assert_array_equal(np.isnan(seen.sensory_conductance).any(-1), ~MASK)


@pytest.mark.parametrize("make", [LSTM, NeuralODE, GRU, LinOSS, lambda n: MixedMemory(LTCCell(n))])
def test_layers_without_time_constants_or_synapses_are_told(make):
    with pytest.raises(TypeError, match=r"time constants: LTC, CfC, LRC, STC, CTRNN.*Received: \w+Cell"):
        inspect.time_constants(make(4), SERIES)
    with pytest.raises(TypeError, match=r"LTC, LRC or STC. Received: \w+Cell.*get_weights"):
        inspect.synapses(make(4), SERIES)


# ---- synapses


@pytest.mark.parametrize("make", [LTC, LRC, STC])
def test_synapses_are_those_of_the_formula(make, backend):
    layer = given_weights(make(auto(), input_size=F))
    seen = inspect.synapses(layer, SERIES, timespans=ELAPSED, resets=RESETS)
    p, states = weights_of(layer), before_each_step(layer, resets=RESETS)
    for prefix, (source, target, openness, conductance) in zip(("", "sensory_"), flows(layer, states), strict=True):
        np.testing.assert_array_equal(getattr(seen, f"{prefix}source"), source)
        np.testing.assert_array_equal(getattr(seen, f"{prefix}target"), target)
        np.testing.assert_allclose(getattr(seen, f"{prefix}openness"), openness, **CLOSE)
        np.testing.assert_allclose(getattr(seen, f"{prefix}conductance"), conductance, **CLOSE)
        current = getattr(seen, f"{prefix}current")
        if make is LTC:
            np.testing.assert_allclose(current, conductance * (p[f"{prefix}erev"] - states[:, :, target]), **CLOSE)
        else:
            assert current is None
        assert getattr(seen, f"{prefix}openness").dtype == np.float32


@pytest.mark.parametrize("implicit", [False, True])
def test_the_sums_over_the_synapses_are_the_semi_implicit_step(implicit, backend):
    layer = given_weights(LTC(auto(), unfolds=1, input_size=F, implicit_param_constraints=implicit))
    seen = inspect.synapses(layer, SERIES, timespans=ELAPSED)
    after = inspect.activity(layer, SERIES, timespans=ELAPSED).states
    p, v = weights_of(layer), before_each_step(layer)
    positive = (lambda x: np.logaddexp(0, x)) if implicit else (lambda x: x)
    c, g, delta = positive(p["cm"]), positive(p["gleak"]), ELAPSED[:, :, None]
    conductance = summed(seen.conductance, seen.target) + summed(seen.sensory_conductance, seen.sensory_target)
    current = summed(seen.current, seen.target) + summed(seen.sensory_current, seen.sensory_target)
    source = g * p["vleak"] + current + conductance * v  # s (E - v) + s v = s E
    np.testing.assert_allclose(after, (c * v + delta * source) / (c + delta * (g + conductance)), **CLOSE)


def test_no_synapses_are_empty_arrays():
    from ncps.wirings import Wiring

    wiring = Wiring(2)
    wiring.build(F)
    wiring.add_sensory_synapse(1, 0, polarity=-1)
    seen = inspect.synapses(LTC(wiring), SERIES)
    assert seen.openness.shape == seen.current.shape == (B, T, 0)
    assert seen.sensory_current.shape == (B, T, 1)


# ---- what is not finite


def series_with(value, sample, step, feature=0):
    series = SERIES.copy()
    series[sample, step, feature] = value
    return series


def test_finite_is_none(backend):
    assert inspect.first_nonfinite(LTC(auto(), input_size=F), SERIES, timespans=ELAPSED, mask=MASK) is None


def test_nan_of_the_inputs(backend):
    found = inspect.first_nonfinite(CTRNN(4, input_size=F), series_with(np.nan, 1, 3), timespans=0.1)
    assert (found.where, found.sample, found.step, found.neuron, found.state) == ("neuron", 1, 3, 0, None)
    assert np.isnan(found.value)
    assert found.from_inputs
    assert found.causes == {"inputs": "nan"}
    assert str(found) == "neuron 0 of sample 1 is nan from step 3 on (the inputs of step 3 hold nan)"


def test_the_neuron_that_the_input_reaches_is_named():
    from ncps.wirings import NCP

    wiring = NCP(4, 3, 2, 1, 2, 1, 1, seed=2)
    layer = LTC(wiring, unfolds=1, input_size=F)
    inter = {int(t) for s, t in zip(*layer.cell.wiring.sensory_synapses[:2], strict=True) if s == 2}
    found = inspect.first_nonfinite(layer, series_with(np.nan, 0, 2, feature=2))
    assert found.neuron == min(inter)
    assert found.neuron_type == "inter"
    assert str(found) == (
        f"neuron {min(inter)} (inter) of sample 0 is nan from step 2 on (the inputs of step 2 hold nan)"
    )


def test_masked_inputs_do_not_count(backend):
    layer = LTC(auto(), input_size=F)
    series = series_with(np.nan, 0, 2)
    assert not MASK[0, 2]
    assert inspect.first_nonfinite(layer, series, mask=MASK) is None
    assert inspect.first_nonfinite(layer, series).step == 2


def test_infinite_inputs_that_open_synapses_wholly_leave_neurons_finite():
    layer = given_weights(LTC(auto(), input_size=F))
    found = inspect.first_nonfinite(layer, series_with(-np.inf, 1, 4, feature=2))
    assert (found.where, found.index, found.step, found.sample, found.neuron) == ("input", 2, 4, 1, None)
    assert str(found) == "input 2 of sample 1 is -inf at step 4 (all neurons and outputs stay finite)"


def test_elapsed_times_are_reported(backend):
    times = ELAPSED.copy()
    times[1, 2] = np.nan
    found = inspect.first_nonfinite(CTRNN(4, input_size=F), SERIES, timespans=times)
    assert (found.step, found.sample, found.causes) == (2, 1, {"timespans": "nan"})
    assert found.from_inputs
    with pytest.raises(ValueError, match="of at least 0"):
        inspect.first_nonfinite(CTRNN(4, input_size=F), SERIES, timespans=-times)


def test_states_and_weights_are_named():
    layer = CTRNN(4, unfolds=1, input_size=F)
    start = np.zeros((B, 4), np.float32)
    start[1, 2] = np.inf
    found = inspect.first_nonfinite(layer, SERIES, initial_state=start, mask=np.zeros((B, T)))
    assert str(found) == "neuron 2 of sample 1 is inf from step 0 on (the initial state holds inf)"
    weights = dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))
    weights["cell/bias"][3] = np.nan
    layer.set_weights(list(weights.values()))
    found = inspect.first_nonfinite(layer, SERIES)
    assert (found.neuron, found.step, found.from_inputs) == (3, 0, False)
    assert str(found) == "neuron 3 of sample 0 is nan from step 0 on (the weights cell/bias hold nan)"


def test_what_grows_too_large_is_told(backend):
    layer = CTRNN(1, input_size=1, activation="linear", solver="euler", unfolds=1)
    layer.set_weights([np.float32(w).reshape(old.shape) for w, old in zip(
        [0, 1, 1, 1e30], layer.get_weights(), strict=True)])  # fmt: skip
    assert layer.weight_paths()[-1] == "cell/recurrent_kernel"
    found = inspect.first_nonfinite(layer, np.ones((1, T, 1), np.float32))
    assert (found.neuron, found.step, found.causes, found.from_inputs) == (0, 2, {}, False)
    assert str(found).endswith("is inf from step 2 on (inputs, timespans, initial state and weights are finite: the "
                               "numbers grew too large)")  # fmt: skip


def test_outputs_of_finite_neurons():
    layer = LTC(auto(), input_size=F)
    weights = dict(zip(layer.weight_paths(), layer.get_weights(), strict=True))
    weights["cell/output_b"][1] = np.inf
    layer.set_weights(list(weights.values()))
    found = inspect.first_nonfinite(layer, SERIES)
    assert (found.where, found.neuron) == ("output", None)
    assert str(found) == "output 1 of sample 0 is inf from step 0 on (the weights cell/output_b hold inf)"


def test_backwards_both_steps_are_told():
    layer = CTRNN(4, input_size=F, go_backwards=True)
    found = inspect.first_nonfinite(layer, series_with(np.nan, 0, 1))
    assert (found.step, found.input_step) == (T - 2, 1)
    assert str(found) == f"neuron 0 of sample 0 is nan from step {T - 2} on (the inputs of step 1 hold nan)"


def test_a_reset_ends_it_and_a_single_series_has_no_sample():
    layer = CTRNN(4, input_size=F)
    resets = np.arange(T) == 3
    found = inspect.first_nonfinite(layer, series_with(np.nan, 0, 1)[0], resets=resets)
    assert (found.sample, found.lasting) == (None, False)
    assert str(found) == "neuron 0 is nan at step 1 (the inputs of step 1 hold nan)"


def test_neurons_within_nested_states():
    cells = [LTCCell(auto()), MixedMemoryCell(LTCCell(auto()))]
    layer = RNN(StackedRNNCells(cells), input_size=F)
    found = inspect.first_nonfinite(layer, series_with(np.nan, 0, 1))
    assert (found.state, found.neuron_type) == (0, layer.cell.cells[0].wiring.get_type_of_neuron(found.neuron))
    assert [w is None for w in inspect.wirings_of(layer.cell)] == [False, True, False]
    found = inspect.first_nonfinite(LSTM(3), series_with(np.nan, 0, 1))
    assert str(found) == "neuron 0 of state 0 of sample 0 is nan from step 1 on (the inputs of step 1 hold nan)"


# ---- who may ask


@pytest.mark.parametrize("look", [inspect.activity, inspect.time_constants, inspect.synapses, inspect.first_nonfinite])
@pytest.mark.parametrize(
    ("make", "way_out"),
    [
        (lambda: Bidirectional(LTC(4)), "Bidirectional. Inspect its attribute layer and its backward_layer"),
        (lambda: LTCCell(4), r"LTCCell. Inspect ncps.layers.RNN\(LTCCell\(...\)\)"),
        (lambda: TimeDistributed(LTC(4)), "TimeDistributed. Inspect its attribute layer."),
        (lambda: Dense(4), "Dense. Inspect one of the layers within it"),
        (lambda: None, "NoneType. Inspect a layer of ncps.layers"),
    ],
)
def test_other_layers_are_told(look, make, way_out):
    with pytest.raises(TypeError, match=f"runs one cell over sequences.*Received: {way_out}"):
        look(make(), SERIES)


def test_half_precision_gives_float32():
    assert inspect.activity(LTC(4, dtype="float16"), SERIES).states.dtype == np.float32
    assert inspect.activity(LTC(4, dtype="float64"), SERIES).states.dtype == np.float64


def test_the_modules_import_no_framework_and_no_matplotlib():
    code = (
        "import sys, ncps\nfrom ncps import inspect, viz\nassert ncps.inspect is inspect and ncps.viz is viz\n"
        "print(*{'torch', 'jax', 'mlx', 'tensorflow', 'keras', 'matplotlib', 'networkx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
