"""Callbacks of ours, of Keras and of a user, and what is shown."""

import csv
import io

import numpy as np
import pytest
from small_models import SERIES, TARGETS, plain

import ncps
from ncps import callbacks, optimizers
from ncps.backend import NCPSBackend, backend_scope
from ncps.training import progress


def fitted(*given, epochs=4, optimizer=None, **options):
    ncps.set_seed(1)
    model = plain()
    model.compile(optimizer or optimizers.SGD(0.02), "mse", metrics=["mae"])
    options = {"batch_size": 6, "shuffle": False, "verbose": 0, "validation_split": 0.25} | options
    return model, model.fit(SERIES, TARGETS, epochs=epochs, callbacks=list(given), **options)


class Spy:
    """A user's callback that derives from nothing of ours."""

    def __init__(self):
        self.moments = []

    def set_model(self, model):
        self.model = model

    def set_params(self, params):
        self.params = params

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *args: self.moments.append((name, *args[:1]))


class Own(callbacks.Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def test_callbacks_hear_of_every_moment_in_order(trains):
    spy, own = Spy(), Own()
    given = (own,) if trains == "keras" else (spy, own)  # Keras wants its own methods
    model, history = fitted(*given, epochs=2)
    assert own.model is model
    assert own.params["epochs"] == 2
    assert own.params["steps"] == 3
    assert len(own.losses) == 6
    np.testing.assert_allclose(own.losses[2::3], history.history["loss"], rtol=1e-5)
    assert history.epoch == [0, 1]
    if trains != "keras":
        steps = [("on_train_batch_begin", i) for i in range(3)], [("on_train_batch_end", i) for i in range(3)]
        epoch = [moment for pair in zip(*steps, strict=True) for moment in pair]
        test = ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"]
        names = [moment[0] for moment in spy.moments]
        one = ["on_epoch_begin", *(name for name, _ in epoch), *test, "on_epoch_end"]
        assert names == ["on_train_begin", *one, *one, "on_train_end"]


@pytest.mark.parametrize("backend", ["torch"])
def test_callbacks_of_keras_work_in_our_loop(backend, tmp_path):
    keras = pytest.importorskip("keras")
    if backend not in NCPSBackend.available_backends():
        pytest.skip("not installed")
    with backend_scope(backend):
        theirs = [
            keras.callbacks.EarlyStopping("loss", patience=1, min_delta=100.0, restore_best_weights=True),
            keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs["loss"]),
        ]
        _, history = fitted(*theirs, epochs=6)
    assert len(history.epoch) == 2
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


def test_early_stopping_stops_and_restores(trains):
    class Worse(callbacks.Callback):  # from the third epoch on the learning rate is far too large
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.optimizer.learning_rate = 3.0

    stopping = callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    model, history = fitted(Worse(), stopping, epochs=12, optimizer=optimizers.SGD(0.01, clipnorm=1.0))
    values = history.history["val_loss"]
    best = int(np.argmin(values))
    assert len(values) == best + 3 < 12
    assert stopping.best_epoch == best
    got = model.evaluate(SERIES[18:], TARGETS[18:], verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(got, values[best], rtol=1e-4)


def test_checkpoints_are_models(trains, tmp_path):
    if trains == "keras":
        saved = callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}.weights.h5", save_weights_only=True)
        fitted(saved, epochs=2)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["01.weights.h5", "02.weights.h5"]
        return
    every = callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.safetensors")
    best = callbacks.ModelCheckpoint(tmp_path / "best" / "model", save_best_only=True)
    weights = callbacks.ModelCheckpoint(tmp_path / "weights", save_weights_only=True, save_freq=4)
    model, history = fitted(every, best, weights, epochs=3)
    losses = history.history["val_loss"]
    names = [f"{i + 1:02d}-{loss:.3f}.safetensors" for i, loss in enumerate(losses)]
    assert all((tmp_path / name).exists() for name in names)
    again = ncps.saving.load(tmp_path / names[-1])
    np.testing.assert_array_equal(again.predict(SERIES, verbose=0), model.predict(SERIES, verbose=0))
    again = ncps.saving.load(tmp_path / "best" / "model")
    np.testing.assert_allclose(again.evaluate(SERIES[18:], TARGETS[18:], verbose=0)[0], min(losses), rtol=1e-5)
    model.load_weights(tmp_path / "weights")


