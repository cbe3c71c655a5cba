"""The torch module of ncps 1.0.1 as users met it, what it could not do, and checkpoints that do not fit."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import ncps  # noqa: E402
from ncps import layers, wirings  # noqa: E402
from ncps.backend import backend_scope  # noqa: E402
from ncps.torch import LTC, CfC, LTCCell, WiredCfCCell  # noqa: E402
from ncps.wirings import NCP, AutoNCP, FullyConnected  # noqa: E402

MODELS = {
    "LTC": lambda: LTC(3, AutoNCP(8, 2)),
    "LTC with memory": lambda: LTC(3, 5, mixed_memory=True),
    "CfC": lambda: CfC(3, 5, backbone_units=7),
    "wired CfC": lambda: CfC(3, AutoNCP(8, 2), proj_size=4),
    "CfC with memory": lambda: CfC(3, AutoNCP(8, 2), mixed_memory=True),
    "pure CfC": lambda: CfC(3, 5, mode="pure", backbone_units=7),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(1)
    return MODELS[request.param]()


def inputs(*shape):
    return torch.from_numpy(np.random.default_rng(3).normal(size=shape).astype("float32"))


def test_attributes():
    wiring = NCP(4, 3, 2, 2, 2, 3, 2)
    ltc, cfc = LTC(5, wiring, mixed_memory=True), CfC(5, AutoNCP(8, 2))
    for each in (ltc, ltc.rnn_cell, WiredCfCCell(5, wiring)):
        assert (each.state_size, each.sensory_size, each.motor_size, each.output_size) == (9, 5, 2, 2)
        assert each.synapse_count == wiring.synapse_count > 0
        assert each.sensory_synapse_count == wiring.sensory_synapse_count != each.synapse_count
    assert isinstance(ltc.rnn_cell, LTCCell)
    assert isinstance(cfc.rnn_cell, WiredCfCCell)
    assert (cfc.state_size, cfc.output_size, cfc.proj_size, cfc.wired_mode) == (8, 2, None, True)
    assert cfc.rnn_cell.layer_sizes == [4, 2, 2]
    assert isinstance(ltc, torch.nn.Module)
    assert isinstance(ltc, layers.RNN)


def test_made_whichever_backend_is_active(model):
    with backend_scope("numpy"):
        output, _ = MODELS["CfC"]()(inputs(2, 4, 3))
    assert isinstance(output, torch.Tensor)


def test_sizes_that_1_0_1_had_wrong():
    assert CfC(3, FullyConnected(16, 3))(inputs(2, 4, 3))[0].shape == (2, 4, 3)
    assert CfC(3, FullyConnected(16, 3), proj_size=5)(inputs(2, 4, 3))[0].shape == (2, 4, 5)
    single = CfC(3, 5, batch_first=False, return_sequences=False)
    assert single(inputs(4, 3))[0].shape == (5,)
    wiring = AutoNCP(8, 2)
    assert LTC(3, wiring).sensory_size == 3
    assert LTC(6, wiring).sensory_size == 6  # one wiring for two layers
    dropped = CfC(3, 5, backbone_dropout=0.9)
    assert not torch.equal(dropped(inputs(2, 4, 3))[0], dropped(inputs(2, 4, 3))[0])


@pytest.mark.parametrize("trailing", [(), (1,)], ids=["(B, T)", "(B, T, 1)"])
def test_timespans_of_every_sample(model, trailing):
    x = inputs(5, 6, 3)
    times = torch.rand(5, 6).add(0.1)
    together, _ = model(x, timespans=times.reshape(5, 6, *trailing))
    for i in range(5):
        alone, _ = model(x[i], timespans=times[i])
        torch.testing.assert_close(together[i], alone, rtol=0, atol=1e-6)
    stopped, _ = model(x, timespans=torch.zeros(5, 6))  # NaN in 1.0.1
    assert torch.isfinite(stopped).all()


def test_batch_second(model):
    x, times = inputs(5, 6, 3), torch.rand(5, 6)
    expected, state = model(x, timespans=times)
    model.batch_first = False
    for given in (times.T, times.T[..., None]):
        output, other = model(x.transpose(0, 1), timespans=given)
        torch.testing.assert_close(output.transpose(0, 1), expected)
        torch.testing.assert_close(other, state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_checkpoints_of_other_types(model, dtype):
    state_dict = {name: x.to(dtype) for name, x in ncps.export_torch(model).items()}
    again = copy.deepcopy(model).to(dtype)
    again.load_state_dict(state_dict)
    assert again(inputs(2, 4, 3).to(dtype))[0].dtype == dtype
    for name, x in ncps.export_torch(again).items():
        torch.testing.assert_close(x.to(dtype), state_dict[name])


def test_states_go_on(model):
    x = inputs(5, 6, 3)
    whole, last = model(x)
    first, state = model(x[:, :4])
    second, state = model(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(state, last)


def test_states_that_do_not_fit():
    rnn = CfC(3, 5, mixed_memory=True)
    with pytest.raises(RuntimeError, match=r"mixed_memory=True requires a tuple \(h0, c0\).*Received: Tensor"):
        rnn(inputs(2, 4, 3), torch.zeros(2, 5))
    with pytest.raises(RuntimeError, match=r"Expected hx of batches \(B, N\)"):
        LTC(3, 5)(inputs(2, 4, 3), torch.zeros(5))
    with pytest.raises(ValueError, match="Wiring error! Unknown number of input features"):
        LTCCell(FullyConnected(4))
    with pytest.raises(ValueError, match="Cannot use backbone_units in wired mode"):
        CfC(3, AutoNCP(8, 2), backbone_units=4)


def test_constraints():
    rnn = LTC(3, 5, implicit_param_constraints=False)
    with torch.no_grad():
        rnn.rnn_cell.w -= 0.5
    before, _ = rnn(inputs(2, 4, 3))
    rnn.rnn_cell.apply_weight_constraints()
    assert rnn.rnn_cell.w.min() == 0
    assert not torch.equal(rnn(inputs(2, 4, 3))[0], before)  # as in 1.0.1, which used them as they were


# ---- what 1.0.1 could not do


def test_parameters_are_those_that_count(model):
    x = inputs(2, 4, 3)
    twice = {name: p.detach() * 1.5 for name, p in model.named_parameters()}
    other, _ = torch.func.functional_call(model, twice, (x,))
    assert not torch.allclose(other, model(x)[0])
    gradient = torch.func.grad(lambda p: torch.func.functional_call(model, p, (x,))[0].square().mean())(twice)
    assert sum(g.abs().sum() > 0 for g in gradient.values()) >= len(gradient) - 2
    assert all("mask" not in name for name in twice)


@pytest.mark.parametrize("name", ["LTC", "wired CfC"])
def test_compiles_as_a_whole(name):
    model, x, times = MODELS[name](), inputs(2, 4, 3), torch.rand(2, 4)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, None, times)[0], model(x, None, times)[0])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace.*:DeprecationWarning")
def test_traces(model):
    traced, x = torch.jit.trace(model, inputs(2, 4, 3)), 2 * inputs(2, 4, 3)
    torch.testing.assert_close(traced(x), model(x))
    traced(x)[0].sum().backward()
    assert all(p.grad is not None for p in traced.parameters())


def test_copies(model):
    x = inputs(2, 4, 3)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(again) is type(model)
        torch.testing.assert_close(again(x), model(x))


def test_inside(model):
    if not model.use_mixed:
        seen = ncps.inspect.activity(model, inputs(2, 4, 3).numpy())
        assert seen.states.shape[-1] == model.state_size


def test_states_are_seen_by_neuron():
    with backend_scope("torch"):
        neurons, by_layer = (
            layers.CfC(AutoNCP(8, 2), return_sequences=True, return_state=True, input_size=3, state_order=order)
            for order in ("neurons", "layers")
        )
    by_layer.set_weights(neurons.get_weights())
    x = inputs(2, 4, 3)
    (a, h), (b, k) = neurons(x), by_layer(x)
    torch.testing.assert_close(a, b)
    order = np.concatenate(neurons.cell.wiring.layers)
    torch.testing.assert_close(h[:, order], k)
    seen = [ncps.inspect.activity(layer, x.numpy()).states for layer in (neurons, by_layer)]
    np.testing.assert_allclose(*seen, atol=1e-6)


# ---- checkpoints


def weights(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


def unchanged(model, before):
    return all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_a_checkpoint_comes_back(model):
    x = inputs(2, 4, 3)
    again = copy.deepcopy(model)
    with torch.no_grad():
        for p in again.parameters():
            p += 1.0
    again.load_state_dict(ncps.export_torch(model))
    torch.testing.assert_close(again(x), model(x))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(x), model(x))


def test_within_a_module_of_the_user():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(3, 3)
            self.rnn = CfC(3, AutoNCP(8, 2), proj_size=2)

    old, net = Net(), Net()
    state_dict = {name: x for name, x in old.state_dict().items() if name.startswith("first")}
    state_dict |= {f"rnn.{name}": x for name, x in ncps.export_torch(old.rnn).items()}
    assert not net.load_state_dict(state_dict).missing_keys
    torch.testing.assert_close(net.rnn(inputs(2, 4, 3)), old.rnn(inputs(2, 4, 3)))
    before = weights(net.rnn)
    state_dict["rnn.rnn_cell.layer_0.sparsity_mask"] = 1 - state_dict["rnn.rnn_cell.layer_0.sparsity_mask"]
    with pytest.raises(RuntimeError, match=r"layer_0.sparsity_mask has synapses where the wiring has none"):
        net.load_state_dict(state_dict)
    assert unchanged(net.rnn, before)


WRONG = {
    "another wiring": (
        lambda: LTC(3, AutoNCP(8, 2, seed=5)),
        r"sparsity_mask has synapses where the wiring has none: at \(",
    ),
    "another number of neurons": (lambda: LTC(3, AutoNCP(9, 2)), r"rnn_cell.gleak of shape \(9,\) instead of \(8,\)"),
    "another number of inputs": (
        lambda: LTC(4, AutoNCP(8, 2)),
        r"rnn_cell.sensory_mu of shape \(4, 8\) instead of \(3, 8\)",
    ),
    "no output mapping": (lambda: LTC(3, AutoNCP(8, 2), output_mapping=None), r"missing: rnn_cell.output_[bw] \(2,\)"),
    "a memory": (lambda: LTC(3, AutoNCP(8, 2), mixed_memory=True), r"unexpected: lstm.input_map.weight \(32, 3\)"),
    "another cell": (lambda: CfC(3, AutoNCP(8, 2)), r"unexpected: rnn_cell.layer_0.ff1.weight|missing: cell.gleak"),
}


@pytest.mark.parametrize("other", WRONG)
def test_a_checkpoint_that_does_not_fit(other):
    make, message = WRONG[other]
    model, state_dict = LTC(3, AutoNCP(8, 2)), ncps.export_torch(make())
    before = weights(model)
    with pytest.raises(RuntimeError, match=message):
        model.load_state_dict(state_dict)
    assert unchanged(model, before)
    if other in ("another wiring", "another number of neurons"):
        with pytest.raises(ValueError, match=message):
            ncps.import_torch(state_dict, AutoNCP(8, 2).frozen(3))


def test_own_state_dict_that_lacks_something():
    model = LTC(3, 4)
    before = weights(model)
    other = {name: x + 1 for name, x in weights(model).items() if name != "cell.w"}
    with pytest.raises(RuntimeError, match="missing: cell"):
        model.load_state_dict(other)
    assert unchanged(model, before)
    assert model.load_state_dict(other, strict=False).missing_keys == ["cell.w"]
    assert not unchanged(model, before)


def test_state_dicts_that_are_none():
    with pytest.raises(ValueError, match=r"Expected the state dict of an LTC or CfC of ncps 1.0.1. Received: weight"):
        ncps.import_torch({"weight": np.zeros(3)})
    inner = {f"net.{name}": x for name, x in ncps.export_torch(LTC(3, 4)).items()}
    with pytest.raises(ValueError, match=r"stands under 'net.': pass \{name.removeprefix"):
        ncps.import_torch(inner)
    for name in ("rnn_cell.sensory_mu", "rnn_cell.sparsity_mask"):
        with pytest.raises(ValueError, match=name.partition(".")[2]):
            ncps.import_torch({n: x for n, x in ncps.export_torch(LTC(3, 4)).items() if n != name})


def test_negative_conductances_are_told():
    state_dict = ncps.export_torch(LTC(3, 4, implicit_param_constraints=False))
    state_dict["rnn_cell.w"] -= 0.5
    with pytest.warns(UserWarning, match=r"cell/w have negative values, which count as 0 here"):
        ncps.import_torch(state_dict, implicit_param_constraints=False)
    kept = LTC(3, 4, implicit_param_constraints=False)
    kept.load_state_dict(state_dict)  # of 1.0.1, whose numbers test_torch_parity compares
    torch.testing.assert_close(ncps.export_torch(kept)["rnn_cell.w"], state_dict["rnn_cell.w"])


def test_state_dicts_within_checkpoints_and_of_this_version():
    model = LTC(3, 4)
    with pytest.raises(RuntimeError, match=r"unexpected: state_dict \(\); unexpected: epoch \(\)"):
        model.load_state_dict({"state_dict": model.state_dict(), "epoch": 3})
    with pytest.raises(ValueError, match=r"Received: one of this version.*export_torch"):
        ncps.import_torch(model.state_dict())


def test_modules_pickled_by_1_0_1_are_told():
    cell = LTC(3, 4).rnn_cell
    old = torch.nn.Module()  # as it stood in a pickle
    old._params = {"gleak": torch.ones(4)}
    with pytest.raises(RuntimeError, match=r"pickled by ncps 1.0.1.*state_dict"):
        cell.__setstate__(vars(old))


def test_what_1_0_1_does_not_have():
    with backend_scope("torch"):
        for layer, message in (
            (layers.LTC(4, solver="rk4", input_size=3), "Expected solver='semi_implicit'"),
            (layers.CfC(4, head_activation=None, input_size=3), "Expected head_activation='tanh'"),
            (layers.MixedMemory(layers.CfCCell(4), input_size=3), "Expected memory_to='state'"),
        ):
            with pytest.raises(ValueError, match=message):
                ncps.export_torch(layer)
        with pytest.raises(TypeError, match=r"Expected LTC or CfC, which ncps 1\.0\.1 has. Received: GRUCell"):
            ncps.export_torch(layers.GRU(4, input_size=3))


def test_generic_layers_of_every_backend(backend, model):
    state_dict = ncps.export_torch(model)
    x = inputs(2, 4, 3)
    expected = model(x)[0].detach().numpy()
    units = getattr(model, "wiring_or_units", None)
    layer = ncps.import_torch(state_dict, units if isinstance(units, wirings.Wiring) else None)
    with backend_scope(backend):
        outputs = ncps.ops.convert_to_numpy(layer(x.numpy()))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    back = ncps.export_torch(layer)
    assert back.keys() == state_dict.keys()
    for name, value in back.items():
        torch.testing.assert_close(value, state_dict[name], rtol=1e-6, atol=1e-6)
