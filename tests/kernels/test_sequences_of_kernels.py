"""The ops for whole sequences by kernels against their own bodies, and their second derivatives."""

import numpy as np
import pytest

import ncps
from ncps.backends.kernels import sequences
from ncps.layers import LTC, CfC
from ncps.ops.dispatch import COMPOSITES
from ncps.wirings import AutoNCP

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4))
TIMES = RNG.uniform(0, 1, (3, 5))
MASK = RNG.random((3, 5)) < 0.7
RESETS = RNG.random((3, 5)) < 0.2
LAYERS = {
    "ltc": lambda: LTC(AutoNCP(9, 2), return_sequences=True, dtype="float64"),
    "ltc_last": lambda: LTC(5, unfolds=2, input_mapping=None, output_mapping="linear", dtype="float64"),
    "cfc": lambda: CfC(5, return_sequences=True, dtype="float64"),
    "cfc_wired": lambda: CfC(AutoNCP(9, 2), mode="no_gate", dtype="float64"),
    "cfc_pure": lambda: CfC(5, mode="pure", backbone_layers=2, backbone_activation="silu", dtype="float64"),
    "cfc_elu": lambda: CfC(5, head_activation="elu", return_sequences=True, dtype="float64"),
}
OPTIONS = {
    "plain": {},
    "number": {"timespans": 0.3},
    "all": {"timespans": TIMES, "mask": MASK, "resets": RESETS},
}


@pytest.fixture(params=LAYERS)
def layer(request):
    pytest.importorskip("torch")
    ncps.set_seed(0)
    with ncps.backend_scope("torch"):
        return LAYERS[request.param]()


@pytest.fixture
def plain(monkeypatch):
    """A switch: from when it is thrown, torch runs the bodies of the ops."""
    table = ncps.backend.NCPSBackend.ops_of("torch")

    def throw():
        for name in ("ltc_sequence", "cfc_sequence"):
            monkeypatch.setitem(table, name, COMPOSITES[name])

    return throw


def run(layer, options):
    """Outputs, and the gradients of inputs and weights."""
    import torch

    x = torch.tensor(X, requires_grad=True)
    outputs = layer(x, **options)
    outputs.square().sum().backward()
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    layer.zero_grad()
    return [outputs, *gradients]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_kernels_and_bodies_agree(layer, options, plain):
    if not sequences.wanted():
        pytest.skip("numba is not installed, or not wanted")
    fused = run(layer, options)
    plain()
    for ours, theirs in zip(fused, run(layer, options), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-9, atol=1e-12)


def test_second_derivatives(layer):
    import torch

    x, times = torch.tensor(X[:2, :3], requires_grad=True), torch.tensor(TIMES[:2, :3], requires_grad=True)
    layer(x)
    assert torch.autograd.gradgradcheck(lambda x, t: layer(x, timespans=t), (x, times))


def test_vmap_of_gradients(layer):
    import torch

    x = torch.tensor(X)
    layer(x)

    def loss(x):
        return layer(x).square().sum()

    each = torch.vmap(torch.func.grad(lambda one: loss(one[None])))(x)
    x.requires_grad_()
    loss(x).backward()
    torch.testing.assert_close(each, x.grad)


def test_program_knows_the_activations_of_the_kernels():
    cfc = pytest.importorskip("ncps.backends.kernels.cfc")
    assert set(sequences.ACTIVATIONS) == cfc.ACTIVATIONS
