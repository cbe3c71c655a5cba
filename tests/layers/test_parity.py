"""Values and gradients of the liquid layers on every backend, against an independent float64 reference."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
import reference
from native import can_train, projected, to_numpy, value_and_gradients, weights_of

from ncps import set_seed, tree
from ncps.backend import backend_scope
from ncps.layers import (
    CTGRU,
    CTRNN,
    GRU,
    LRC,
    LSTM,
    LTC,
    RNN,
    STC,
    CfC,
    CfCCell,
    LinOSS,
    LSTMCell,
    LTCCell,
    MixedMemory,
    MixedMemoryCell,
    NeuralODE,
    StackedRNNCells,
    WiredCfCCell,
)  # fmt: skip
from ncps.wirings import NCP, AutoNCP, FullyConnected, Layered, Random, Wiring

B, T, F = 3, 4, 2
IRREGULAR = np.float32([[0.1, 0.0, 1.3, 0.5], [2.0, 0.7, 0.0, 0.02], [0.0, 0.4, 0.9, 3.0]])
MASKS = {
    "right": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]],
    "left": [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
    "holes": [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]],
    "wholly": [[0, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 1]],
}
MASKS = {name: np.array(mask, bool) for name, mask in MASKS.items()}


RESETS = np.array([[0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1]], bool)


def mixed_ltc(units, **options):
    return MixedMemory(LTCCell(units, unfolds=2), **options)


def mixed_lstm(units, **options):
    return MixedMemory(LSTMCell(units), **options)


def mixed_cfc(units, **options):
    return MixedMemory(WiredCfCCell(units), **options)


def cfc_on_ltc(units, **options):
    return RNN(StackedRNNCells([LTCCell(units, unfolds=2), MixedMemoryCell(CfCCell(3, backbone_units=4))]), **options)


REFERENCES = {
    LTC: reference.ltc,
    STC: reference.stc,
    LRC: reference.lrc,
    CTRNN: reference.ctrnn,
    NeuralODE: reference.neural_ode,
    CTGRU: reference.ctgru,
    LSTM: reference.lstm,
    GRU: reference.gru,
    LinOSS: reference.linoss,
    CfC: lambda p, units, **o: (reference.cfc if isinstance(units, int) else reference.wired_cfc)(p, units, **o),
    mixed_ltc: lambda p, units, **o: reference.mixed_memory(p, lambda q: reference.ltc(q, units, unfolds=2), **o),
    mixed_lstm: lambda p, units, **o: reference.mixed_memory(p, lambda q: reference.lstm(q, units), **o),
    mixed_cfc: lambda p, units, **o: reference.mixed_memory(p, lambda q: reference.wired_cfc(q, units), **o),
    cfc_on_ltc: lambda p, units: reference.stacked(
        p,
        [
            lambda q: reference.ltc(q, units, unfolds=2),
            lambda q: reference.mixed_memory(q, lambda inner: reference.cfc(inner, 3)),
        ],
    ),
}
SYNAPTIC = (LTC, STC, LRC, mixed_ltc, cfc_on_ltc)  # a number of units is a wiring of all synapses
NOT_FOR_THE_REFERENCE = ("input_mapping", "output_mapping", "initialization_ranges")  # the weights tell


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A layer, its reference, and what it is called with."""

    name: str
    layer: Callable  # LTC, CfC ...
    wiring: Callable  # makes the number of units or the wiring
    options: dict = dataclasses.field(default_factory=dict)
    shape: tuple = (B, T, F)
    timespans: object = None
    mask: object = None
    resets: object = None
    initial: bool = False
    backwards: bool = False

    def make(self):
        set_seed(7)
        return self.layer(
            self.wiring(), return_sequences=True, return_state=True, go_backwards=self.backwards,
            input_size=self.shape[-1], **self.options,
        )  # fmt: skip

    @property
    def inputs(self):
        x = np.random.default_rng(1).normal(size=self.shape).astype(np.float32)
        if self.mask is not None:
            x[~self.mask] = np.nan  # padding may hold anything
        return x

    def initial_state(self, layer):
        """A state of the layer's structure; the reference takes its leaves."""
        if not self.initial:
            return None
        rng = np.random.default_rng(2)
        sizes = layer.cell.state_size
        return tree.map(lambda size: rng.normal(size=(self.shape[0], size)).astype(np.float32), sizes)

    def reference(self, weights):
        wiring = self.wiring()
        if self.layer in SYNAPTIC and isinstance(wiring, int):
            wiring = FullyConnected(wiring)
        if isinstance(wiring, Wiring):
            within = self.layer in (mixed_ltc, mixed_cfc) and self.options.get("memory_to") != "state"
            wiring.build(wiring.units if within else self.shape[-1])  # the memory drives the cell
        options = {name: value for name, value in self.options.items() if name not in NOT_FOR_THE_REFERENCE}
        cell = REFERENCES[self.layer](reference.under(weights, "cell"), wiring, **options)
        initial = tree.flatten(numpy_initial_state(self))[0] or None
        outputs, states = reference.run_sequence(
            cell, self.inputs, self.timespans, self.mask, initial, self.backwards, self.resets
        )
        return outputs, *(states[:1] if self.layer is LinOSS else states)