def test_learning_rates_follow_schedules_and_plateaus(trains):
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    _, history = fitted(schedule, epochs=3, optimizer=optimizers.SGD(0.08))
    np.testing.assert_allclose(history.history["learning_rate"], [0.04, 0.02, 0.01], rtol=1e-6)
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=100.0, cooldown=1, min_lr=1e-3)
    _, history = fitted(plateau, epochs=6, optimizer=optimizers.SGD(0.08))
    np.testing.assert_allclose(history.history["learning_rate"], [0.08, 0.08, 0.008, 0.001, 0.001, 0.001], rtol=1e-5)


def test_logs_go_into_a_table(trains, tmp_path):
    path = tmp_path / "log.csv"
    _, history = fitted(callbacks.CSVLogger(path), epochs=2)
    fitted(callbacks.CSVLogger(path, append=True), epochs=3, initial_epoch=2)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert set(rows[0]) == {"epoch", "loss", "mae", "val_loss", "val_mae"}
    np.testing.assert_allclose([float(row["loss"]) for row in rows[:2]], history.history["loss"])


def test_averaged_weights_are_set_in_the_end(trains):
    class Seen(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weights.append(self.model.get_weights()[0])

    weights = []
    model, _ = fitted(Seen(), callbacks.AverageWeights(0.9), epochs=2)
    average = weights[0]
    for steps, new in enumerate(weights, 1):
        decay = min(0.9, steps / (steps + 10))
        average = decay * average + (1 - decay) * new
    np.testing.assert_allclose(model.get_weights()[0], average, rtol=1e-5)


def test_a_watched_name_that_is_not_there_is_told(trains):
    with pytest.raises(ValueError, match=r"watch one of loss, mae.* Received: monitor='val_los'"):
        fitted(callbacks.EarlyStopping("val_los"))


def test_a_watched_validation_needs_validation_data(trains):
    with pytest.raises(ValueError, match=r"watch one of loss, mae.* Received: monitor='val_loss'"):
        fitted(callbacks.EarlyStopping(), validation_split=0.0)


def test_epochs_without_a_validation_are_skipped(trains, tmp_path):
    stopping = callbacks.EarlyStopping(patience=2, min_delta=100.0)
    plateau = callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=100.0)
    saved = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5",
        save_best_only=True,
        save_weights_only=True,
        mode="max",
        initial_value_threshold=0.0,
    )
    given = (stopping, plateau, saved, callbacks.CSVLogger(tmp_path / "log.csv"))
    _, history = fitted(*given, epochs=12, validation_freq=2, optimizer=optimizers.SGD(0.08))
    assert history.epoch == list(range(6))  # the validations after epochs 2, 4 and 6
    np.testing.assert_allclose(history.history["learning_rate"], [0.08] * 4 + [0.04] * 2, rtol=1e-6)
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["2.weights.h5"]  # the others are worse
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["val_loss"] == "NA" for row in rows] == [True, False] * 3
    np.testing.assert_allclose([float(row["val_mae"]) for row in rows[1::2]], history.history["val_mae"])


@pytest.mark.usefixtures("on_torch")
def test_a_fit_of_epochs_without_any_validation_warns():
    with pytest.warns(UserWarning, match="EarlyStopping has seen no val_loss.*validation_freq"):
        fitted(callbacks.EarlyStopping(), epochs=2, validation_freq=3)


