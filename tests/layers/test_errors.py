"""What is wrong raises, says what was expected and received, and leaves nothing behind."""

import re
import warnings

import numpy as np
import pytest
from native import to_numpy, weights_of

from ncps import ops, tree
from ncps.backend import NCPSBackend, backend_scope
from ncps.layers import (
    CTGRU,
    CTRNN,
    GRU,
    LRC,
    LSTM,
    LTC,
    RNN,
    STC,
    Activation,
    Bidirectional,
    CfC,
    CfCCell,
    Dense,
    Dropout,
    Layer,
    LinOSS,
    List,
    LSTMCell,
    LTCCell,
    MixedMemory,
    NeuralODE,
    Sequential,
    StackedRNNCells,
    TimeDistributed,
)  # fmt: skip
from ncps.wirings import AutoNCP, Wiring

X = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
SEQUENCES = {
    "ltc": lambda: LTC(3, unfolds=2),
    "cfc": lambda: CfC(3, backbone_units=4),
    "wired": lambda: CfC(AutoNCP(6, 2)),
}
ARGUMENTS = [
    (ValueError, "units", lambda: Dense(0)),
    (ValueError, "units", lambda: Dense(-1)),
    (TypeError, "units", lambda: Dense(True)),
    (TypeError, "units", lambda: Dense(2.0)),
    (TypeError, "units", lambda: Dense("2")),
    (TypeError, "units", lambda: Dense(None)),
    (ValueError, "units", lambda: LTC(0)),
    (TypeError, "units", lambda: LTC(True)),
    (TypeError, "units", lambda: LTC(2.5)),
    (ValueError, "units", lambda: CfC(0)),
    (TypeError, "units", lambda: CfC(True)),
    (TypeError, "units", lambda: CfC(2.5)),
    (ValueError, "units", lambda: CfC(3, state_order="layers")),
    (ValueError, "state_order", lambda: CfC(AutoNCP(6, 2), state_order="names")),
    (ValueError, "sparsity_mask", lambda: CfC(AutoNCP(6, 2), sparsity_mask=[[1]])),
    (ValueError, "sparsity_mask", lambda: CfC(2, backbone_layers=0, sparsity_mask=[[1], [1]])),
    (ValueError, "sparsity_mask", lambda: CfC(2, backbone_layers=0, sparsity_mask=[[2, 0], [1, 1], [1, 1]])),
    (ValueError, "backbone_layers", lambda: CfC(2, sparsity_mask=[[1, 0], [1, 1], [1, 1]])),
    (ValueError, "3 rows", lambda: CfC(2, backbone_layers=0, sparsity_mask=[[1, 0]] * 3, input_size=2)),
    (ValueError, "unfolds", lambda: LTC(3, unfolds=0)),
    (TypeError, "unfolds", lambda: LTC(3, unfolds=1.5)),
    (ValueError, "'gate'", lambda: CfC(3, mode="gate")),
    (ValueError, "'gate'", lambda: CfC(AutoNCP(6, 2), mode="gate")),
    (ValueError, "'tanhh'", lambda: CfC(3, backbone_activation="tanhh")),
    (ValueError, "'tanhh'", lambda: CfC(3, head_activation="tanhh")),
    (ValueError, "'tanhh'", lambda: CfC(AutoNCP(6, 2), head_activation="tanhh")),
    (ValueError, "'tanhh'", lambda: Dense(3, "tanhh")),
    (ValueError, "'tanhh'", lambda: Activation("tanhh")),
    (ValueError, "'glorot'", lambda: Dense(3, kernel_initializer="glorot")),
    (ValueError, "'glorot'", lambda: Dense(3, bias_initializer="glorot")),
    (ValueError, "'afine'", lambda: LTC(3, input_mapping="afine")),
    (ValueError, "'afine'", lambda: LTC(3, output_mapping="afine")),
    (ValueError, "rate", lambda: Dropout(1.5)),
    (ValueError, "rate", lambda: Dropout(-0.1)),
    (ValueError, "backbone_dropout", lambda: CfC(3, backbone_dropout=2)),
    (ValueError, "backbone_units", lambda: CfC(3, backbone_units=0)),
    (ValueError, "backbone_layers", lambda: CfC(3, backbone_layers=-1)),
    (ValueError, "no backbone", lambda: CfC(AutoNCP(6, 2), backbone_units=4)),
    (ValueError, "no backbone", lambda: CfC(AutoNCP(6, 2), backbone_layers=0)),
    (ValueError, "fully_recurrent", lambda: CfC(3, fully_recurrent=False)),
    (TypeError, "cell", lambda: RNN(Dense(3))),
    (TypeError, "cell", lambda: RNN(None)),
    (TypeError, "class.*CfCCell", lambda: RNN(CfCCell)),
    ((TypeError, ValueError), "LTC|ode_unfolds", lambda: LTC(3, ode_unfolds=6)),
    (ValueError, "time_constants.*from 1", lambda: CTGRU(3, time_constants=0)),
    (ValueError, "time_constants", lambda: CTGRU(3, time_constants=[])),
    (ValueError, "time_constants", lambda: CTGRU(3, time_constants=-2)),
    (ValueError, r"time_constants=\[1.0, 0.0\]", lambda: CTGRU(3, time_constants=[1.0, 0.0])),
    (ValueError, "time_constants", lambda: CTGRU(3, time_constants=[[1.0]])),
    ((TypeError, ValueError), "time_constants", lambda: CTGRU(3, time_constants=None)),
    (TypeError, "Expected a cell.*Dense", lambda: MixedMemory(Dense(3))),
    (TypeError, r"Expected a cell.*Received: LTC\.", lambda: MixedMemory(LTC(3))),
    (TypeError, "Expected a cell.*NoneType", lambda: MixedMemory(None)),
    (ValueError, "'output'", lambda: MixedMemory(CfCCell(3), memory_to="output")),
    (TypeError, "Expected a cell", lambda: StackedRNNCells([CfCCell(3), Dense(3)])),
    (ValueError, "at least one cell", lambda: StackedRNNCells([])),
    (TypeError, "Expected a list of cells.*CfCCell", lambda: StackedRNNCells(CfCCell(3))),
    (TypeError, "over sequences.*Dense", lambda: Bidirectional(Dense(3))),
    (TypeError, "over sequences.*CfCCell", lambda: Bidirectional(CfCCell(3))),
    (ValueError, "'max'", lambda: Bidirectional(LTC(3), merge_mode="max")),
    (ValueError, "return_sequences", lambda: Bidirectional(LTC(3), None, LTC(3, True, go_backwards=True))),
    (ValueError, "go_backwards", lambda: Bidirectional(LTC(3), None, LTC(3))),
    (TypeError, "Expected a layer", lambda: TimeDistributed(lambda x: x)),
    (ValueError, "solver='rk5'", lambda: CTRNN(3, solver="rk5")),
    (ValueError, "solver='semi_implicit'", lambda: NeuralODE(3, solver="semi_implicit")),
    (ValueError, "tau", lambda: CTRNN(3, tau=0.0)),
    (ValueError, "tau", lambda: CTRNN(3, tau=[1.0, 2.0])),
    (ValueError, "elastance", lambda: LRC(3, elastance="linear")),
    (ValueError, "range of 'cmm'", lambda: LTC(3, initialization_ranges={"cmm": (0, 1)})),
    (ValueError, "cm = ", lambda: LTC(3, initialization_ranges={"cm": (-1, 1)})),
    (ValueError, "vleak = ", lambda: LTC(3, initialization_ranges={"vleak": (1, -1)})),
    (ValueError, "discretization", lambda: LinOSS(3, discretization="zoh")),
    (ValueError, "output_units", lambda: LinOSS(3, output_units=0)),
    *((ValueError, "units", lambda layer=layer: layer(0)) for layer in (CTGRU, CTRNN, GRU, LSTM, LRC, STC, LinOSS)),
    (ValueError, "input_size", lambda: Dense(3, input_size=0)),
    (TypeError, "input_size", lambda: Dense(3, input_size=2.0)),
    (TypeError, "input_size", lambda: Dense(3, input_size=True)),
    ((TypeError, ValueError), "unit", lambda: Dense(3, unit=4)),
    ((TypeError, ValueError), "floating|int32", lambda: Dense(3, dtype="int32", input_size=2)),
    ((TypeError, ValueError), "float33", lambda: Dense(3, dtype="float33", input_size=2)),
]