@functools.cache
def numpy_initial_state(case):
    with backend_scope("numpy"):
        return case.initial_state(case.make())


def hand_made():
    """Neuron 3 has no synapse at all, neuron 2 none from the inputs."""
    wiring = Wiring(4)
    wiring.set_output_dim(2)
    for source, target, polarity in [(0, 1, 1), (2, 0, -1), (1, 1, 1), (2, 2, -1), (0, 2, 1)]:
        wiring.add_synapse(source, target, polarity)
    wiring.set_input_dim(F)
    wiring.add_sensory_synapse(0, 0, 1)
    wiring.add_sensory_synapse(1, 0, -1)
    wiring.add_sensory_synapse(1, 1, 1)
    return wiring


def only_inputs():
    """No synapse between neurons."""
    wiring = Wiring(3)
    wiring.set_output_dim(1)
    wiring.set_input_dim(F)
    wiring.add_sensory_synapse(0, 2, 1)
    wiring.add_sensory_synapse(1, 0, -1)
    return wiring


def only_neurons():
    """No synapse from the inputs."""
    wiring = Wiring(3)
    wiring.set_output_dim(1)
    wiring.set_input_dim(F)
    wiring.add_synapse(0, 1, 1)
    wiring.add_synapse(1, 0, -1)
    return wiring


def ncp():
    return NCP(3, 2, 1, 2, 1, 1, 2, seed=5)


def auto():
    return AutoNCP(6, 2, seed=3)


def masked(**options):
    """A mask (F + H, H) in place of a backbone."""
    mask = np.random.default_rng(5).integers(-1, 2, (F + 3, 3)).tolist()
    return {"backbone_layers": 0, "sparsity_mask": mask, **options}


def deep():
    """Four layers, connected by hand."""
    wiring = Layered([2, 2, 1, 2])
    for source, target in ((5, 3), (6, 4), (3, 2), (4, 2), (2, 0), (2, 1)):
        wiring.add_synapse(source, target, 1)
    wiring.build(F)
    for source in range(F):
        wiring.add_sensory_synapse(source, 5 + source % 2, -1)
    return wiring


def dense(**options):
    return {"backbone_units": 5, **options}


def four():
    return 4


def three():
    return 3


