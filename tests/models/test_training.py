"""`fit` and its kin: the same numbers on every backend, which are Keras' numbers."""

import functools
import os

import numpy as np
import pytest
from small_models import CLASSES, ELAPSED, MASK, SERIES, STEPS, TARGETS, Irregular, can_train, plain, sequential

import ncps
from ncps import callbacks, losses, metrics, optimizers
from ncps.backend import NCPSBackend, backend_scope
from ncps.layers import Dense
from ncps.training import data

REFERENCE = "torch"  # which the others are held against
needs_reference = pytest.mark.skipif(REFERENCE not in NCPSBackend.available_backends(), reason="not installed")


def compiled(make, optimizer, loss="mse", backend=None, **options):
    """A model from seed 1, compiled."""
    ncps.set_seed(1)
    model = make()
    model.compile(optimizer, loss, **options)
    return model


def losses_of_steps(optimizer, steps, backend, make=sequential):
    """The losses of single steps through the same batches in the same order."""
    with backend_scope(backend):
        model = compiled(make, optimizer)
        parts = [slice(8 * (i % 3), 8 * (i % 3) + 8) for i in range(steps)]
        return np.array([model.train_on_batch(SERIES[part], TARGETS[part]) for part in parts])


# ---- the same training everywhere


@pytest.fixture
def on_reference():
    with backend_scope(REFERENCE):
        yield


@needs_reference
@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.05), optimizers.Adam(0.01)], ids=["sgd", "adam"])
def test_twenty_steps_have_the_same_losses_on_every_backend(trains, optimizer):
    wanted = losses_of_steps(optimizer, 20, REFERENCE)
    assert wanted[-1] < 0.7 * wanted[0]
    np.testing.assert_allclose(losses_of_steps(optimizer, 20, trains), wanted, rtol=1e-4)


OPTIONS = [
    optimizers.SGD(0.05, momentum=0.9),
    optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    optimizers.SGD(0.05, weight_decay=0.1),
    optimizers.SGD(0.05, clipnorm=0.3),
    optimizers.SGD(0.05, clipvalue=0.05),
    optimizers.SGD(0.05, global_clipnorm=0.5),
    optimizers.RMSprop(0.003),
    optimizers.RMSprop(0.003, momentum=0.5, centered=True),
    optimizers.Adam(0.01, beta_1=0.8, amsgrad=True),
    optimizers.AdamW(0.01, weight_decay=0.1),
    optimizers.Adamax(0.01),
    optimizers.Nadam(0.01),
    optimizers.Adagrad(0.05),
    optimizers.Adadelta(0.5),
    optimizers.Lion(0.003),
]


@functools.cache
def own_losses(i, backend):
    """The losses of five steps with an optimizer of the list, None where the framework has no such optimizer."""
    try:
        return losses_of_steps(OPTIONS[i], 5, backend, plain)
    except ncps.UnsupportedOperationError:
        return None


@pytest.mark.skipif(not can_train("keras"), reason="no keras that trains")
@pytest.mark.parametrize("i", range(len(OPTIONS)), ids=map(repr, OPTIONS))
def test_every_optimizer_has_the_numbers_of_the_original(trains, i):
    if trains == "keras":
        pytest.skip("the original")
    optimizer = OPTIONS[i]
    if (got := own_losses(i, trains)) is None:
        pytest.skip(f"{trains} has none")
    # RMSprop and its like add epsilon before or after the root, Nadam has a schedule in Keras and torch only
    tolerance = 2e-2 if isinstance(optimizer, (optimizers.Nadam, optimizers.RMSprop, optimizers.Adadelta)) else 1e-3
    np.testing.assert_allclose(got, own_losses(i, "keras"), rtol=tolerance)


def test_a_learning_rate_may_be_a_function_of_the_step(trains):
    if trains == "keras":
        pytest.skip("Keras has schedules of its own")
    model = compiled(plain, optimizers.SGD(lambda step: 0.1 / (1 + step)))
    rates = []
    for _ in range(3):
        model.train_on_batch(SERIES, TARGETS)
        rates.append(model.optimizer.learning_rate)
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1 / 3], rtol=1e-6)
    assert model.optimizer.iterations == 3


# ---- fit, evaluate, predict: the numbers of Keras

