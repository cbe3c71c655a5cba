"""The frameworks' own ways to export take our layers: torch.export, jax.export, SavedModel and TFLite."""

import io

import numpy as np
import pytest
from trained_models import CELLS, FEATURES, STEPS, expected, trained

import ncps
from ncps import tree
from ncps.backend import backend_scope

LIMIT = 1e-5
FEW = ("LTC", "CfC", "MixedMemory")


@pytest.mark.parametrize("cell", FEW)
def test_torch_exports_sequences_of_any_length(cell):
    torch = pytest.importorskip("torch")
    model = ncps.convert(trained(cell, "torch"), "torch")
    inputs, times, outputs = expected(cell, "torch")
    any_length = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with torch.no_grad():
        program = torch.export.export(
            model,
            (torch.zeros(3, 5, FEATURES),),
            kwargs={"timespans": torch.ones(3, 5)},
            dynamic_shapes={"inputs": any_length, "timespans": any_length},
        )
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    again = torch.export.load(file).module()
    found = again(torch.tensor(inputs), timespans=torch.tensor(times)).detach().numpy()
    assert np.abs(found - outputs).max() <= LIMIT


@pytest.mark.parametrize("cell", CELLS)
def test_torch_exports_steps(cell):
    torch = pytest.importorskip("torch")
    layer = ncps.convert(trained(cell, "torch"), "torch")[0]

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, inputs, state, timespan):
            return self.layer.step(inputs, state, timespan)

    inputs, times, _ = expected(cell, "torch")
    inputs, times, state = torch.tensor(inputs), torch.tensor(times), layer.get_initial_state(2)
    program = torch.export.export(Step(), (inputs[:, 0], state, times[:, 0])).module()
    with torch.no_grad():
        found, _ = program(inputs[:, 1], state, times[:, 1])
        wanted, _ = layer.step(inputs[:, 1], state, times[:, 1])
    assert (found - wanted).abs().max() <= LIMIT


@pytest.mark.parametrize("cell", CELLS)
def test_jax_exports_sequences_of_any_length(cell):
    jax = pytest.importorskip("jax")
    from jax import export

    model = ncps.convert(trained(cell, "torch"), "jax")
    inputs, times, outputs = expected(cell, "torch")
    batch, steps, features = export.symbolic_shape(f"batch, steps, {FEATURES}")
    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((batch, steps, features), (batch, steps))]
    exported = export.export(jax.jit(lambda x, times: model(x, timespans=times)))(*shapes)
    again = export.deserialize(exported.serialize())
    assert np.abs(np.asarray(again.call(inputs, times)) - outputs).max() <= LIMIT


@pytest.mark.parametrize("cell", CELLS)
def test_a_saved_model_takes_sequences_of_any_length(cell, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = ncps.convert(trained(cell, "torch"), "tensorflow")
    inputs, times, outputs = expected(cell, "torch")
    shapes = [tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec((None, None))]

    served = tf.Module()
    served.model = model
    served.predict = tf.function(lambda x, times: model(x, timespans=times), input_signature=shapes)
    tf.saved_model.save(served, str(tmp_path))
    again = tf.saved_model.load(str(tmp_path))
    assert np.abs(again.predict(inputs, times).numpy() - outputs).max() <= LIMIT


def tflite_step(tf, model):
    """A model of TFLite for one step of the first layer and what follows, with built-in operators only."""
    layer, readout = model
    sizes, structure = tree.flatten(layer.cell.state_size)
    names = [f"state_{i}" for i in range(len(sizes))]
    shapes = [tf.TensorSpec((1, size), name=name) for size, name in zip(sizes, names, strict=True)]

    @tf.function(input_signature=[tf.TensorSpec((1, FEATURES), name="x"), tf.TensorSpec((1, 1), name="time"), *shapes])
    def step(x, time, *states):
        output, state = layer.step(x, tree.unflatten(structure, states), time)
        return {"output": readout(output)} | dict(zip(names, tree.flatten(state)[0], strict=True))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([step.get_concrete_function()], model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert(), sizes


@pytest.mark.parametrize("cell", CELLS)
def test_tflite_runs_steps_with_built_in_operators(cell):
    tf = pytest.importorskip("tensorflow")
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    with backend_scope("tensorflow"):
        content, sizes = tflite_step(tf, ncps.convert(trained(cell, "torch"), "tensorflow"))
    interpreter = litert.Interpreter(model_content=content)
    run = interpreter.get_signature_runner()
    inputs, times, outputs = expected(cell, "torch")
    states = {f"state_{i}": np.zeros((1, size), np.float32) for i, size in enumerate(sizes)}
    for t in range(STEPS):
        states = run(x=inputs[:1, t], time=times[:1, t, None], **states)
        assert np.abs(states.pop("output") - outputs[:1, t]).max() <= LIMIT