SLOW = {"initialization_ranges": {"cm": (4.0, 5.0)}}  # explicit solvers are stable then
CASES = [
    Case("ltc_units", LTC, four),
    Case("ltc_auto_ncp", LTC, auto, timespans=IRREGULAR),
    Case("ltc_ncp", LTC, ncp, {"unfolds": 2}, timespans=0.3),
    Case("ltc_random", LTC, lambda: Random(5, 2, 0.5, 4), {"unfolds": 2}, timespans=IRREGULAR[0]),
    Case("ltc_hand_made", LTC, hand_made, {"unfolds": 2}, timespans=IRREGULAR),
    Case("ltc_only_inputs", LTC, only_inputs, {"unfolds": 2}, timespans=IRREGULAR),
    Case("ltc_only_neurons", LTC, only_neurons, {"unfolds": 2}, timespans=IRREGULAR, initial=True),
    Case("ltc_implicit", LTC, auto, {"implicit_param_constraints": True, "unfolds": 3}, timespans=IRREGULAR),
    Case("ltc_no_mappings", LTC, three, {"input_mapping": None, "output_mapping": None, "unfolds": 3}),
    Case("ltc_linear_mappings", LTC, three, {"input_mapping": "linear", "output_mapping": "linear", "unfolds": 2}),
    Case("ltc_one_unfold", LTC, three, {"unfolds": 1, "epsilon": 0.1}, timespans=IRREGULAR[:, :, None]),
    Case("ltc_zero_time", LTC, three, {"unfolds": 2}, timespans=0, initial=True),
    Case("ltc_batch_equals_units", LTC, three, {"unfolds": 2}, shape=(3, T, F), timespans=IRREGULAR),
    Case("ltc_one_sample", LTC, three, {"unfolds": 2}, shape=(1, T, F), timespans=IRREGULAR[:1]),
    Case("ltc_one_step", LTC, three, {"unfolds": 2}, shape=(B, 1, F), timespans=IRREGULAR[:, :1]),
    Case("ltc_one_feature", LTC, three, {"unfolds": 2}, shape=(B, T, 1)),
    *(
        Case(f"ltc_mask_{name}", LTC, auto, {"unfolds": 2}, timespans=IRREGULAR, mask=mask, initial=True)
        for name, mask in MASKS.items()
    ),
    Case(
        "ltc_backwards",
        LTC,
        auto,
        {"unfolds": 2},
        timespans=IRREGULAR,
        mask=MASKS["right"],
        initial=True,
        backwards=True,
    ),
    *(Case(f"cfc_{mode}", CfC, four, dense(mode=mode)) for mode in ("default", "no_gate", "pure")),
    *(
        Case(f"cfc_{mode}_irregular", CfC, three, dense(mode=mode), timespans=IRREGULAR, initial=True)
        for mode in ("default", "no_gate", "pure")
    ),
    *(
        Case(f"cfc_backbone_{n}", CfC, three, dense(backbone_layers=n, mode=mode), timespans=IRREGULAR)
        for n, mode in ((0, "default"), (0, "pure"), (2, "no_gate"), (3, "default"))
    ),
    Case("cfc_activations", CfC, three, dense(backbone_activation="silu", head_activation="lecun_tanh"), timespans=0.4),
    Case("cfc_linear_heads", CfC, three, dense(head_activation=None), timespans=0.4),
    Case("cfc_zero_time", CfC, three, dense(), timespans=0.0, initial=True),
    Case("cfc_times_of_steps", CfC, three, dense(), timespans=IRREGULAR[0]),
    Case("cfc_batch_equals_units", CfC, three, dense(), shape=(3, T, F), timespans=IRREGULAR[:, :, None]),
    Case("cfc_one_sample", CfC, three, dense(), shape=(1, T, F), timespans=IRREGULAR[:1]),
    Case("cfc_one_step", CfC, three, dense(), shape=(B, 1, F), timespans=IRREGULAR[:, :1]),
    Case("cfc_one_feature", CfC, three, dense(), shape=(B, T, 1)),
    *(
        Case(f"cfc_mask_{n}", CfC, three, dense(), timespans=IRREGULAR, mask=mask, initial=True)
        for n, mask in MASKS.items()
    ),
    Case(
        "ltc_resets", LTC, auto, {"unfolds": 2}, timespans=IRREGULAR, mask=MASKS["holes"], resets=RESETS, initial=True
    ),
    Case("ltc_explicit", LTC, auto, {"solver": "explicit", "unfolds": 3, **SLOW}, timespans=IRREGULAR, initial=True),
    Case("ltc_heun", LTC, three, {"solver": "heun", "unfolds": 3, **SLOW}, timespans=IRREGULAR, initial=True),
    Case("ltc_rk4", LTC, hand_made, {"solver": "rk4", "unfolds": 2, **SLOW}, timespans=IRREGULAR, initial=True),
    Case(
        "ltc_se",
        LTC,
        three,
        {"unfolds": 2, "epsilon": 0.0, "output_mapping": None, "initialization_ranges": {"gleak": (1, 1)}},
    ),
    Case("stc", STC, auto, {"unfolds": 2}, timespans=IRREGULAR, initial=True),
    Case("stc_rk4_mask", STC, three, {"solver": "rk4", "unfolds": 2}, timespans=IRREGULAR, mask=MASKS["left"]),
    Case("lrc", LRC, auto, {"unfolds": 2}, timespans=IRREGULAR, initial=True),
    Case("lrc_units_mask", LRC, three, {"unfolds": 2}, timespans=IRREGULAR, mask=MASKS["holes"], initial=True),
    Case("lrc_symmetric", LRC, hand_made, {"elastance": "symmetric", "unfolds": 2}, timespans=IRREGULAR, initial=True),
    Case("lrc_hybrid", LRC, auto, {"solver": "semi_implicit", "unfolds": 2}, timespans=IRREGULAR, resets=RESETS),
    Case("lrc_implicit", LRC, three, {"elastance": "symmetric", "implicit_param_constraints": True, "unfolds": 2}),
    Case(
        "lrc_backwards",
        LRC,
        ncp,
        {"unfolds": 2},
        timespans=IRREGULAR,
        mask=MASKS["right"],
        initial=True,
        backwards=True,
    ),
    Case("ctrnn", CTRNN, four, {"unfolds": 2, "tau": 2.0}, timespans=IRREGULAR, initial=True),
    Case("ctrnn_semi_implicit", CTRNN, three, {"solver": "semi_implicit"}, timespans=IRREGULAR, mask=MASKS["holes"]),
    Case("ctrnn_heun", CTRNN, three, {"solver": "heun", "unfolds": 2}, resets=RESETS, initial=True),
    Case("ctrnn_rk4_backwards", CTRNN, three, {"solver": "rk4", "unfolds": 1}, timespans=0.7, backwards=True),
    Case("neural_ode", NeuralODE, three, {"unfolds": 2}, timespans=IRREGULAR, initial=True),
    Case("neural_ode_euler", NeuralODE, three, {"solver": "euler", "activation": "silu"}, mask=MASKS["right"]),
    Case("ctgru", CTGRU, three, timespans=IRREGULAR, initial=True),
    Case("ctgru_times", CTGRU, three, {"time_constants": [0.3, 2.0]}, timespans=0.4, mask=MASKS["left"], resets=RESETS),
    Case("lstm", LSTM, three, timespans=IRREGULAR, initial=True),
    Case("lstm_times", LSTM, three, {"append_timespans": True}, timespans=IRREGULAR, mask=MASKS["holes"], initial=True),
    Case("lstm_backwards", LSTM, three, {"append_timespans": True}, timespans=0.3, initial=True, backwards=True),
    Case("gru", GRU, three, timespans=IRREGULAR, initial=True),
    Case("gru_times", GRU, three, {"append_timespans": True}, timespans=IRREGULAR, mask=MASKS["right"], resets=RESETS),
    Case("mixed_ltc", mixed_ltc, auto, timespans=IRREGULAR, initial=True),
    Case("mixed_ltc_to_state", mixed_ltc, auto, {"memory_to": "state"}, timespans=IRREGULAR, mask=MASKS["left"]),
    Case("mixed_cfc", mixed_cfc, ncp, timespans=IRREGULAR, mask=MASKS["holes"], resets=RESETS, initial=True),
    Case("mixed_lstm", mixed_lstm, three, {"memory_to": "state"}, timespans=0.3, initial=True, backwards=True),
    Case("stacked", cfc_on_ltc, auto, timespans=IRREGULAR, mask=MASKS["right"], resets=RESETS, initial=True),
    Case("linoss", LinOSS, three, {"output_units": 2}, timespans=IRREGULAR, initial=True),
    Case("linoss_loop", LinOSS, three, {"parallel": False}, timespans=IRREGULAR, mask=MASKS["holes"], resets=RESETS),
    Case("linoss_mask", LinOSS, three, timespans=IRREGULAR, mask=MASKS["holes"], resets=RESETS, initial=True),
    Case("linoss_imex", LinOSS, three, {"discretization": "imex"}, timespans=0.6, resets=RESETS, initial=True),
    Case("linoss_backwards", LinOSS, three, timespans=IRREGULAR[0], mask=MASKS["left"], initial=True, backwards=True),
    Case("cfc_resets", CfC, three, dense(), timespans=IRREGULAR, mask=MASKS["left"], resets=RESETS, initial=True),
    Case("cfc_backwards", CfC, three, dense(), timespans=IRREGULAR, mask=MASKS["left"], initial=True, backwards=True),
    *(Case(f"wired_{mode}", CfC, auto, {"mode": mode}) for mode in ("default", "no_gate", "pure")),
    *(
        Case(f"wired_{mode}_irregular", CfC, ncp, {"mode": mode}, timespans=IRREGULAR, initial=True)
        for mode in ("default", "no_gate", "pure")
    ),
    Case("wired_recurrences", CfC, auto, {"fully_recurrent": False}, timespans=IRREGULAR, initial=True),
    Case("wired_recurrences_hand_made", CfC, hand_made, {"fully_recurrent": False}, timespans=IRREGULAR, initial=True),
    Case("wired_random", CfC, lambda: Random(5, 2, sparsity_level=0.5, random_seed=4), timespans=0.3, initial=True),
    Case("wired_open_gates", CfC, ncp, {"masked_gates": False, "state_order": "layers"}, timespans=0.3, initial=True),
    Case("wired_layered", CfC, deep, {"masked_gates": False}, timespans=IRREGULAR, initial=True),
    Case("cfc_masked", CfC, three, masked(), timespans=IRREGULAR, initial=True),
    Case("cfc_masked_open_gates", CfC, three, masked(masked_gates=False), timespans=0.3, initial=True),
    Case("wired_mask", CfC, auto, timespans=IRREGULAR, mask=MASKS["holes"], initial=True),
    Case("wired_backwards", CfC, ncp, timespans=IRREGULAR, initial=True, backwards=True),
    Case("wired_one_sample_one_step", CfC, ncp, shape=(1, 1, F), timespans=0.3, initial=True),
]