@pytest.mark.parametrize(("error", "message", "make"), ARGUMENTS, ids=[str(i) for i in range(len(ARGUMENTS))])
def test_wrong_arguments_raise_in_the_constructor(backend, error, message, make):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("built", [False, True], ids=["unbuilt", "built"])
@pytest.mark.parametrize("shape", [(3,), (2, 2, 4, 3), (2, 0, 3)], ids=str)
def test_wrong_rank_and_empty_sequences(backend, name, built, shape):
    layer = SEQUENCES[name]()
    if built:
        layer(X)
    with pytest.raises(ValueError, match=f"shape {re.escape(str(shape))}"):
        layer(np.zeros(shape, np.float32))


CALLS = [
    ("features", lambda layer: layer(X[..., :2])),
    ("features", lambda layer: layer(np.concatenate([X, X], -1))),
    ("timespans", lambda layer: layer(X, timespans=np.ones((4, 2)))),
    ("timespans", lambda layer: layer(X, timespans=np.ones((2, 3)))),
    ("timespans", lambda layer: layer(X, timespans=np.ones(3))),
    ("timespans", lambda layer: layer(X, timespans=np.ones((2, 4, 3)))),
    ("timespans", lambda layer: layer(X, timespans=np.ones((2, 4, 1, 1)))),
    ("at least 0.*timespans = -1", lambda layer: layer(X, timespans=-1)),
    (
        r"at least 0.*timespans\[1, 2\] = -0.5",
        lambda layer: layer(X, timespans=np.array([[1, 1, 1, 1], [1, 1, -0.5, 1.0]])),
    ),
    (r"timespans\[1\] = nan", lambda layer: layer(X, timespans=[1, np.nan, 1, 1])),
    ("nan", lambda layer: layer(X, timespans=float("nan"))),
    ("timespans = inf", lambda layer: layer(X, timespans=float("inf"))),
    (r"shape \(2, 4, 2\)", lambda layer: layer(X[..., :2])),  # as the user gave it
    (r"one time step.*shape \(2, 4, 3\)", lambda layer: layer.step(X)),
    (r"shape \(2, 2\)", lambda layer: layer.step(X[:, 0, :2])),
    ("mask", lambda layer: layer(X, mask=np.ones((4, 2), bool))),
    ("mask", lambda layer: layer(X, mask=np.ones(4, bool))),
    ("mask", lambda layer: layer(X, mask=np.ones((2, 4, 3), bool))),
    ("state", lambda layer: layer(X, initial_state=np.zeros((2, 50), np.float32))),
    ("state", lambda layer: layer(X, initial_state=np.zeros((3, layer.cell.state_size), np.float32))),
    ("state", lambda layer: layer(X, initial_state=np.zeros(layer.cell.state_size, np.float32))),
    ("timespan", lambda layer: layer.step(X[:, 0], None, timespan=-1)),
    ("timespan", lambda layer: layer.step(X[:, 0], None, timespan=np.ones(3))),
    ("state", lambda layer: layer.step(X[:, 0], np.zeros((2, 50), np.float32))),
    (
        r"\[\(2, 3\), \(2, 3\)\]",
        lambda layer: layer(X, initial_state=[np.zeros((2, 3), np.float32)] * 2),
    ),
    ("single series", lambda layer: layer(X[0], initial_state=np.zeros((1, layer.cell.state_size), np.float32))),
    ("reset.*3 values", lambda layer: layer.step(X[:, 0], reset=[True] * 3)),
    (r"resets \(B, T\).*\(4, 2\)", lambda layer: layer(X, resets=np.ones((4, 2), bool))),
    (r"resets \(B, T\)", lambda layer: layer(X, resets=np.ones(4, bool))),
]


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("number", range(len(CALLS)))
def test_wrong_calls_raise_and_do_no_harm(backend, name, number):
    message, call = CALLS[number]
    layer = SEQUENCES[name]()
    wanted = to_numpy(layer(X))
    with pytest.raises(ValueError, match=message):
        call(layer)
    np.testing.assert_array_equal(to_numpy(layer(X)), wanted)


