"""Networks of others, through their public interfaces. This module must not import our `ncps`: theirs has its name."""

from __future__ import annotations

from typing import Any

from benchmarks.comparing.cases import Case
from benchmarks.comparing.models import Model
from benchmarks.comparing.sides import LSTM, UPSTREAM, UPSTREAM_CELLS, Side

STEP, LAYER, CELL = "step", "layer", "cell"  # in the only way, as a sequence of one, or without its loop over time


def make(side: Side, case: Case) -> Model:
    """The network of a peer for a case: the same cell, or an LSTM of as many units."""
    return MAKERS[side.package, side.family](case)


def upstream_units(case: Case) -> Any:
    """A wiring or a number."""
    from ncps.wirings import AutoNCP

    return AutoNCP(case.units, case.outputs) if case.wiring else case.units


def upstream_torch(case: Case) -> Model:
    import ncps.torch

    name, options = UPSTREAM_CELLS[case.cell]
    layer = getattr(ncps.torch, name)(case.features, upstream_units(case), return_sequences=True, **options)
    model = torch_model(layer)
    if not layer.use_mixed:  # else its memory stands beside the cell
        model.steps[CELL] = torch_cell_step
    return model


def torch_cell_step(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
    """A step of ncps 1.0.1 without the loop over time."""
    return layer.rnn_cell(x, x.new_zeros(len(x), layer.state_size) if state is None else state, 1.0)


def torch_lstm(case: Case) -> Model:
    import torch

    return torch_model(torch.nn.LSTM(case.features, case.units, batch_first=True))


def torch_model(layer: Any) -> Model:
    """ncps 1.0.1 and torch's own layers are called alike."""
    return Model(layer, lambda layer, x: layer(x)[0], {LAYER: lambda layer, x, state: layer(x[:, None], state)})


def upstream_keras(case: Case) -> Model:
    import ncps.keras

    name, options = UPSTREAM_CELLS[case.cell]
    layer = getattr(ncps.keras, name)(upstream_units(case), return_sequences=True, return_state=True, **options)
    return keras_model(layer, case)


def keras_lstm(case: Case) -> Model:
    import keras

    return keras_model(keras.layers.LSTM(case.units, return_sequences=True, return_state=True), case)


def keras_model(layer: Any, case: Case) -> Model:
    """A layer of Keras that returns its states, built."""
    import numpy as np

    def layer_step(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
        outputs, *state = layer(x[:, None], initial_state=state)
        return outputs, state

    def cell_step(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
        outputs, state = layer.cell(x, layer.get_initial_state(x.shape[0]) if state is None else state)
        return outputs, state if isinstance(state, (list, tuple)) else [state]

    layer(np.zeros((1, 2, case.features), "float32"))
    layer.set_weights(layer.get_weights())  # ncps 1.0.1 has integers among its weights on jax: now they are floats
    return Model(layer, lambda layer, x: layer(x)[0], {LAYER: layer_step, CELL: cell_step})


def flax_lstm(case: Case) -> Model:
    from flax import nnx

    def step(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
        state = layer.cell.initialize_carry(x.shape, nnx.Rngs(0)) if state is None else state
        state, outputs = layer.cell(state, x)
        return outputs, state

    cell = nnx.OptimizedLSTMCell(case.features, case.units, rngs=nnx.Rngs(0))
    return Model(nnx.RNN(cell), lambda layer, x: layer(x), {STEP: step})


def mlx_lstm(case: Case) -> Model:
    from mlx import nn

    def step(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
        hidden, memory = (values[:, -1] for values in layer(x[:, None], *(state or ())))
        return hidden, (hidden, memory)

    return Model(nn.LSTM(case.features, case.units), lambda layer, x: layer(x)[0], {STEP: step})


MAKERS = {
    (UPSTREAM, "torch"): upstream_torch,
    (UPSTREAM, "keras"): upstream_keras,
    (LSTM, "torch"): torch_lstm,
    (LSTM, "keras"): keras_lstm,
    (LSTM, "jax"): flax_lstm,
    (LSTM, "mlx"): mlx_lstm,
}