def way_of_running(case):
    times = (
        case.timespans if case.timespans is None or np.ndim(case.timespans) == 0 else np.shape(case.timespans)
    )  # at B = units mistakes were silent once
    return (
        case.layer, isinstance(case.wiring(), int), case.mask is None, case.resets is None, case.backwards, times,
        case.shape,
    )  # fmt: skip


def options(case):
    return *way_of_running(case), *(f"{name}={value}" for name, value in case.options.items() if name != "unfolds")


def one_of_each(kind):
    return set({kind(case): case for case in reversed(CASES)}.values())


# jax and TensorFlow take a second or two for each, and Keras runs the ops of a framework that has all cases.
SOME = {"jax": one_of_each(options), "tensorflow": one_of_each(options), "keras": one_of_each(way_of_running)}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    """Each case; on some backends one of each kind."""
    if request.param not in SOME.get(request.getfixturevalue("backend"), CASES):
        pytest.skip("another of its kind runs here")
    return request.param


@functools.cache
def given_weights(case):
    """Weights in which nothing is zero or the same as another; made on NumPy."""
    rng = np.random.default_rng(3)
    with backend_scope("numpy"):
        weights = weights_of(case.make())
    positive = ("w", "sensory_w", "cm", "gleak", "decay", "elastance_k", "A")
    return {
        path: np.float32(value + rng.uniform(0.01 if path.split("/")[-1] in positive else -0.3, 0.3, value.shape))
        for path, value in weights.items()
    }


