"""Losses and metrics against Keras' own and against their definitions."""

import numpy as np
import pytest
from small_models import SERIES, TARGETS, can_train, plain

import ncps
from ncps import losses, metrics
from ncps.backend import backend_scope

RNG = np.random.default_rng(3)
B, T, C = 7, 4, 3
REAL = RNG.normal(size=(2, B, T, C)).astype(np.float32)
LABELS = RNG.integers(0, C, size=(B, T))
ONE_HOT = np.eye(C, dtype=np.float32)[LABELS]
BINARY = RNG.integers(0, 2, size=(B, T, 1)).astype(np.float32)
PROBABILITIES = np.exp(REAL[1]) / np.exp(REAL[1]).sum(-1, keepdims=True)
ODDS = REAL[1][..., :1]
SHARE = 1 / (1 + np.exp(-ODDS))
WEIGHTS = {"none": None, "samples": RNG.uniform(0, 2, B).astype(np.float32),
           "steps": RNG.uniform(0, 2, (B, T)).astype(np.float32)}  # fmt: skip
MASK = np.arange(T) < RNG.integers(1, T + 1, size=B)[:, None]
LOGITS = {"from_logits": True}
LOSSES = [
    (losses.MeanSquaredError(), "MeanSquaredError", {}, REAL[0], REAL[1]),
    (losses.MeanAbsoluteError(), "MeanAbsoluteError", {}, REAL[0], REAL[1]),
    (losses.Huber(0.7), "Huber", {"delta": 0.7}, REAL[0], REAL[1]),
    (losses.BinaryCrossentropy(), "BinaryCrossentropy", {}, BINARY, SHARE),
    (losses.BinaryCrossentropy(True, 0.1), "BinaryCrossentropy", {**LOGITS, "label_smoothing": 0.1}, BINARY, ODDS),
    (losses.CategoricalCrossentropy(), "CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    (losses.CategoricalCrossentropy(True, 0.2), "CategoricalCrossentropy", {**LOGITS, "label_smoothing": 0.2},
     ONE_HOT, REAL[1]),
    (losses.SparseCategoricalCrossentropy(), "SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    (losses.SparseCategoricalCrossentropy(True), "SparseCategoricalCrossentropy", LOGITS, LABELS, REAL[1]),
    (losses.SparseCategoricalCrossentropy(ignore_class=1), "SparseCategoricalCrossentropy", {"ignore_class": 1},
     LABELS, PROBABILITIES),
    (losses.SparseCategoricalCrossentropy(True, -1), "SparseCategoricalCrossentropy", {**LOGITS, "ignore_class": -1},
     LABELS - 1, REAL[1]),
]  # fmt: skip


def value(function, *args, **kwargs):
    return float(np.asarray(ncps.ops.convert_to_numpy(function(*args, **kwargs))))


@pytest.mark.parametrize("weights", list(WEIGHTS))
@pytest.mark.parametrize("case", LOSSES, ids=lambda case: repr(case[0]))
def test_losses_have_the_values_of_the_reference(backend, case, weights):
    keras = pytest.importorskip("keras")
    loss, name, options, y, outputs = case
    theirs = getattr(keras.losses, name)(**options)
    for mask in (None, MASK) if can_train("keras") else (None,):  # Keras on NumPy has no masks
        predictions = keras.ops.convert_to_tensor(outputs)
        if mask is not None:
            predictions._keras_mask = keras.ops.convert_to_tensor(mask)
        given = WEIGHTS[weights]
        if weights == "samples":  # Keras wants an axis for T, and with a mask on torch all of it
            given = np.repeat(given[:, None], T, 1)
        wanted = float(np.asarray(keras.ops.convert_to_numpy(theirs(y, predictions, given))))
        np.testing.assert_allclose(value(loss, y, outputs, WEIGHTS[weights], mask), wanted, rtol=1e-5)


METRICS = [
    (metrics.MeanSquaredError(), "MeanSquaredError", {}, REAL[0], REAL[1]),
    (metrics.MeanAbsoluteError(), "MeanAbsoluteError", {}, REAL[0], REAL[1]),
    (metrics.RootMeanSquaredError(), "RootMeanSquaredError", {}, REAL[0], REAL[1]),
    (metrics.BinaryAccuracy(0.4), "BinaryAccuracy", {"threshold": 0.4}, BINARY, SHARE),
    (metrics.CategoricalAccuracy(), "CategoricalAccuracy", {}, ONE_HOT, PROBABILITIES),
    (metrics.SparseCategoricalAccuracy(), "SparseCategoricalAccuracy", {}, LABELS, REAL[1]),
    (metrics.AUC(), "AUC", {}, BINARY, SHARE),
    (metrics.AUC(20, from_logits=True), "AUC", {"num_thresholds": 20, "from_logits": True}, BINARY, ODDS),
    (metrics.AUC(curve="PR"), "AUC", {"curve": "PR"}, BINARY, SHARE),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", METRICS, ids=lambda case: repr(case[0]))
def test_metrics_have_the_values_of_the_reference(backend, case, weighted):
    keras = pytest.importorskip("keras")
    metric, name, options, y, outputs = case
    theirs, state = getattr(keras.metrics, name)(**options), metric.start()
    for part in (slice(3), slice(3, None)):
        weight = WEIGHTS["samples"][part] if weighted else None
        theirs.update_state(
            y[part], outputs[part], weight if name != "AUC" or weight is None else weight[:, None, None]
        )
        state = metric.update(tuple(map(ncps.ops.convert_to_tensor, state)), y[part], outputs[part], weight)
    with np.errstate(invalid="ignore"):  # Keras on NumPy divides by 0, and then chooses
        wanted = float(np.asarray(keras.ops.convert_to_numpy(theirs.result())))
    np.testing.assert_allclose(value(metric.result, state), wanted, rtol=2e-5)


def test_padding_counts_nothing_whatever_it_holds(backend):
    outputs = np.where(MASK[..., None], REAL[1], np.nan)
    for loss, metric in (
        (losses.MeanSquaredError(), metrics.MeanSquaredError()),
        (losses.Huber(), metrics.get("huber")),
    ):
        alone = np.mean([value(loss, REAL[0][MASK][i : i + 1], REAL[1][MASK][i : i + 1]) for i in range(MASK.sum())])
        np.testing.assert_allclose(value(loss, REAL[0], outputs, None, MASK), alone, rtol=1e-5)
        state = metric.update(tuple(map(ncps.ops.convert_to_tensor, metric.start())), REAL[0], outputs, None, MASK)
        np.testing.assert_allclose(value(metric.result, state), alone, rtol=1e-5)


def test_the_mean_is_that_of_the_classes_that_are_not_ignored(backend):
    loss = losses.SparseCategoricalCrossentropy(True, ignore_class=1)
    counted = LABELS != 1
    with backend_scope("numpy"):
        wanted = value(losses.SparseCategoricalCrossentropy(True), LABELS[counted], REAL[1][counted])
    outputs = np.where(counted[..., None], REAL[1], np.nan)
    np.testing.assert_allclose(value(loss, LABELS, outputs), wanted, rtol=1e-5)
    assert value(loss, np.ones_like(LABELS), REAL[1]) == 0
    if backend == "keras":  # as Keras' own models see it
        from ncps.backends.keras.models import keras_loss

        np.testing.assert_allclose(value(keras_loss(loss), LABELS, REAL[1]), wanted, rtol=1e-5)


def test_a_loss_among_the_metrics_is_reported_under_its_name(trains):
    model = plain()
    chosen = {"metrics": [losses.MeanAbsoluteError()], "weighted_metrics": [losses.Huber(0.5)]}
    model.compile(ncps.optimizers.SGD(0.0), "mse", **chosen)
    found = model.fit(SERIES, TARGETS, batch_size=24, verbose=0).history
    assert sorted(found) == ["huber", "loss", "mean_absolute_error"]
    error = np.abs(model.predict(SERIES, verbose=0) - TARGETS)
    np.testing.assert_allclose(found["mean_absolute_error"], error.mean(), rtol=1e-5)
    small = np.minimum(error, 0.5)
    np.testing.assert_allclose(found["huber"], (small * (error - small / 2)).mean(), rtol=1e-5)


def test_a_loss_as_a_metric_leaves_out_what_it_ignores(backend):
    loss = losses.SparseCategoricalCrossentropy(True, ignore_class=1)
    metric = metrics.get(loss)
    state = tuple(map(ncps.ops.convert_to_tensor, metric.start()))
    state = metric.update(state, LABELS, REAL[1], WEIGHTS["steps"], MASK)
    weights = WEIGHTS["steps"] * (LABELS != 1) * MASK
    with backend_scope("numpy"):
        wanted = np.average(losses.SparseCategoricalCrossentropy(True).call(LABELS, REAL[1]), weights=weights)
    np.testing.assert_allclose(value(metric.result, state), wanted, rtol=1e-5)


def test_half_precision_is_measured_in_single(backend):
    outputs = ncps.ops.cast(ncps.ops.convert_to_tensor(REAL[1]), "float16")
    got = losses.MeanSquaredError()(REAL[0], outputs)
    assert ncps.ops.dtype(got) == "float32"


WRONG = [
    (lambda: losses.get("msee"), ValueError, "Did you mean 'mse'"),
    (lambda: metrics.get("acuracy"), ValueError, "Did you mean 'accuracy'"),
    (lambda: ncps.optimizers.get("adm"), ValueError, "Did you mean 'adam'"),
    (lambda: losses.get(3), ValueError, "Expected a loss out of mse"),
    (
        lambda: losses.MeanSquaredError()(np.zeros(3), np.zeros((3, 2))),
        ValueError,
        r"targets \(3,\), predictions \(3, 2\)",
    ),
    (lambda: losses.get("sparse_categorical_crossentropy")(ONE_HOT, REAL[1]), ValueError, "One-hot targets go with"),
    (lambda: losses.get("mse")(REAL[0], REAL[1], np.zeros(5)), ValueError, r"\(7, 4\) begins with. Received: \(5,\)"),
    (lambda: metrics.AUC(1), ValueError, "num_thresholds"),
    (lambda: ncps.optimizers.Adam(-1.0), ValueError, "learning_rate of at least 0"),
    (lambda: ncps.optimizers.Adam(clipnorm=1.0, clipvalue=1.0), ValueError, "Received: clipnorm, clipvalue"),
    (lambda: losses.Loss()(REAL[0], REAL[1]), NotImplementedError, "does not define call"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_is_wrong_is_told(call, error, message):
    with backend_scope("numpy"), pytest.raises(error, match=message):
        call()


def test_configurations_come_back():
    huber = losses.Huber(0.3)
    for thing in (huber, metrics.get(huber), metrics.AUC(50, "PR"), ncps.optimizers.SGD(0.1, momentum=0.9)):
        data = ncps.serialization.serialize(thing)
        assert ncps.serialization.deserialize(data) == thing
    with pytest.raises(TypeError, match="number"):
        ncps.serialization.serialize(ncps.optimizers.SGD(lambda step: 0.1))


def test_names_are_those_of_keras():
    keras = pytest.importorskip("keras")
    if not can_train("keras"):
        pytest.skip("no keras that trains")
    for name in losses.NAMED:
        assert keras.losses.get(name) is not None
    for name in metrics.NAMED:
        if name not in ("accuracy", "acc", "huber"):  # which of them depends on the shapes; Keras has it as a loss only
            assert keras.metrics.get(name) is not None
    for name, kind in ncps.optimizers.NAMED.items():
        theirs = keras.optimizers.get(name).get_config()
        for argument, ours in kind().arguments().items():
            np.testing.assert_allclose(theirs[argument] or 0, ours or 0, err_msg=f"{name}: {argument}")