NESTED = {
    "pair": (lambda: LSTM(3), r"tensors \(\(B, 3\), \(B, 3\)\)"),
    "memory": (lambda: MixedMemory(LSTMCell(2)), r"tensors \(\(B, 4\), \(\(B, 2\), \(B, 2\)\)\)"),
    "stack": (lambda: RNN(StackedRNNCells([CfCCell(3), LTCCell(2)])), r"tensors \(\(B, 3\), \(B, 2\)\)"),
}


@pytest.mark.parametrize("name", NESTED)
def test_states_of_a_wrong_structure(backend, name):
    make, expected = NESTED[name]
    layer = make()
    wanted = to_numpy(layer(X))
    one = np.zeros((2, 3), np.float32)
    for state in (one, [one], [one] * 9, {"h": one}, [[one, one], one]):
        with pytest.raises(ValueError, match=f"Expected the state of .*{expected}.*Received: "):
            layer(X, initial_state=state)
    with pytest.raises(ValueError, match=r"Expected a state \(B, \d\) with B = 2"):
        layer(X, initial_state=[np.zeros((2, 7), np.float32) for _ in tree.flatten(layer.cell.state_size)[0]])
    np.testing.assert_array_equal(to_numpy(layer(X)), wanted)


def test_initial_states_of_both_directions(backend):
    layer = Bidirectional(LTC(3))
    with pytest.raises(ValueError, match=r"pair of those of both layers, 2 tensors. Received: 1"):
        layer(X, initial_state=np.zeros((2, 3), np.float32))