LOSSES = {
    "improves": [1.0, 0.9, 0.8, 0.7, 0.6],
    "improves and stays": [1.0, 0.9, 0.8, 0.8, 0.8, 0.8],
    "meets the baseline late": [1.0, 1.1, 0.05, 0.06, 0.07, 0.08, 0.09],
    "up and down": [0.5, 0.6, 0.4, 0.5, 0.6, 0.3, 0.4, 0.5, 0.6, 0.7],
    "NaN": [0.5, float("nan"), 0.4, 0.6, 0.7, 0.8],
}
OPTIONS = [
    {"baseline": 0.1, "patience": 3},
    {"baseline": 0.1},
    {"patience": 2},
    {"patience": 2, "min_delta": 0.15},
    {"patience": 1, "start_from_epoch": 2, "restore_best_weights": True},
]


class Weighted:
    """A model whose weights are the number of the epoch."""

    stop_training, weights = False, -1

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def stopped(callback, losses):
    """The epochs that the callback lets train, its best one, and the weights in the end."""
    model = Weighted()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.weights = epoch
        callback.on_epoch_end(epoch, {"loss": loss})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch, callback.best_epoch, callback.wait, model.weights


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@pytest.mark.parametrize("losses", list(LOSSES))
def test_early_stopping_stops_where_keras_does(losses, options):
    keras = pytest.importorskip("keras")
    found = [
        stopped(library.EarlyStopping("loss", mode="min", **options), LOSSES[losses])
        for library in (callbacks, keras.callbacks)
    ]
    assert found[0] == found[1]


def test_a_table_has_the_columns_of_keras(tmp_path):
    keras = pytest.importorskip("keras")
    logs, tables = {"mae": 2.0, "loss": 1.0}, []
    for library in (callbacks, keras.callbacks):
        table = library.CSVLogger(str(tmp_path / "log.csv"))
        table.on_train_begin()
        for epoch, validated in enumerate([{}, {"val_loss": 3.0, "val_mae": 4.0}]):
            table.on_epoch_end(epoch, logs | validated)
        table.on_train_end()
        tables.append([line for line in (tmp_path / "log.csv").read_text().splitlines() if line])
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: callbacks.ModelCheckpoint("x", save_best_only=True, save_freq=4),
            "Received: save_freq=4, monitor='val_",
        ),
        (lambda: callbacks.EarlyStopping(mode="up"), "mode='auto'"),
        (lambda: callbacks.ReduceLROnPlateau(factor=2.0), "between 0 and 1"),
        (lambda: callbacks.ModelCheckpoint("x", save_freq=0), "number of steps"),
    ],
)
def test_wrong_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_file_name_with_a_number_that_is_not_there_is_an_error():
    saved = callbacks.ModelCheckpoint("{epoch}-{val_loss}")
    with pytest.raises(ValueError, match=r"\['epoch', 'loss'\].*val_loss.*validate after every epoch"):
        saved.save({"loss": 1.0})


# ---- what is shown


@pytest.fixture
def on_torch():
    if "torch" not in NCPSBackend.available_backends():
        pytest.skip("not installed")
    with backend_scope("torch"):
        yield


@pytest.mark.usefixtures("on_torch")
@pytest.mark.parametrize(("verbose", "lines"), [("auto", 0), (0, 0), (1, 2), (2, 2)])
def test_without_a_terminal_only_those_who_ask_see_lines(capsys, verbose, lines):
    fitted(epochs=2, verbose=verbose)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == lines
    if lines:
        assert all(part in shown[0] for part in ("Epoch 1/2", "loss ", "mae ", "val_loss "))


@pytest.mark.usefixtures("on_torch")
def test_on_a_terminal_a_bar_shows_rate_loss_and_metrics(monkeypatch):
    output = io.StringIO()
    console = progress.Console
    monkeypatch.setattr(
        progress, "Console", lambda **options: console(file=output, force_terminal=True, width=120, **options)
    )
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    fitted(epochs=2, verbose="auto")
    shown = output.getvalue()
    for part in ("Epoch 1/2", "Epoch 2/2", "3/3", "/s", "loss ", "mae ", "val_mae "):
        assert part in shown


@pytest.mark.usefixtures("on_torch")
def test_an_unknown_verbosity_is_told():
    with pytest.raises(ValueError, match="verbose=7"):
        fitted(verbose=7)