@functools.cache
def expected(case):
    """Outputs, states, projections and gradients of the reference."""
    weights = given_weights(case)
    results = case.reference(weights)
    rng = np.random.default_rng(4)
    projections = [rng.normal(size=result.shape).astype(np.float32) for result in results]

    def loss(weights):
        return sum(
            (result * projection).sum() for result, projection in zip(case.reference(weights), projections, strict=True)
        )

    return results, projections, functools.cache(lambda: reference.differences(loss, weights))


@functools.cache
def computed(case, backend):
    """Outputs and gradients on a backend."""
    with backend_scope(backend):
        layer = case.make()
        weights = given_weights(case)
        layer.set_weights([weights[path] for path in layer.weight_paths()])
        call = {
            "timespans": case.timespans,
            "mask": case.mask,
            "resets": case.resets,
            "initial_state": case.initial_state(layer),
        }
        call = {name: value for name, value in call.items() if value is not None}

        def run(layer):
            outputs = tuple(tree.flatten(layer(case.inputs, **call))[0])
            return projected(outputs, expected(case)[1]), outputs

        if can_train(backend):
            _, outputs, gradients = value_and_gradients(layer, run)
            return outputs, gradients
        return to_numpy(run(layer)[1]), None


def test_outputs_and_states_are_those_of_the_reference(case, backend):
    outputs, _ = computed(case, backend)
    results = expected(case)[0]
    assert len(outputs) == len(results)
    for output, result in zip(outputs, results, strict=True):
        assert output.shape == result.shape
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, result, rtol=0, atol=2e-5)