def test_elapsed_times_that_float16_does_not_hold(backend):
    layer = LTC(3, dtype="float16", input_size=3)
    for times in (1e5, [1, 1, 1e5, 1], np.full((2, 4), 1e5)):
        with pytest.raises(ValueError, match=r"up to 65504 in a layer of float16.*100000.*larger unit"):
            layer(X, timespans=times)
    assert np.isfinite(to_numpy(layer(X, timespans=6e4))).all()
    assert np.isfinite(to_numpy(LTC(3, dtype="bfloat16", input_size=3)(X, timespans=1e5))).all()


def test_nan_stays_in_its_sample_and_is_not_hidden(backend):
    """Documented in docs/guides/layers.md: it passes through, from its step on."""
    x = X.copy()
    x[1, 2, 0] = np.nan
    for make in (lambda **o: LTC(3, **o), lambda **o: CfC(3, **o), lambda **o: LRC(3, **o), lambda **o: GRU(3, **o)):
        layer = make(return_sequences=True)
        clean, outputs = to_numpy(layer(X)), to_numpy(layer(x))
        np.testing.assert_allclose(outputs[0], clean[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(outputs[1, :2], clean[1, :2], rtol=0, atol=1e-6)
        assert np.isnan(outputs[1, 2:]).all()


def test_wiring_for_another_number_of_inputs(backend):
    """A wiring that is drawn serves any number of inputs; one whose inputs were connected by hand does not."""
    wiring = AutoNCP(6, 2)
    wiring.build(5)
    assert LTC(wiring)(X).shape == CfC(wiring)(X).shape == (2, 2)
    hand = Wiring(3)
    hand.set_input_dim(2)
    hand.add_sensory_synapse(0, 0, 1)
    for make in (LTC, CfC):
        layer = make(hand)
        with pytest.raises(ValueError, match="2"):
            layer(X)
        assert not layer.built
        assert layer.weight_paths() == []


def test_a_first_call_that_fails_does_not_decide_the_number_of_features(backend):
    for make in (lambda: LTC(3, unfolds=2), lambda: CfC(AutoNCP(6, 2)), lambda: Sequential([CfC(3), Dense(2)])):
        layer = make()
        if backend == "keras" and not isinstance(layer, Layer):
            continue  # Keras' own
        with pytest.raises(ValueError, match="timespans"):
            layer(np.swapaxes(X, 1, 2), timespans=np.ones((2, 4), np.float32))  # batch, features, time
        assert not layer.built
        assert layer.weight_paths() == []
        if isinstance(layer, RNN):
            with pytest.raises(ValueError, match="state"):
                layer.step(X[:, 0, :2], np.zeros((2, 50), np.float32))
            assert not layer.built
            with pytest.raises(TypeError, match="NoneType"):
                layer(None)
        assert layer(X, timespans=np.ones((2, 4), np.float32)).shape[0] == 2


def test_cells_take_one_time_step(backend):
    for cell in (LTCCell(3), CfCCell(3, backbone_units=4)):
        with pytest.raises(ValueError, match="one time step"):
            cell(X, np.zeros((2, 3), np.float32))
        with pytest.raises(ValueError, match="timespan"):
            cell(X[:, 0], np.zeros((2, 3), np.float32), timespan=np.ones((2, 3)))
        with pytest.raises(ValueError, match="state"):
            cell(X[:, 0], np.zeros((2, 4), np.float32))
        with pytest.raises(ValueError, match="-3"):
            cell(X[:, 0], np.zeros((2, 3), np.float32), timespan=-3)


def foreign(backend):
    """A tensor of a framework that is not the backend's own."""
    import torch

    if backend == "torch":
        import jax.numpy as jnp

        return jnp.asarray(X)
    return torch.as_tensor(X)


def test_tensors_of_another_framework(backend):
    if backend == "keras":
        import keras

        if keras.backend.backend() == "torch":
            pytest.skip("its own")
    wrong = foreign(backend)
    for layer in (Dense(2), LTC(3), CfC(3)):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            layer(wrong)
        layer(X)
        with pytest.raises(TypeError, match=type(wrong).__name__):
            layer(wrong)
    with pytest.raises(TypeError, match=type(wrong).__name__):
        LTC(3)(X, timespans=wrong[:, :, 0] * 0)
    with pytest.raises(TypeError):
        Dense(2)("words")
    with pytest.raises(TypeError):
        Dense(2)(None)


class Holder(Layer):
    """Puts layers or weights where the framework does not look."""

    def __init__(self, kind, where="init", **options):
        super().__init__(**options)
        self.kind, self.where = kind, where
        if where == "init":
            self.hidden = self.wrapped(Dense(2))

    def wrapped(self, value):
        return {"list": [1, value], "tuple": (value,), "dict": {"a": value}}[self.kind]

    def build(self, input_shape):
        self.hidden = self.wrapped(self.add_weight("kernel", (2, 2)))

    def call(self, inputs):
        return inputs


class Late(Layer):
    """Fills its plain containers after they were assigned, or nests them."""

    def __init__(self, fill, **options):
        super().__init__(**options)
        self.fill = fill
        self.hidden = [] if fill == "append" else {"a": [Dense(2, input_size=3)]}
        self.hidden.append(Dense(2, input_size=3))

    def call(self, inputs):
        return self.hidden[0](inputs)


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
@pytest.mark.parametrize("where", ["init", "build"])
def test_layers_and_weights_in_plain_containers(backend, kind, where):
    with pytest.raises(
        TypeError, match=rf"Holder.hidden.*plain {kind}.*ncps.layers.{'Dict' if kind == 'dict' else 'List'}"
    ):
        Holder(kind, where)(X[:, 0, :2])
    if where == "init":  # filled later, or deep inside
        for fill in ("append", "nest"):
            with pytest.raises((TypeError, ValueError), match="hidden"):  # nnx says so itself
                Late(fill)(X[:, 0])
    layer = Dense(2)
    with pytest.raises(TypeError, match=r"Dense.friends"):
        layer.friends = [Dense(2)]
    assert not hasattr(layer, "friends")
    layer.numbers = [1, 2]  # other things are no matter
    layer.words = {"a": "b"}
    assert layer.numbers == [1, 2]


def test_containers_take_layers_only(backend):
    for wrong in (3, "dense", Dense, None, lambda x: x):
        with pytest.raises(TypeError, match=r"Expected layers of the backend"):
            List([wrong])
        if backend != "keras":
            with pytest.raises(TypeError, match=r"Expected layers of the backend"):
                Sequential([wrong])


class Fragile(Layer):
    """Fails in the middle of its first build."""

    broken = True

    def build(self, input_shape):
        self.first = self.add_weight("first", (input_shape[-1],), "uniform")
        self.inner = Dense(2)
        self.inner.ensure_built(input_shape)
        if type(self).broken:
            raise RuntimeError("in the middle")
        self.second = self.add_weight("second", (2,), "ones")

    def call(self, inputs):
        return self.inner(inputs * self.first) * self.second


def test_nothing_half_built_stays(backend):
    x = X[:, 0]
    layer = Fragile()
    Fragile.broken = True
    try:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="in the middle"):
                layer(x)
            assert not layer.built
            assert layer.weight_paths() == []
            assert not hasattr(layer, "first")
        Fragile.broken = False
        layer(x)
        assert sorted(layer.weight_paths()) == ["first", "inner/bias", "inner/kernel", "second"]
        if backend == "torch":
            assert len(list(layer.parameters())) == 4
    finally:
        Fragile.broken = True


@pytest.mark.parametrize("wrong", ["kernel_initializer", "bias_initializer"])
def test_a_build_that_fails_tells_the_same_again(backend, wrong):
    """The weight before the one that fails is gone."""
    layer = Dense(2, **{wrong: np.zeros(5)})
    messages = []
    for _ in range(2):
        with pytest.raises(ValueError, match=r"broadcast|shape") as caught:
            layer(X)
        messages.append(str(caught.value))
        assert not layer.built
        assert layer.get_weights() == []
    assert messages[0] == messages[1]


def test_a_call_that_fails_leaves_the_layer_and_the_scope_as_they_were(backend):
    layer = LTC(3)
    layer(X)
    before = weights_of(layer)
    with pytest.raises(ValueError, match="features"):
        layer(X[..., :1], training=True)
    from ncps.backend import active

    assert active.backend == backend
    assert active.training is None
    for path, array in weights_of(layer).items():
        np.testing.assert_array_equal(array, before[path])


def test_nan_inputs_stay_in_their_sample(backend):
    x = X.copy()
    x[0, 1, 0] = np.nan
    for layer in (LTC(3), CfC(3)):
        clean = to_numpy(layer(X))
        dirty = to_numpy(layer(x))
        assert np.isnan(dirty[0]).any()
        np.testing.assert_array_equal(dirty[1], clean[1])


def test_a_mask_hides_nan(backend):
    """A masked step counts for nothing, whatever stands there."""
    x = X.copy()
    x[0, 2:] = np.nan
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    for layer in (LTC(3), CfC(3)):
        clean = to_numpy(layer(X, mask=mask))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            dirty = to_numpy(layer(x, mask=mask))
        np.testing.assert_array_equal(dirty, clean)


def test_numbers_and_lists_are_inputs(backend):
    layer = Dense(2, kernel_initializer="ones")
    if backend != "keras":  # which takes lists for several inputs
        assert to_numpy(layer([[1, 2]])).tolist() == [[3, 3]]
        assert ops.dtype(layer([[1.0, 2.0]])) == "float32"
    assert to_numpy(layer(np.array([[1, 2]]))).tolist() == [[3, 3]]  # int64
    assert to_numpy(layer(np.array([[1.0, 2.0]]))).dtype == np.float32  # float64


def test_set_weights_takes_arrays_of_the_frameworks(backend):
    if backend not in NCPSBackend.available_backends():
        pytest.skip("not installed")
    with backend_scope(backend):
        layer = Dense(2, input_size=3)
    values = {"kernel": np.full((3, 2), 2.0), "bias": np.full(2, -1.0)}
    layer.set_weights([values[path] for path in layer.weight_paths()])
    assert to_numpy(layer(np.ones((1, 3), np.float32))).tolist() == [[5.0, 5.0]]


@pytest.mark.parametrize("fill", [-3.0, np.nan, np.inf])
def test_elapsed_times_of_masked_steps_may_be_anything(backend, fill):
    """Such as np.diff of time stamps that are padded with zeros."""
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    times = np.full((2, 4), 0.5, np.float32)
    padded = np.where(mask, times, fill)
    layer = CfC(3, backbone_units=4, input_size=3)
    wanted = to_numpy(layer(X, timespans=times, mask=mask))
    for given in (padded, padded[..., None], padded.tolist()):
        np.testing.assert_array_equal(to_numpy(layer(X, timespans=given, mask=mask)), wanted)
    single = to_numpy(layer(X[0], timespans=padded[0], mask=mask[0]))
    np.testing.assert_allclose(single, wanted[0], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"timespans\[1, 0\] = -1.0"):
        layer(X, timespans=np.where([[0], [1]], -1.0, padded), mask=mask)
    with pytest.raises(ValueError, match="at least 0"):
        layer(X, timespans=padded)


def test_options_that_no_layer_of_a_model_takes(backend):
    if backend == "keras":
        pytest.skip("Keras' own")
    model = Sequential([CfC(3), Dense(1)])
    wanted = to_numpy(model(X, timespans=0.1, training=False, resets=None))
    with pytest.raises(TypeError, match=r"Received: timespan\. Did you mean 'timespans'"):
        model(X, timespan=0.1)
    np.testing.assert_array_equal(to_numpy(model(X, timespans=0.1)), wanted)
    with pytest.raises(TypeError, match="timespan"):
        Dense(1)(X[:, 0], timespan=0.1)


def test_a_wired_cfc_tells_which_synapses_it_leaves_out():
    wiring = AutoNCP(8, 2)
    wiring.build(3)
    motor, inter = wiring.layers[-1][0], wiring.layers[0][0]
    with backend_scope("numpy"), warnings.catch_warnings():
        warnings.simplefilter("error")
        CfC(wiring, input_size=3)
        wiring.add_sensory_synapse(0, motor, 1)
        wiring.add_synapse(motor, inter, 1)
        LTC(wiring, input_size=3)
    with backend_scope("numpy"), pytest.warns(UserWarning, match="2 others"):
        CfC(wiring, fully_recurrent=False, input_size=3)


def test_no_activation_of_a_backbone_is_none():
    x = np.ones((2, 3, 4), "float32")
    with backend_scope("numpy"):
        linear, named = (CfC(5, backbone_activation=name, input_size=4) for name in (None, "linear"))
        named.set_weights(linear.get_weights())
        usual = CfC(5, input_size=4)
        usual.set_weights(linear.get_weights())
        again = CfC.from_config(linear.get_config())
        assert again.cell.backbone_activation is None
        np.testing.assert_array_equal(linear(x), named(x))
        assert np.abs(linear(x) - usual(x)).max() > 1e-3
        with pytest.raises(ValueError, match="backbone_activation with a wiring"):
            CfC(AutoNCP(8, 2), backbone_activation="tanh")


def test_layers_of_a_list_are_found_by_index():
    with backend_scope("numpy"):
        layers = List([CTRNN(2), CTRNN(3)])
        first, last = layers
        assert layers[0] is layers[-2] is first
        assert layers[1] is layers[-1] is last
        assert layers[::-1] == [last, first]
        for index in (2, -3):
            with pytest.raises(IndexError, match=f"2 layers, from 0. Received: {index}"):
                layers[index]
