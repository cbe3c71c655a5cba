"""Models to export, of every kind, with weights like trained ones."""

import numpy as np

import ncps
from ncps.activations import NAMED
from ncps.backend import backend_scope
from ncps.layers import (
    CTRNN,
    LTC,
    RNN,
    Activation,
    CfC,
    CfCCell,
    CTRNNCell,
    Dense,
    Dropout,
    LayerNormalization,
    LTCCell,
    MixedMemory,
    MixedMemoryCell,
    NeuralODE,
    StackedRNNCells,
    TimeDistributed,
    WiredCfCCell,
)
from ncps.wirings import NCP, AutoNCP, FullyConnected, Random, Wiring

ACTIVATIONS = tuple(name for name in NAMED if name != "exp")  # it has a model of its own, as it grows so fast
WIRINGS = (
    lambda: AutoNCP(19, 4),
    lambda: NCP(12, 6, 2, 4, 3, 4, 3, seed=7),
    lambda: Random(13, 5, sparsity_level=0.6),
    lambda: FullyConnected(9, 3, self_connections=False),
    lambda: AutoNCP(64, 8, sparsity_level=0.7),
)
MASK = np.random.default_rng(0).integers(0, 2, (4 + 6, 6))
every = {"return_sequences": True}


class Lonely(Wiring):
    """One synapse, and neurons without any."""

    def __init__(self, units):
        super().__init__(units)
        self.set_output_dim(2)
        self.add_synapse(0, 1, -1)


class Shuffled(AutoNCP):
    """A wiring whose motor neurons are not in order among those of the last layer."""

    @property
    def layers(self):
        *others, last = super().layers
        return [*others, last[::-1]]


def ltc_models():
    for solver, unfolds in (("semi_implicit", 6), ("semi_implicit", 1), ("explicit", 12), ("heun", 12), ("rk4", 9)):
        yield 5, lambda s=solver, u=unfolds: LTC(AutoNCP(11, 2), solver=s, unfolds=u, **every)
    for wiring in WIRINGS:
        yield 7, lambda w=wiring: LTC(w(), **every)
    yield 1, lambda: LTC(1, **every)
    yield 3, lambda: LTC(200, unfolds=2, **every)
    yield 4, lambda: LTC(AutoNCP(200, 20, sparsity_level=0.9), **every)
    yield 3, lambda: LTC(6, input_mapping=None, output_mapping=None, epsilon=0.0, **every)
    yield 3, lambda: LTC(6, input_mapping="linear", output_mapping="linear", **every)
    yield 3, lambda: LTC(Lonely(5), **every)
    yield 3, lambda: LTC(AutoNCP(12, 3), implicit_param_constraints=True, **every)


def cfc_models():
    for mode in ("default", "no_gate", "pure"):
        for wiring in WIRINGS:
            yield 6, lambda m=mode, w=wiring: CfC(w(), mode=m, **every)
        yield 3, lambda m=mode: CfC(Lonely(5), mode=m, fully_recurrent=False, **every)
        yield 6, lambda m=mode: CfC(AutoNCP(19, 4), mode=m, fully_recurrent=False, **every)
        for depth in (0, 1, 3):
            yield 5, lambda m=mode, d=depth: CfC(10, mode=m, backbone_layers=d, backbone_units=17, **every)
    for name in ACTIVATIONS:
        yield 4, lambda a=name: CfC(6, backbone_activation=a, backbone_units=9, **every)
    yield 4, lambda: CfC(6, head_activation="softmax", backbone_dropout=0.3, **every)
    yield 1, lambda: CfC(1, backbone_units=1, **every)
    yield 9, lambda: CfC(200, **every)
    yield 300, lambda: CfC(AutoNCP(40, 4), **every)  # places above 255
    for order in ("neurons", "layers"):
        yield 5, lambda o=order: CfC(Shuffled(12, 4), state_order=o, masked_gates=False, **every)
    yield 5, lambda: CfC(AutoNCP(12, 3), mode="no_gate", masked_gates=False, fully_recurrent=False, **every)
    for gates in (True, False):
        yield 4, lambda g=gates: CfC(6, backbone_layers=0, sparsity_mask=MASK, masked_gates=g, **every)


def ode_models():
    for solver in ("euler", "semi_implicit", "heun", "rk4"):
        yield 4, lambda s=solver: CTRNN(8, solver=s, tau=0.8, **every)
    yield 4, lambda: CTRNN(200, activation="sigmoid", **every)
    yield 2, lambda: NeuralODE(5, unfolds=2, activation="lecun_tanh", **every)


def nested_models():
    for to in ("input", "state"):
        yield 5, lambda t=to: MixedMemory(CfCCell(8, backbone_units=6), memory_to=t, **every)
        yield 5, lambda t=to: MixedMemory(LTCCell(AutoNCP(10, 3)), memory_to=t, **every)
        for order in ("neurons", "layers"):
            cell = {"state_order": order, "masked_gates": order == "neurons"}
            yield 5, lambda t=to, c=cell: MixedMemory(WiredCfCCell(AutoNCP(10, 3), **c), memory_to=t, **every)
        yield 5, lambda t=to: MixedMemory(MixedMemoryCell(CTRNNCell(4)), memory_to=t, **every)
    yield 4, lambda: RNN(StackedRNNCells([CfCCell(7, backbone_units=5), LTCCell(4), CTRNNCell(3)]), **every)
    yield 4, lambda: RNN(MixedMemoryCell(StackedRNNCells([CTRNNCell(5), LTCCell(4)])), **every)
    yield 6, lambda: ncps.Sequential([
        Dense(8, activation="relu"), LayerNormalization(), Dropout(0.2), LTC(AutoNCP(19, 4), **every),
        TimeDistributed(Dense(5, use_bias=False)), Activation("gelu"), CfC(9, **every), LayerNormalization(0.01),
        ncps.Sequential([CTRNN(6, **every), Dropout(0.1)]), Dense(3, activation="softmax"),
    ])  # fmt: skip
    yield 3, lambda: ncps.Sequential([Dense(4, activation="exp"), Dense(2)])


MODELS = [*ltc_models(), *cfc_models(), *ode_models(), *nested_models()]


def made(make, features, seed, backend="numpy"):
    """A built model, whose weights, zeros and ones among them, are moved as training would; some below 0 at first."""
    rng = np.random.default_rng(seed)
    with backend_scope(backend):
        ncps.set_seed(seed)
        model = make()
        model(np.zeros((1, 2, features), np.float32))
        model.set_weights([w + moved(w, rng) for w in model.get_weights()])
    return model


def moved(w, rng):
    return 0.1 * ((w.size and w.std()) or 1) * rng.standard_normal(w.shape).astype(w.dtype)


def series(features, steps, seed, batch=None):
    """Inputs and irregular elapsed times, 0 among them."""
    rng = np.random.default_rng(seed)
    shape = (steps,) if batch is None else (batch, steps)
    times = rng.exponential(0.7, shape).clip(0, 2).astype(np.float32)
    times[..., 3] = 0
    return rng.standard_normal((*shape, features)).astype(np.float32), times