def test_gradients_of_all_parameters_are_those_of_the_reference(case, backend):
    if not can_train(backend):
        pytest.skip("no gradients there")
    _, gradients = computed(case, backend)
    differences = expected(case)[2]()
    assert set(gradients) == set(differences)
    errors = {}
    for path, reference_gradient in differences.items():
        gradient = gradients[path]
        if gradient is None:  # torch and TensorFlow have none for what plays no part
            gradient = np.zeros_like(reference_gradient)
        assert gradient.shape == reference_gradient.shape, path
        if reference_gradient.size:
            scale = np.abs(reference_gradient).max()
            # A parameter that plays no part has a gradient of zero up to the rounding of the differences.
            error = np.abs(gradient - reference_gradient).max()
            errors[path] = error / scale if scale > 1e-7 else error
    assert {path: error for path, error in errors.items() if not error < 1e-4} == {}


def test_negative_raw_weights_count_as_zero_and_may_only_rise(backend):
    """DESIGN section 6: the value is max(raw, 0), the gradient passes except where descent pushes further down."""
    case = next(case for case in CASES if case.name == "ltc_auto_ncp")
    weights = {path: value.copy() for path, value in given_weights(case).items()}
    constrained = ["cell/w", "cell/sensory_w", "cell/gleak"]
    for path in constrained:
        weights[path][::2] = -0.3
    clipped = {path: np.maximum(value, 0) if path in constrained else value for path, value in weights.items()}
    layer = case.make()
    layer.set_weights([weights[path] for path in layer.weight_paths()])
    for path, value in weights_of(layer).items():
        np.testing.assert_array_equal(value, clipped[path], err_msg=path)
    projections = expected(case)[1]

    def run(layer):
        outputs = tuple(tree.flatten(layer(case.inputs, timespans=case.timespans))[0])
        return projected(outputs, projections), outputs

    if not can_train(backend):
        np.testing.assert_allclose(to_numpy(run(layer)[1])[0], case.reference(clipped)[0], rtol=0, atol=2e-5)
        return
    _, outputs, gradients = value_and_gradients(layer, run)
    np.testing.assert_allclose(outputs[0], case.reference(clipped)[0], rtol=0, atol=2e-5)

    def loss(weights):
        return sum((r * p).sum() for r, p in zip(case.reference(weights), projections, strict=True))

    # One-sided slopes at zero, by differences of values that are all positive.
    step, some_pushed_down = 1e-4, False
    for path in constrained:
        slopes = np.zeros_like(clipped[path], np.float64)
        for i in range(len(slopes)):
            values = []
            for shift in (0, 1, 2):
                moved = {key: np.float64(value) for key, value in clipped.items()}
                moved[path] = moved[path].copy()
                moved[path][i] += shift * step
                values.append(loss(moved))
            slopes[i] = (-3 * values[0] + 4 * values[1] - values[2]) / (2 * step)
        pushed_down = (weights[path] < 0) & (slopes > 0)
        some_pushed_down |= pushed_down.any()
        wanted = np.where(pushed_down, 0, slopes)
        assert np.abs(gradients[path] - wanted).max() / np.abs(wanted).max() < 1e-4, path
    assert some_pushed_down
    layer.apply_weight_constraints()
    for weight in layer.walk():
        np.testing.assert_array_equal(to_numpy(weight.variable), clipped[weight.path], err_msg=weight.path)
