"""A call on torch copies nothing to an accelerator, which never waits then; and a CUDA graph can be captured of it.

There need not be one: tensors on the "meta" device hold no numbers, so what reads one fails, and calls that would copy
to the device are seen.
"""

import pytest

from ncps import layers, wirings
from ncps.backend import backend_scope

torch = pytest.importorskip("torch")
overrides = pytest.importorskip("torch.overrides")

DEVICE = "meta"
LAYERS = {
    "CfC": lambda: layers.CfC(8, input_size=3),
    "CfC, wired": lambda: layers.CfC(wirings.AutoNCP(12, 2), input_size=3),
    "CfC, no_gate": lambda: layers.CfC(8, mode="no_gate", input_size=3),
    "CfC, pure": lambda: layers.CfC(8, mode="pure", input_size=3),
    "LTC": lambda: layers.LTC(wirings.AutoNCP(12, 2), input_size=3),
    "LTC, explicit": lambda: layers.LTC(8, solver="rk4", input_size=3),
    "STC": lambda: layers.STC(8, input_size=3),
    "LRC": lambda: layers.LRC(8, input_size=3),
    "CTRNN": lambda: layers.CTRNN(8, input_size=3),
    "NeuralODE": lambda: layers.NeuralODE(8, input_size=3),
    "CTGRU": lambda: layers.CTGRU(8, input_size=3),
    "LinOSS": lambda: layers.LinOSS(8, input_size=3),
    "LSTM": lambda: layers.LSTM(8, input_size=3),
    "GRU": lambda: layers.GRU(8, input_size=3),
    "mixed memory": lambda: layers.MixedMemory(layers.CfCCell(8), input_size=3),
}


class Copies(overrides.TorchFunctionMode):
    """Notes the calls that copy to the device. A number of the host beside a tensor is none: the kernel takes it."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        devices = [x.device.type for x in args if isinstance(x, torch.Tensor)]
        copies = function in (torch.tensor, torch.as_tensor) and DEVICE not in devices
        copies |= function in (torch.Tensor.to, torch.Tensor.copy_, torch.Tensor.cuda) and "cpu" in devices
        if copies and result.device.type == DEVICE:
            self.found.append(function.__name__)
        return result


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_is_copied_to_the_device(name):
    with backend_scope("torch"):
        layer = LAYERS[name]().to(DEVICE)
    x = torch.empty(2, 2, 3, device=DEVICE, requires_grad=True)
    with Copies() as copies:
        layer(x, timespans=torch.empty(2, 2, device=DEVICE)).sum().backward()
        layer(x).sum().backward()
    assert copies.found == []


def test_copies_are_seen():
    x = torch.empty(3, device=DEVICE)
    with Copies() as copies:
        x * torch.tensor(2.0, device=DEVICE)
        x + torch.ones(3).to(DEVICE)
        x.copy_(torch.ones(3))
        x * torch.tensor(2.0)
    assert len(copies.found) == 3