CASES = {
    "plain": (sequential, SERIES, TARGETS, {"loss": "mse", "metrics": ["mae", "mse"]}, {}),
    "times_and_mask": (
        lambda: Irregular(sequences=True),
        {"series": SERIES, "timespans": ELAPSED, "mask": MASK},
        STEPS,
        {"loss": losses.Huber(0.5), "metrics": ["mae", metrics.RootMeanSquaredError()]},
        {},
    ),
    "tuple_and_weights": (
        Irregular,
        (SERIES, ELAPSED, MASK),
        TARGETS,
        {"loss": "mae", "metrics": ["mse"], "weighted_metrics": ["mse"]},
        {"sample_weight": np.linspace(0, 2, 24).astype(np.float32)},
    ),
    "classes": (
        lambda: sequential(3),
        SERIES,
        CLASSES,
        {"loss": losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": ["accuracy"]},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
    ),
    "one_hot": (
        lambda: sequential(3),
        SERIES,
        np.eye(3, dtype=np.float32)[CLASSES],
        {"loss": losses.CategoricalCrossentropy(True, 0.1), "metrics": ["accuracy"]},
        {},
    ),
    "binary": (
        sequential,
        SERIES,
        (TARGETS > 0).astype(np.float32),
        {
            "loss": losses.BinaryCrossentropy(from_logits=True),
            "metrics": [metrics.BinaryAccuracy(0.0), metrics.AUC(from_logits=True), metrics.AUC(50, "PR", True)],
        },
        {},
    ),
}


def history_of(case, backend, **more):
    make, x, y, compiling, fitting = CASES[case]
    with backend_scope(backend):
        model = compiled(make, optimizers.SGD(0.05), **compiling)
        options = {"epochs": 2, "batch_size": 6, "shuffle": False, "verbose": 0, "validation_split": 0.25}
        fitting = {**options, **fitting, **more}
        return model, model.fit(x, y, **fitting).history


history_of_keras = functools.cache(functools.partial(history_of, backend="keras"))


def same_numbers(got, wanted):
    assert set(got) == set(wanted)
    for name, numbers in wanted.items():
        np.testing.assert_allclose(got[name], numbers, rtol=2e-4, atol=1e-6, err_msg=name)


@pytest.mark.skipif(not can_train("keras"), reason="no keras that trains")
@pytest.mark.parametrize("case", list(CASES))
def test_fit_reports_what_keras_reports(trains, case):
    if trains == "keras" or (os.environ["KERAS_BACKEND"] != "torch" and trains != "torch"):
        pytest.skip("each is held against Keras on torch, and torch against Keras on the others")
    _, x, y, _, _ = CASES[case]
    model, got = history_of(case, trains)
    other, wanted = history_of_keras(case)
    same_numbers(got, wanted)
    same_numbers(*(each.evaluate(x, y, batch_size=6, verbose=0, return_dict=True) for each in (model, other)))
    np.testing.assert_allclose(model.predict(x, 6, verbose=0), other.predict(x, verbose=0), rtol=0, atol=1e-4)


def test_epochs_go_through_the_samples_in_an_order_that_the_seed_repeats(trains):
    if trains == "keras":
        pytest.skip("Keras shuffles")
    first, second = (history_of("plain", trains, shuffle=True)[1]["loss"] for _ in range(2))
    assert first == second
    assert first != history_of("plain", trains)[1]["loss"]


def test_every_fit_draws_new_orders_and_a_resumed_one_those_of_the_uninterrupted(trains, tmp_path):
    if trains == "keras":
        pytest.skip("Keras shuffles")
    options = {"batch_size": 6, "verbose": 0}
    still = compiled(plain, optimizers.SGD(0.0))
    orders = [still.fit(SERIES, TARGETS, **options, callbacks=[FirstLoss()]).history["first"][0] for _ in range(3)]
    assert len(set(orders)) == 3
    wanted = compiled(plain, optimizers.Adam(0.01)).fit(SERIES, TARGETS, epochs=4, **options).history["loss"]
    model = compiled(plain, optimizers.Adam(0.01))
    model.fit(SERIES, TARGETS, epochs=2, **options)
    model.save(tmp_path / "model", optimizer=True)
    again, unnumbered = ncps.saving.load(tmp_path / "model"), ncps.saving.load(tmp_path / "model")
    for resumed in (model, again):
        got = resumed.fit(SERIES, TARGETS, epochs=4, initial_epoch=2, **options).history["loss"]
        np.testing.assert_allclose(got, wanted[2:], rtol=1e-6)
    np.testing.assert_allclose(unnumbered.fit(SERIES, TARGETS, **options).history["loss"], wanted[2:3], rtol=1e-6)


class FirstLoss(callbacks.Callback):
    """Notes the loss of the first batch of each epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.first = logs["loss"]

    def on_epoch_end(self, epoch, logs=None):
        logs["first"] = self.first


def test_numpy_evaluates_and_predicts(backend):
    if backend != "numpy":
        pytest.skip("that one")
    model = compiled(sequential, "adam", metrics=["mae"])
    loss, mae = model.evaluate(SERIES, TARGETS, verbose=0)
    outputs = model.predict(SERIES)
    np.testing.assert_allclose([loss, mae], [((outputs - TARGETS) ** 2).mean(), np.abs(outputs - TARGETS).mean()], 1e-5)
    with pytest.raises(ncps.UnsupportedOperationError, match=r"Installed: .*pip install"):
        model.fit(SERIES, TARGETS)


def test_predictions_follow_a_layer_that_is_exchanged(trains):
    if trains == "keras":
        pytest.skip("Keras asks for another compile")
    model, new = Irregular(), Dense(1, input_size=5)
    model.predict(SERIES, verbose=0)
    model.readout = new
    wanted = ncps.ops.convert_to_numpy(model(SERIES))
    np.testing.assert_allclose(model.predict(SERIES, verbose=0), wanted, rtol=0, atol=1e-5)


def new_readout(model, **options):
    """Gives a model of `plain` another last layer."""
    ncps.set_seed(2)
    setattr(model, "1", Dense(1, **options))
    return model


IN_ORDER = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.mark.parametrize("options", [{"input_size": 3}, {}], ids=["built", "built by fit"])
def test_weights_that_came_since_are_trained_with_an_optimizer_anew(trains, options):
    if trains == "keras":
        pytest.skip("Keras asks for another compile")
    fresh = new_readout(plain(), input_size=3)
    fresh.compile(optimizers.Adam(0.05), "mse")
    fresh.fit(SERIES, TARGETS, **IN_ORDER)
    model = compiled(plain, optimizers.Adam(0.05))
    model.fit(SERIES, TARGETS, **IN_ORDER)
    new_readout(model, **options).fit(SERIES, TARGETS, **IN_ORDER)
    np.testing.assert_allclose(model.get_weights()[0], fresh.get_weights()[0], rtol=1e-5)
    assert model.optimizer.iterations == 3
    model.fit(SERIES, TARGETS, **IN_ORDER)  # the same weights: it goes on
    assert model.optimizer.iterations == 6


def own_optimizer(backend, model):
    """One of the framework's own, and whether it may be bound to other weights."""
    if backend == "torch":
        import torch

        return torch.optim.Adam(model.parameters(), 0.05), False
    if backend == "jax":
        import optax
        from flax import nnx

        return nnx.Optimizer(model, optax.adam(0.05), wrt=nnx.Param), False
    if backend == "mlx":
        import mlx.optimizers

        return mlx.optimizers.Adam(0.05), True
    import tensorflow as tf

    return tf.compat.v1.train.AdamOptimizer(0.05), True


def test_an_own_optimizer_follows_new_weights_or_says_that_it_cannot(trains):
    if trains == "keras":
        pytest.skip("Keras asks for another compile")
    model = plain()
    model(SERIES)
    optimizer, follows = own_optimizer(trains, model)
    model.compile(optimizer, "mse")
    model.fit(SERIES, TARGETS, **IN_ORDER)
    new_readout(model, input_size=3)
    if not follows:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"the model trains now.* made for those of before.* call compile"):
                model.fit(SERIES, TARGETS, **IN_ORDER)
        model.compile(own_optimizer(trains, model)[0], "mse")
    before = model.get_weights()
    model.fit(SERIES, TARGETS, **IN_ORDER)
    assert all((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize("own", [False, True], ids=["ours", "own"])
@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_weights_that_are_frozen_no_longer_are_trained(backend, own):
    if not can_train(backend):
        pytest.skip("not installed")
    with backend_scope(backend):
        model = sequential()
        model(SERIES)
        layer = getattr(model, "0")
        model.compile(own_optimizer(backend, model)[0] if own else "adam", "mse")
        for trained in (False, True):
            if backend == "torch":
                layer.requires_grad_(trained)
            else:
                (layer.unfreeze if trained else layer.freeze)()
            before = layer.get_weights()[0]
            model.fit(SERIES, TARGETS, **IN_ORDER)
            assert (layer.get_weights()[0] != before).any() == trained


# ---- where batches come from


def generated(batches):
    while True:
        yield from batches


def sources():
    batches = [(SERIES[i : i + 8], TARGETS[i : i + 8]) for i in range(0, 24, 8)]
    yield "arrays", lambda: ((SERIES, TARGETS), {"batch_size": 8, "shuffle": False})
    yield "list", lambda: ((batches,), {})
    yield "generator", lambda: ((generated(batches),), {"steps_per_epoch": 3})
    yield "loader", lambda: ((loader(),), {})
    yield "dataset", lambda: ((dataset(),), {})


def loader():
    torch_data = pytest.importorskip("torch.utils.data")
    import torch

    return torch_data.DataLoader(torch_data.TensorDataset(torch.tensor(SERIES), torch.tensor(TARGETS)), batch_size=8)


def dataset():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((SERIES, TARGETS)).batch(8)


@pytest.mark.parametrize("kind", ["list", "generator", "loader", "dataset"])
def test_batches_come_from_anything_that_gives_them(trains, kind):
    if trains == "keras" and kind == "list":
        pytest.skip("to Keras a list is several inputs")
    kinds = dict(sources())
    results = []
    for each in ("arrays", kind):
        args, options = kinds[each]()
        model = compiled(plain, "sgd")
        results.append(model.fit(*args, epochs=2, verbose=0, **options).history["loss"])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)


ROWS = np.arange(8)[:, None]
SOURCES = {
    "arrays": lambda: (ROWS, {"batch_size": 2}),
    "list": lambda: ([(rows,) for rows in ROWS.reshape(4, 2, 1)], {}),
    "generator": lambda: (((rows,) for rows in ROWS.reshape(4, 2, 1)), {}),
}


def passes(kind, count, **options):
    """The numbers of the batches in so many passes."""
    x, own = SOURCES[kind]()
    batches = data.batches_of(x, **own, **options)
    return [[int(batch.x[0, 0]) // 2 for batch in batches] for _ in range(count)]


@pytest.mark.parametrize("kind", ["arrays", "list"])
def test_every_validation_sees_the_first_batches_and_training_goes_on(kind):
    assert passes(kind, 3, steps=3) == [[0, 1, 2]] * 3
    assert passes(kind, 3, steps=3, goes_on=True) == [[0, 1, 2], [3, 0, 1], [2, 3, 0]]
    assert passes(kind, 2, goes_on=True) == [[0, 1, 2, 3]] * 2


def test_a_generator_goes_on_until_it_is_exhausted():
    assert passes("generator", 2, steps=2) == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match=r"Expected 3 batches .* Received: 1\. A generator .* begin again"):
        passes("generator", 2, steps=3, goes_on=True)
    with pytest.raises(ValueError, match=r"Expected 3 batches .* Received: 0\. Look at"):
        list(data.Batches([], steps=3))


def test_a_loader_need_not_know_its_length():
    class Loader(list):
        def __len__(self):
            raise TypeError("The dataset length is unknown.")

    batches = data.Batches(Loader([(ROWS,)]))
    assert batches.steps is None
    assert sum(1 for _ in batches) == 1


@needs_reference
@pytest.mark.usefixtures("on_reference")
def test_steps_of_a_loader_of_four_batches_and_of_a_split():
    model, batches = compiled(plain, "sgd"), [(SERIES[i : i + 6], TARGETS[i : i + 6]) for i in range(0, 24, 6)]
    options = {"epochs": 3, "verbose": 0}
    steps = {"steps_per_epoch": 3, "validation_data": batches, "validation_steps": 3}
    assert np.isfinite(model.fit(batches, **options, **steps).history["val_loss"]).all()
    history = model.fit(SERIES, TARGETS, validation_split=0.25, steps_per_epoch=2, **options).history
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(SERIES[18:], TARGETS[18:], verbose=0), rel=1e-5)


# ---- weights of classes

BINARY_STEPS = np.array([[0, 1, 1], [1, 0, 0]])
WEIGHTED_STEPS = [[1, 10, 10], [10, 1, 1]]
TARGETS_OF_CLASSES = {
    "classes": ([0, 1, 2, 1, -1], [1, 10, 1, 10, 1]),  # those without a weight have 1
    "column": ([[0], [1]], [1, 10]),
    "steps": (BINARY_STEPS, WEIGHTED_STEPS),
    "real steps": (BINARY_STEPS.astype("float32"), WEIGHTED_STEPS),
    "column of steps": (np.eye(2)[..., None], [[10, 1], [1, 10]]),
    "one event in each": (np.eye(3, dtype=int), [[10, 1, 1], [1, 10, 1], [1, 1, 10]]),
    "one-hot": (np.eye(2, dtype=int)[[0, 1, 1]], [1, 10, 10]),
    "real one-hot of more classes": (np.eye(3), [1, 10, 1]),
    "shares": ([[0.2, 0.8], [0.9, 0.1]], [10, 1]),
    "one-hot steps": (np.eye(3, dtype=int)[BINARY_STEPS], WEIGHTED_STEPS),
    "real one-hot steps": (np.eye(2)[BINARY_STEPS], WEIGHTED_STEPS),
}


@pytest.mark.parametrize("kind", list(TARGETS_OF_CLASSES))
def test_weights_of_classes_reach_each_sample_or_step(kind):
    y, wanted = TARGETS_OF_CLASSES[kind]
    np.testing.assert_array_equal(data.class_weights(np.array(y), {0: 1.0, 1: 10.0}), wanted)


def test_weights_of_classes_multiply_those_of_samples_and_steps():
    weigh = functools.partial(data.class_weights, weights={0: 1.0, 1: 10.0})
    samples, steps = np.array([2, 3]), np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(weigh(np.array([0, 1]), sample_weight=samples), [2, 30])
    np.testing.assert_array_equal(weigh(np.array([0, 1]), sample_weight=steps), [[1, 2, 3], [40, 50, 60]])
    np.testing.assert_array_equal(weigh(BINARY_STEPS, sample_weight=samples), [[2, 20, 20], [30, 3, 3]])
    np.testing.assert_array_equal(weigh(BINARY_STEPS, sample_weight=steps), [[1, 20, 30], [40, 5, 6]])


@pytest.mark.parametrize("y", [[0.5, 1.0], [[0.3, 0.3]], ["a", "b"], np.ones((2, 2, 2), int)], ids=repr)
def test_targets_that_are_no_classes_are_told(y):
    with pytest.raises(ValueError, match=r"one-hot.* Received: ndarray of shape .*Give sample_weight"):
        data.class_weights(np.array(y), {0: 1.0, 1: 10.0})


# ---- a loss that is not finite


def test_a_step_with_a_loss_that_is_not_finite_is_not_taken(trains):
    targets = TARGETS.copy()
    targets[17] = np.nan  # in the third batch
    model = compiled(sequential, optimizers.Adam(0.01))
    other = compiled(sequential, optimizers.Adam(0.01))
    other.fit(SERIES[:16], TARGETS[:16], batch_size=8, shuffle=False, verbose=0)
    with pytest.raises(FloatingPointError, match=r"step 3 .*smaller learning rate"):
        model.fit(SERIES, targets, batch_size=8, shuffle=False, verbose=0)
    for got, wanted in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    model.fit(SERIES, TARGETS, batch_size=8, verbose=0)  # and goes on
    with pytest.raises(FloatingPointError, match="step 1"):
        model.train_on_batch(SERIES, targets)


# ---- several outputs


class Two(ncps.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.left, self.right = sequential(2), sequential(1)

    def call(self, inputs):
        return {"left": self.left(inputs), "right": self.right(inputs)}


def test_several_outputs_have_losses_and_metrics_of_their_own(trains):
    if trains == "keras":
        pytest.skip("Keras' own business")
    y = {"left": np.repeat(TARGETS, 2, 1), "right": TARGETS}
    model = compiled(Two, "sgd", {"left": "mse", "right": "mae"}, loss_weights={"left": 2.0, "right": 0.5},
                     metrics={"left": ["mae"], "right": ["mse"]})  # fmt: skip
    results = model.evaluate(SERIES, y, verbose=0, return_dict=True)
    outputs = model.predict(SERIES, verbose=0)
    left, right = (outputs[name] - y[name] for name in ("left", "right"))
    wanted = {
        "loss": 2 * (left**2).mean() + 0.5 * np.abs(right).mean(),
        "left_mae": np.abs(left).mean(),
        "right_mse": (right**2).mean(),
    }
    assert set(results) == set(wanted)
    for name, value in wanted.items():
        assert abs(results[name] - value) < 1e-5 * value
    before = results["loss"]
    model.fit(SERIES, y, epochs=5, verbose=0)
    assert model.evaluate(SERIES, y, verbose=0)[0] < before


# ---- ways to compile


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"jit_compile": False}], ids=["eager", "not_compiled"])
def test_steps_need_not_be_compiled(trains, options):
    results = []
    for each in ({}, options):
        model = compiled(sequential, "sgd", **each)
        results.append(model.fit(SERIES, TARGETS, batch_size=8, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_on_torch(precision):
    if not can_train("torch"):
        pytest.skip("not installed")
    with backend_scope("torch"):
        model = compiled(sequential, optimizers.SGD(0.02), mixed_precision=precision)
        history = model.fit(SERIES, TARGETS, epochs=8, batch_size=8, shuffle=False, verbose=0).history["loss"]
        exact = compiled(sequential, optimizers.SGD(0.02))
        wanted = exact.fit(SERIES, TARGETS, epochs=8, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert all(weight.dtype == np.float32 for weight in model.get_weights())
    assert history != wanted
    if precision == "bfloat16":
        np.testing.assert_allclose(history, wanted, rtol=0.05)
    else:  # the first scales are too large, and their steps are not taken
        assert history[-1] < 0.3 * history[0]


def test_mixed_precision_elsewhere_says_where_it_is(trains):
    if trains == "torch":
        pytest.skip("there it is")
    model = compiled(sequential, "sgd", mixed_precision="bfloat16")
    with pytest.raises(ncps.UnsupportedOperationError, match=f'on {trains}.*dtype="mixed_bfloat16"'):
        model.fit(SERIES, TARGETS, verbose=0)


# ---- mistakes

FEW = (SERIES[:8], TARGETS[:8])
MISTAKES = {
    "lengths": (lambda: ((SERIES, TARGETS[:5]), {}), "x 24, y 5"),
    "no samples": (lambda: ((SERIES[:0], TARGETS[:0]), {}), "at least one sample"),
    "no batches": (lambda: ((iter([]),), {}), "Received: 0"),
    "too few batches": (lambda: ((iter([FEW]),), {"steps_per_epoch": 2}), "Received: 1"),
    "no targets": (lambda: ((SERIES,), {}), "targets y"),
    "other features": (lambda: (([FEW, (np.zeros((8, 4, 5), "float32"), TARGETS[:8])],), {}), "for 3 features"),
    "other targets": (lambda: (([FEW, (SERIES[:8], np.zeros((8, 2), "float32"))],), {}), r"targets \(\w+, 2\)"),
    "weights": (lambda: ((SERIES, TARGETS), {"sample_weight": np.ones(3, "float32")}), "sample_weight 3"),
    "split": (lambda: ((SERIES, TARGETS), {"validation_split": 1.5}), "validation_split=1.5 of 24"),
    "batch size": (lambda: ((SERIES, TARGETS), {"batch_size": 0}), "batch_size=0"),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_mistakes_are_told_and_do_no_harm(trains, mistake):
    if trains == "keras":
        pytest.skip("Keras tells its own")
    if trains == "mlx":
        import mlx.core as mx

        mx.enable_compile()  # where an error leaves something behind
    make, message = MISTAKES[mistake]
    args, options = make()
    model = compiled(plain, "sgd")
    with pytest.raises(ValueError, match=message):
        model.fit(*args, verbose=0, **options)
    losses = model.fit(SERIES, TARGETS, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert np.isfinite(model.predict(SERIES, verbose=0)).all()


def test_what_is_no_data_is_told(trains):
    if trains == "keras":
        pytest.skip("Keras tells its own")
    model = compiled(sequential, "sgd")
    for x, received in ((SERIES.tolist(), "list"), ("x", "str"), (np.array([["a"]] * 24), "of <U1")):
        with pytest.raises(TypeError, match=f"Received: .*{received}"):
            model.fit(x, TARGETS, verbose=0)
    with pytest.raises(RuntimeError, match=r"Call model\.compile"):
        sequential().fit(SERIES, TARGETS)
