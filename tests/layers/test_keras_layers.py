"""Our layers among Keras' own: in its wrappers and models, with its masks, states and files."""

import contextlib

import numpy as np
import pytest
from native import keras_framework, quick_compilation, to_numpy, weights_of

import ncps
from ncps import tree
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
    Bidirectional,
    CfC,
    CfCCell,
    CTGRUCell,
    CTRNNCell,
    Dense,
    GRUCell,
    LinOSS,
    LinOSSCell,
    LRCCell,
    LSTMCell,
    LTCCell,
    MixedMemory,
    MixedMemoryCell,
    NeuralODE,
    StackedRNNCells,
    TimeDistributed,
    WiredCfCCell,
)
from ncps.wirings import AutoNCP

keras = pytest.importorskip("keras")
ON_JAX = keras_framework() == "jax"

RNG = np.random.default_rng(0)
B, T, F = 3, 4, 2
X = RNG.normal(size=(B, T, F)).astype(np.float32)
TIMES = RNG.uniform(0.1, 1.5, size=(B, T)).astype(np.float32)
LENGTHS = [4, 3, 1]
MASK = np.arange(T) < np.array(LENGTHS)[:, None]
HOLES = np.array([[1, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]], bool)
PADDED = np.where(MASK[..., None], X, 0).astype(np.float32)  # what Masking takes for padding
RESETS = np.array([[0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], bool)
MERGES = ["concat", "sum", "mul", "ave", None]


def auto():
    return AutoNCP(6, 2, seed=3)


CELLS = {
    "ltc": lambda: LTCCell(auto(), unfolds=1),
    "cfc": lambda: CfCCell(3, backbone_units=4),
    "cfc_wired": lambda: WiredCfCCell(auto()),
    "lrc": lambda: LRCCell(auto()),
    "ctrnn": lambda: CTRNNCell(3, unfolds=1),
    "ctgru": lambda: CTGRUCell(3, time_constants=2),
    "gru": lambda: GRUCell(3),
    "lstm": lambda: LSTMCell(3),
    "linoss": lambda: LinOSSCell(3, output_units=2),
    "mixed": lambda: MixedMemoryCell(CfCCell(3, backbone_units=4)),
    "mixed_lstm": lambda: MixedMemoryCell(LSTMCell(2), memory_to="state"),
    "stacked": lambda: StackedRNNCells([GRUCell(3), LSTMCell(2)]),
}
SEQUENCES = {
    "ltc": lambda **o: LTC(auto(), unfolds=1, **o),
    "cfc": lambda **o: CfC(3, backbone_units=4, **o),
    "cfc_wired": lambda **o: CfC(auto(), **o),
    "lrc": lambda **o: LRC(auto(), **o),
    "gru": lambda **o: GRU(3, **o),
    "mixed": lambda **o: MixedMemory(LTCCell(auto(), unfolds=1), **o),
    "linoss": lambda **o: LinOSS(3, output_units=2, **o),
}
MORE = {
    "stc": lambda **o: STC(3, **o),
    "ctrnn": lambda **o: CTRNN(3, unfolds=1, **o),
    "neural_ode": lambda **o: NeuralODE(3, unfolds=1, **o),
    "ctgru": lambda **o: CTGRU(3, time_constants=2, **o),
    "lstm": lambda **o: LSTM(3, append_timespans=True, **o),
    "mixed_lstm": lambda **o: MixedMemory(LSTMCell(2), memory_to="state", **o),
    "stacked": lambda **o: RNN(CELLS["stacked"](), **o),
    "bidirectional": lambda **o: Bidirectional(GRU(3, **o)),
    "both_mixed": lambda **o: Bidirectional(MixedMemory(LSTMCell(2), **o), merge_mode="sum"),
}
EVERY = SEQUENCES | MORE


@pytest.fixture(autouse=True)
def on_keras():
    """Keras is active; calls outside of its models are not compiled, and those within quickly."""
    with backend_scope("keras"), compiling(False), quick_compilation() if ON_JAX else contextlib.nullcontext():
        ncps.set_seed(11)
        keras.utils.set_random_seed(0)
        yield


def compiling(on):
    """Whether jax compiles in a block: each of our calls would otherwise compile its own loop."""
    if not ON_JAX:
        return contextlib.nullcontext()
    import jax

    return jax.disable_jit(not on)


@pytest.fixture
def trains():
    """Skips where Keras runs on NumPy, which neither trains nor notes masks on its arrays."""
    if keras_framework() == "numpy":
        pytest.skip("Keras on NumPy does not train, and keeps no masks")


def equal(a, b, tolerance=2e-6):
    """Asserts that trees of tensors are equal, in the order of their leaves."""
    a, b = (tree.flatten(to_numpy(list(tree.flatten(x)[0])))[0] for x in (a, b))
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def shapes(outputs):
    return [tuple(x.shape) for x in tree.flatten(outputs)[0]]


def predict(model, *inputs):
    with compiling(True):
        return model.predict(list(inputs) if len(inputs) > 1 else inputs[0], verbose=0, batch_size=B)


def saved(model, tmp_path):
    """The model, from its file."""
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def fitted(model, inputs, targets, optimizer=None):
    """The losses of two epochs."""
    model.compile(optimizer or keras.optimizers.Adam(0.02), "mse")
    with compiling(True):
        return model.fit(inputs, targets, epochs=2, batch_size=B, verbose=0, shuffle=False).history["loss"]


def randomised(layer):
    """The layer with other weights than it began with: biases that are not zero, scales that are not one."""
    layer.set_weights([w + RNG.normal(size=w.shape) * 0.1 for w in layer.get_weights()])
    return layer


# ---- cells in keras.layers.RNN


@pytest.mark.parametrize("name", list(CELLS))
def test_cells_run_in_the_rnn_of_keras(name):
    cell = CELLS[name]()
    theirs = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    symbolic = theirs(keras.Input((T, F)))  # builds the cell
    randomised(cell)
    ours = RNN(cell, return_sequences=True, return_state=True)
    outputs, *states = theirs(X)
    wanted, *wanted_states = ours(X)
    equal((outputs, states), (wanted, wanted_states))
    assert [(None, *shape[1:]) for shape in shapes((wanted, wanted_states))] == shapes(symbolic)
    nested = tree.unflatten(tree.flatten(cell.state_size)[1], wanted_states)
    as_keras = nested if isinstance(nested, tuple) else [nested]
    equal(theirs(X, initial_state=list(as_keras)), ours(X, initial_state=nested))
    if name in ("ltc", "lstm"):
        last = keras.layers.RNN(cell, go_backwards=True)
        wanted = RNN(cell, go_backwards=True)(X)
        equal(predict(keras.Sequential([keras.Input((None, F)), last]), X), wanted)


@pytest.mark.parametrize("name", list(CELLS))
def test_cells_run_in_the_rnn_of_keras_with_a_mask(name):
    cell = CELLS[name]()
    # The loop of Keras on jax and NumPy holds the first state for the output; laid out, it does not.
    options = {"return_sequences": True, "return_state": True, "unroll": keras_framework() in ("jax", "numpy")}
    theirs, ours = keras.layers.RNN(cell, **options), RNN(cell, **options)
    theirs(X)
    randomised(cell)
    equal(theirs(X, mask=HOLES), ours(X, mask=HOLES))
    if name in ("ltc", "gru"):
        options = {"return_sequences": True, "zero_output_for_mask": True}
        equal(keras.layers.RNN(cell, **options)(X, mask=HOLES), RNN(cell, **options)(X, mask=HOLES))


def test_cells_run_in_the_stack_of_keras():
    cells = [CELLS[name]() for name in ("ltc", "cfc", "lstm")]
    options = {"return_sequences": True, "return_state": True, "unroll": keras_framework() in ("jax", "numpy")}
    theirs = keras.layers.RNN(cells, **options)  # makes keras.layers.StackedRNNCells
    theirs(X)
    for cell in cells:
        randomised(cell)
    ours = RNN(StackedRNNCells(cells), **options)
    equal(theirs(X), ours(X))
    equal(theirs(X, mask=HOLES), ours(X, mask=HOLES))
    model = keras.Sequential([keras.Input((None, F)), keras.layers.RNN(cells)])
    equal(predict(model, X), ours(X)[0][:, -1])


@pytest.mark.parametrize("name", ["cfc_wired", "lstm"])
def test_cells_run_in_the_stateful_rnn_of_keras(name, trains, tmp_path):
    cell = CELLS[name]()
    theirs = keras.layers.RNN(cell, stateful=True, return_sequences=True)
    model = keras.Sequential([keras.Input(batch_shape=(B, T // 2, F)), theirs])
    randomised(cell)
    whole = to_numpy(RNN(cell, return_sequences=True)(X))
    halves = [theirs(X[:, : T // 2]), theirs(X[:, T // 2 :])]
    equal(np.concatenate(to_numpy(halves), 1), whole)
    theirs.reset_state()
    equal(theirs(X[:, : T // 2]), whole[:, : T // 2])
    assert np.isfinite(fitted(model, X[:, : T // 2], np.zeros_like(whole)[:, : T // 2])).all()


def test_cells_in_the_rnn_of_keras_train_and_load(trains, tmp_path):
    layers = [keras.layers.RNN(CELLS["mixed_lstm"]()), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((None, F)), *layers])
    losses = fitted(model, X, X[:, -1, :1])
    assert losses[1] < losses[0]
    equal(saved(model, tmp_path)(X), model(X), 0)


def test_a_cell_with_dropout_trains_in_the_rnn_of_keras(trains):
    cell = CfCCell(3, backbone_units=8, backbone_dropout=0.5)  # draws in every step, which jax forbids in Keras' loop
    model = keras.Sequential([keras.Input((T, F)), keras.layers.RNN(cell, unroll=ON_JAX)])
    assert np.isfinite(fitted(model, X, np.zeros((B, 3)))).all()
    equal(predict(model, X), RNN(cell)(X))


# ---- sequence layers in the wrappers of Keras


@pytest.mark.parametrize(
    ("name", "merge"), [*((name, "concat") for name in SEQUENCES), *(("gru", m) for m in MERGES[1:])]
)
def test_sequence_layers_run_in_the_bidirectional_of_keras(name, merge):
    theirs = keras.layers.Bidirectional(SEQUENCES[name](return_sequences=True), merge)
    symbolic = theirs(keras.Input((T, F)))
    ours = Bidirectional(SEQUENCES[name](return_sequences=True, zero_output_for_mask=True), merge)  # as Keras does
    ours.build((None, T, F))
    ours.layer.set_weights(randomised(theirs.forward_layer).get_weights())
    ours.backward_layer.set_weights(randomised(theirs.backward_layer).get_weights())
    wanted = ours(X)
    equal(theirs(X), wanted)
    equal(theirs(X, mask=HOLES), ours(X, mask=HOLES))
    assert [(None, *shape[1:]) for shape in shapes(wanted)] == shapes(symbolic)


@pytest.mark.parametrize("name", ["gru", "mixed"])
def test_the_bidirectional_of_keras_returns_and_takes_states(name):
    layer = SEQUENCES[name](return_state=True)
    theirs = keras.layers.Bidirectional(layer)
    theirs(X)
    ours = Bidirectional(layer, backward_layer=SEQUENCES[name](return_state=True, go_backwards=True))
    ours(X)
    ours.layer.set_weights(theirs.forward_layer.get_weights())
    ours.backward_layer.set_weights(theirs.backward_layer.get_weights())
    outputs, *states = ours(X, mask=MASK)
    equal(theirs(X, mask=MASK), (outputs, states))
    equal(theirs(X, initial_state=states), ours(X, initial_state=states))


@pytest.mark.parametrize("name", list(SEQUENCES))
def test_sequence_layers_run_in_the_time_distributed_of_keras(name):
    series = RNG.normal(size=(B, 2, T, F)).astype(np.float32)
    mask = np.stack([MASK, HOLES], 1)
    layer = SEQUENCES[name]()
    theirs = keras.layers.TimeDistributed(layer)
    symbolic = theirs(keras.Input((2, T, F)))
    randomised(layer)
    ours = TimeDistributed(layer)
    wanted = ours(series, mask=mask)
    equal(theirs(series, mask=mask), wanted)
    equal(layer(series[:, 0], mask=MASK), to_numpy(wanted)[:, 0])
    assert shapes(symbolic) == shapes(ours(keras.Input((2, T, F)))) == [(None, *wanted.shape[1:])]


@pytest.mark.parametrize("wrap", ["keras", "ours"])
def test_models_with_wrappers_train_and_load(wrap, trains, tmp_path):
    package = keras.layers if wrap == "keras" else ncps.layers
    layers = [
        package.TimeDistributed(Dense(3, "tanh")),
        package.Bidirectional(GRU(3), merge_mode="sum"),
    ]
    model = keras.Sequential([keras.Input((T, F)), keras.layers.Masking(), *layers])
    losses = fitted(model, PADDED, np.ones((B, 3), np.float32))
    assert losses[1] < losses[0]
    equal(saved(model, tmp_path)(PADDED), model(PADDED), 0)


# ---- masks of Keras


@pytest.mark.parametrize("name", ["ltc", "cfc_wired", "linoss", "bidirectional"])
def test_masks_of_keras_reach_our_layers(name, trains):
    layer = EVERY[name]()
    layer(X)
    randomised(layer)
    model = keras.Sequential([keras.Input((None, F)), keras.layers.Masking(), layer])
    equal(predict(model, PADDED), layer(X, mask=MASK))


def test_masks_of_keras_reach_our_layers_however_they_are_called(trains):
    layer = CfC(3, backbone_units=4)
    wanted = layer(X, mask=MASK, timespans=TIMES)
    masked = keras.layers.Masking()(PADDED)
    times = keras.ops.convert_to_tensor(TIMES)
    equal(layer(masked), layer(X, mask=MASK))
    equal(layer(masked, timespans=TIMES), wanted)
    equal(layer(sequences=masked, timespans=TIMES), wanted)
    equal(layer(masked, None, None, times), wanted)
    equal(layer(masked, mask=HOLES), layer(PADDED, mask=HOLES))  # an explicit mask wins
    inputs = keras.Input((None, F))
    equal(keras.Model(inputs, layer(keras.layers.Masking()(inputs)))(PADDED), layer(X, mask=MASK))


def test_masks_of_an_embedding_reach_our_layers_in_keras(trains, tmp_path):
    words = np.where(MASK, RNG.integers(1, 9, size=(B, T)), 0)
    embedding = keras.layers.Embedding(9, 4, mask_zero=True)
    first, second = Bidirectional(GRU(5, return_sequences=True), merge_mode="mul"), LTC(auto(), unfolds=1)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), embedding, first, second])
    vectors = to_numpy(embedding(words))
    wanted = second(first(vectors, mask=MASK), mask=MASK)
    equal(predict(model, words), wanted)
    equal(predict(saved(model, tmp_path), words), wanted)
    equal(second(first(vectors[1:2, : LENGTHS[1]])), to_numpy(wanted)[1:2])  # a series alone, at its true length


def test_masks_reach_layers_with_timespans_in_a_model_that_keras_compiles():
    """There jax holds tensors that take no attributes, and Keras keeps their masks elsewhere."""

    class Irregular(keras.Model):
        def __init__(self):
            super().__init__()
            self.masking, self.rnn = keras.layers.Masking(), CfC(3, backbone_units=4)

        def call(self, inputs):
            series, elapsed = inputs
            return self.rnn(self.masking(series), timespans=elapsed)

    model = Irregular()
    got = predict(model, PADDED, TIMES)
    equal(got, model.rnn(PADDED, mask=MASK, timespans=TIMES))
    assert np.abs(got - to_numpy(model.rnn(PADDED, timespans=TIMES))).max() > 1e-3


def test_losses_of_keras_leave_masked_steps_out(trains):
    layers = [CfC(3, backbone_units=4, return_sequences=True), Bidirectional(GRU(2, return_sequences=True))]
    layers += [TimeDistributed(Dense(2))]
    model = keras.Sequential([keras.Input((None, F)), keras.layers.Masking(), *layers])
    model.compile("sgd", "mse")
    outputs = predict(model, PADDED)
    wanted = (outputs[MASK] ** 2).mean()
    np.testing.assert_allclose(model.evaluate(PADDED, np.zeros_like(outputs), verbose=0), wanted, rtol=1e-5)


def test_both_outputs_of_an_unmerged_bidirectional_keep_the_mask_of_keras(trains):
    layer = Bidirectional(GRU(2, return_sequences=True, return_state=True), merge_mode=None)
    (forward, backward), *states = layer(keras.layers.Masking()(PADDED))
    for outputs in (forward, backward):
        np.testing.assert_array_equal(to_numpy(outputs._keras_mask), MASK)
    assert all(getattr(state, "_keras_mask", None) is None for state in states)


def test_masks_of_words_and_sentences_reach_their_layers_in_keras(trains):
    """An Embedding masks words; a sentence without words is masked itself."""
    words = RNG.integers(1, 9, size=(B, 4, T))
    words[0, :, 3:], words[1, 2:], words[2, 1:] = 0, 0, 0
    embedding, inner, outer = keras.layers.Embedding(9, 4, mask_zero=True), CfC(3, backbone_units=4), GRU(2)
    model = keras.Sequential([keras.Input((4, T), dtype="int32"), embedding, TimeDistributed(inner), outer])
    vectors = to_numpy(embedding(words))
    sentences = np.stack([to_numpy(inner(vectors[:, i], mask=words[:, i] > 0)) for i in range(4)], 1)
    equal(predict(model, words), outer(sentences, mask=(words > 0).any(-1)))


# ---- stateful layers


def stateful(name, steps):
    """A model of one stateful layer with random weights, the layer, and the same without states."""
    layer = EVERY[name](stateful=True, return_sequences=True)
    model = keras.Sequential([keras.Input(batch_shape=(B, steps, F)), layer])
    plain = EVERY[name](return_sequences=True)
    plain(X)
    plain.set_weights(randomised(layer).get_weights())
    return model, layer, plain


@pytest.mark.parametrize("name", ["ltc", "gru", "linoss", "mixed_lstm"])
def test_stateful_layers_go_on_in_keras(name, tmp_path):
    model, layer, plain = stateful(name, T // 2)
    first, second = X[:, : T // 2], X[:, T // 2 :]
    whole = to_numpy(plain(X))
    equal(np.concatenate([to_numpy(layer(first)), to_numpy(layer(second))], 1), whole)
    layer.reset_state()
    equal(np.concatenate([predict(model, first), predict(model, second)], 1), whole)
    layer.reset_state()
    equal(predict(model, first), whole[:, : T // 2])
    again = saved(model, tmp_path)  # states are no weights: they are not in the file
    equal(again(first), whole[:, : T // 2])
    assert len(model.get_weights()) == len(plain.get_weights())


def test_stateful_layers_of_both_directions_in_keras():
    layers = [MixedMemory(LSTMCell(2), stateful=True) for _ in range(2)]
    ours, theirs = Bidirectional(layers[0]), keras.layers.Bidirectional(layers[1])
    ours(X)
    theirs(X)
    theirs.forward_layer.set_weights(ours.layer.get_weights())
    theirs.backward_layer.set_weights(ours.backward_layer.get_weights())
    ours.reset_state()
    theirs.reset_state()
    fresh = ours(X)
    equal(theirs(X), fresh)
    second = ours(X)
    assert np.abs(to_numpy(second) - to_numpy(fresh)).max() > 1e-3
    equal(theirs(X), second)


@pytest.mark.parametrize("name", ["linoss", "mixed_lstm"])
def test_stateful_layers_train_in_keras(name, trains):
    """The state after `fit` is that after as many calls, and no tracer."""
    model, layer, plain = stateful(name, T)
    targets = np.zeros((B, T, plain.cell.output_size), np.float32)
    fitted(model, X, targets, keras.optimizers.SGD(0.0))  # weights stay, so that the states can be compared
    equal(layer(X), to_numpy(plain(np.tile(X, (1, 3, 1))))[:, -T:], 1e-5)


def test_a_stateful_layer_without_batch_size_says_so_in_keras():
    with pytest.raises(ValueError, match=r"fixed batch size.*batch_shape"):
        LTC(3, stateful=True)(keras.Input((T, F)))
    with pytest.raises(ValueError, match=r"fixed batch size.*batch_shape"):
        Bidirectional(CfC(3, stateful=True))(keras.Input((T, F)))
    layer = CfC(3, stateful=True)
    layer(X)
    with pytest.raises(ValueError, match="3 samples"):
        layer(X[:2])


def test_weights_of_a_stateful_layer_go_to_another_batch_size_in_keras(tmp_path):
    """As for a network that is trained in batches and then runs on one stream."""
    models = []
    for batch in (B, 1):
        layers = [CfC(3, backbone_units=4, stateful=True), keras.layers.Dense(1)]
        models.append(keras.Sequential([keras.Input(batch_shape=(batch, T, F)), *layers]))
    models[0](X)
    models[0].save_weights(tmp_path / "model.weights.h5")
    models[1].load_weights(tmp_path / "model.weights.h5")
    models[0].layers[0].reset_state()
    wanted = to_numpy(models[0](X))
    equal(models[1](X[:1]), wanted[:1])
    models[1].set_weights(models[0].get_weights())
    models[1].layers[0].reset_state()
    equal(models[1](X[1:2]), wanted[1:2])


# ---- models with several inputs


@pytest.mark.parametrize("name", [*SEQUENCES, "bidirectional"])
def test_functional_models_of_keras_take_timespans_and_masks(name, trains):
    layer, model = timed(name)
    randomised(layer)
    wanted = layer(X, mask=MASK, timespans=TIMES)
    equal(model([PADDED, TIMES]), wanted)
    assert np.abs(to_numpy(wanted) - to_numpy(layer(X, timespans=TIMES))).max() > 1e-3  # the mask does something


def timed(name):
    """A layer, and a model that gives it its timespans and the mask of a Masking."""
    layer = EVERY[name]()
    inputs, times = keras.Input((None, F)), keras.Input((None,))
    return layer, keras.Model([inputs, times], layer(keras.layers.Masking()(inputs), timespans=times))


def test_functional_models_of_keras_train_and_load(trains, tmp_path):
    layer, model = timed("cfc")
    losses = fitted(model, [PADDED, TIMES], np.ones((B, 3), np.float32))
    assert losses[1] < losses[0]
    equal(predict(model, PADDED, TIMES), layer(X, mask=MASK, timespans=TIMES))
    equal(saved(model, tmp_path)([PADDED, TIMES]), model([PADDED, TIMES]), 0)


@pytest.mark.parametrize("name", ["cfc", "linoss", "both_mixed"])
def test_functional_models_of_keras_take_masks_resets_and_states(name, tmp_path):
    layer = EVERY[name](return_state=True)
    state = [to_numpy(x) for x in layer(X)[1:]]
    randomised(layer)
    inputs = {
        "x": keras.Input((T, F), name="x"),
        "timespans": keras.Input((T, 1), name="timespans"),
        "mask": keras.Input((T,), dtype="bool", name="mask"),
        "resets": keras.Input((T,), dtype="bool", name="resets"),
    }
    states = [keras.Input(x.shape[1:], name=f"state{i}") for i, x in enumerate(state)]
    options = {name: x for name, x in inputs.items() if name != "x"}
    model = keras.Model([*inputs.values(), *states], layer(inputs["x"], initial_state=states, **options))
    arrays = {"timespans": TIMES[..., None], "mask": HOLES, "resets": RESETS}
    wanted = layer(X, initial_state=state, **arrays)
    equal(predict(model, X, *arrays.values(), *state), wanted)
    for left_out in list(arrays)[name == "both_mixed" :]:  # each has an effect; on an LSTM, time has none
        others = layer(X, initial_state=state, **{key: x for key, x in arrays.items() if key != left_out})
        assert np.abs(to_numpy(others[0]) - to_numpy(wanted[0])).max() > 1e-4, left_out
    equal(saved(model, tmp_path)([X, *arrays.values(), *state]), wanted)


# ---- states


@pytest.mark.parametrize("name", ["ltc", "linoss", "mixed_lstm", "stacked", "both_mixed"])
def test_keras_gets_flat_states_and_gives_them_back(name):
    layer = EVERY[name](return_state=True, return_sequences=True)
    outputs, *states = layer(X)
    cells = [layer.layer.cell, layer.backward_layer.cell] if isinstance(layer, Bidirectional) else [layer.cell]
    sizes = tuple(cell.state_size for cell in cells) if len(cells) > 1 else cells[0].state_size
    structure = tree.flatten(sizes)[1]
    assert [state.shape for state in states] == [(B, size) for size in tree.flatten(sizes)[0]]
    nested = tree.unflatten(structure, states)
    after = layer(X, initial_state=nested)
    equal(layer(X, initial_state=states), after)
    equal(layer(X, initial_state=[to_numpy(state) for state in states]), after)
    assert np.abs(to_numpy(after[0]) - to_numpy(outputs)).max() > 1e-4
    if not isinstance(layer, Bidirectional):
        twice = layer(np.concatenate([X, X], 1))
        equal((twice[0][:, T:], twice[1:]), after)


@pytest.mark.parametrize("name", list(EVERY))
@pytest.mark.parametrize("sequences", [False, True])
def test_keras_knows_the_shapes_of_outputs(name, sequences):
    layer = EVERY[name](return_sequences=sequences, return_state=not sequences)
    real = layer(X)
    for shape in ((None, None, F), (B, None, F), (B, T, F)):
        symbolic = layer(keras.KerasTensor(shape))
        wanted = [x if shape[0] else (None, *x[1:]) for x in shapes(real)]
        wanted = [x if shape[1] or len(x) == 2 else (x[0], None, x[2]) for x in wanted]
        assert shapes(symbolic) == shapes(layer.compute_output_spec(keras.KerasTensor(shape))) == wanted
        assert tree.flatten(symbolic)[1] == tree.flatten(real)[1]
    again = type(layer).from_config(layer.get_config())
    assert shapes(again(keras.KerasTensor((B, T, F)))) == shapes(real)  # also before it is called


@pytest.mark.parametrize("name", list(CELLS))
def test_keras_runs_cells_symbolically(name, trains):
    cell = CELLS[name]()
    output, state = cell(X[:, 0], cell.get_initial_state(B))
    leaves = [keras.Input((size,)) for size in tree.flatten(cell.state_size)[0]]
    given = tree.unflatten(tree.flatten(cell.state_size)[1], leaves)
    inputs, time = keras.Input((F,)), keras.Input((1,))
    symbolic = cell(inputs, given, timespan=time)
    assert shapes(symbolic) == [(None, *shape[1:]) for shape in shapes((output, state))]
    model = keras.Model([inputs, time, *leaves], symbolic)
    states = [RNG.normal(size=(B, leaf.shape[1])).astype(np.float32) for leaf in leaves]
    wanted = cell(X[:, 0], tree.unflatten(tree.flatten(given)[1], states), timespan=TIMES[:, :1])
    equal(model([X[:, 0], TIMES[:, :1], *states]), wanted)


# ---- files and configurations


@pytest.mark.parametrize("name", list(EVERY))
def test_models_of_keras_with_our_layers_save_and_load(name, tmp_path):
    options = {"return_sequences": True, "go_backwards": True}
    layer = EVERY[name](**options)
    model = keras.Sequential([keras.Input((None, F)), layer, keras.layers.Dense(1)])
    randomised(layer)
    again = saved(model, tmp_path)
    assert again.layers[0].get_config() == layer.get_config()
    assert type(again.layers[0]) is type(layer)
    for a, b in zip(again.layers[0].get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    equal(again(X), model(X), 0)
    copy = keras.models.clone_model(model)
    assert copy.layers[0].get_config() == layer.get_config()
    copy.set_weights(model.get_weights())


# ---- the gated layers of Keras


@pytest.mark.parametrize("mask", [None, MASK, HOLES], ids=["whole", "padded", "holes"])
def test_lstm_is_that_of_keras(mask):
    options = {"return_sequences": True, "return_state": True}
    ours, theirs = LSTM(4, **options), keras.layers.LSTM(4, **options)
    ours(X)
    theirs(X)
    randomised(ours)
    theirs.set_weights([weights_of(ours)[f"cell/{path}"] for path in ("kernel", "recurrent_kernel", "bias")])
    equal(ours(X, mask=mask), theirs(X, mask=mask))
    states = list(ours(X)[1:])
    equal(ours(X, initial_state=states, mask=mask), theirs(X, initial_state=states, mask=mask))


@pytest.mark.parametrize("mask", [None, MASK, HOLES], ids=["whole", "padded", "holes"])
def test_gru_is_that_of_keras(mask):
    options = {"return_sequences": True, "return_state": True}
    ours, theirs = GRU(4, **options), keras.layers.GRU(4, reset_after=True, **options)
    ours(X)
    theirs(X)
    weights = weights_of(randomised(ours))
    biases = weights["cell/bias"], np.concatenate([np.zeros(8), weights["cell/recurrent_bias"]])
    theirs.set_weights([weights["cell/kernel"], weights["cell/recurrent_kernel"], np.stack(biases)])
    equal(ours(X, mask=mask), theirs(X, mask=mask))
    states = list(ours(X)[1:])
    equal(ours(X, initial_state=states, mask=mask), theirs(X, initial_state=states, mask=mask))
