"""What cannot be exported is refused with what is wrong and the way out, and leaves no file behind."""

import numpy as np
import pytest

import ncps
from ncps.export import to_c
from ncps.layers import GRU, LTC, RNN, Activation, Bidirectional, CfC, Dense, LTCCell, TimeDistributed
from ncps.models import Input, Model


class Other(LTCCell):
    def readout(self, emitted, constants):
        return 2 * super().readout(emitted, constants)


class Busy(Model):
    def __init__(self):
        super().__init__()
        self.rnn = CfC(4)

    def call(self, inputs):
        return 2 * self.rnn(inputs)


class Composed(Model):
    def __init__(self):
        super().__init__()
        self.readout, self.rnn = Dense(2), CfC(4)

    def call(self, inputs, timespans=None, mask=None):
        return self.readout(self.rnn(inputs, timespans=timespans, mask=mask))


def branched():
    series = Input((None, 3))
    h = CfC(4)(series)
    return Model(series, [Dense(1)(h), Dense(1)(h)])


def built(model):
    model(np.zeros((1, 2, 3), np.float32))
    return model


def with_nan():
    layer = built(CfC(4))
    weights = layer.get_weights()
    weights[1][2] = np.nan
    layer.set_weights(weights)
    return layer


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: built(GRU(4)), TypeError, r"Received: GRUCell .* has no such form\. Train one of these"),
        (lambda: built(ncps.Sequential([Bidirectional(CfC(4)), Dense(1)])), TypeError, r"Received: Bidirectional"),
        (lambda: built(CfC(4, go_backwards=True)), TypeError, r"CfC .*runs backwards.* go_backwards=False"),
        (lambda: built(RNN(Other(4))), TypeError, r"Received: Other"),
        (lambda: built(Dense(4, activation=np.sin)), TypeError, r"Dense .*whose activation is sin.* Name one"),
        (lambda: built(Busy()), ValueError, r"Busy to call its layers one after another"),
        (branched, ValueError, r"Received: 2 outputs\. Put the layers to export into an ncps\.Sequential"),
        (lambda: CfC(4), ValueError, r"Expected a built layer.* Received: CfC.* Call the model once"),
        (lambda: Activation("tanh"), ValueError, r"Expected a built layer.* Received: Activation"),
        (with_nan, ValueError, r"finite weights .* Received: cell/.* of CfC with NaN"),
        (lambda: object(), TypeError, r"Expected a layer"),
    ],
)
def test_models_without_a_form(make, error, message, tmp_path):
    with pytest.raises(error, match=message):
        to_c(make(), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_time_distributed_sequences(tmp_path):
    model = TimeDistributed(CfC(4))
    model(np.zeros((1, 2, 5, 3), np.float32))
    with pytest.raises(TypeError, match=r"TimeDistributed .*around a layer that runs over sequences"):
        to_c(model, tmp_path)


@pytest.mark.parametrize("name", ["", "a b", "2x", "int", "math", "_x", "é", "a-b", 3])
def test_names_that_are_no_identifiers(name, tmp_path):
    with pytest.raises(ValueError, match=r"Expected name as an identifier of C.* Received: "):
        to_c(Dense(1, input_size=1), tmp_path, name=name)
    assert not list(tmp_path.iterdir())


def test_unknown_weights(tmp_path):
    with pytest.raises(ValueError, match="weights='float32' or 'int8'"):
        to_c(Dense(1, input_size=1), tmp_path, weights="int4")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Expected a folder for x\.h, x\.c\. Received: .*file"):
        to_c(Dense(1, input_size=1), tmp_path / "file" / "inner", name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_leaves_all_as_it_was(tmp_path):
    to_c(Dense(1, input_size=1), tmp_path, name="x")
    (tmp_path / "x.c").unlink()
    (tmp_path / "x.c").mkdir()
    before = (tmp_path / "x.h").read_text()
    with pytest.raises(OSError, match=r"Expected a folder"):
        to_c(Dense(1, input_size=2), tmp_path, name="x")
    assert (tmp_path / "x.h").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.c", "x.h"]


def test_a_makefile_of_somebody_else(tmp_path):
    (tmp_path / "Makefile").write_text("all:\n")
    with pytest.raises(FileExistsError, match="without a Makefile"):
        to_c(Dense(1, input_size=1), tmp_path, name="x", example=True)
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_models_that_call_layers_one_after_another(tmp_path):
    code = to_c(built(Composed()), tmp_path)
    assert code.ram == 16


def test_a_graph_of_series_and_elapsed_times(tmp_path):
    series, elapsed = Input((None, 3), name="series"), Input((None,), name="elapsed")
    model = Model([series, elapsed], Dense(1)(LTC(5)(series, timespans=elapsed)))
    assert to_c(model, tmp_path).ram == 20
