"""What the torch module of ncps 1.0.1 computes."""

import numpy as np
import torch
from server import wiring_of

import ncps.torch

assert ncps.__version__ == "0.0.2", ncps.__file__  # so 1.0.1 calls itself
POSITIVE = ("cm", "gleak")


def make(case):
    kind = case["kind"]
    arguments = {k: np.array(v) if k == "sparsity_mask" else v for k, v in case["arguments"].items()}
    units = wiring_of(case) if case["wiring"] else case["units"]
    cls = getattr(ncps.torch, kind)
    if kind == "LTCCell":
        return cls(units, case["features"], **arguments)
    return cls(case["features"], units, **arguments)


def answer(case, arrays):
    dtype = getattr(torch, case["dtype"])
    torch.set_default_dtype(dtype)
    torch.manual_seed(case["seed"])
    module = make(case).eval()
    if arrays["weights"]:
        module.load_state_dict({name: torch.from_numpy(x) for name, x in arrays["weights"].items()})
    else:
        shake(module, case["explicit"])
    given = {name: torch.from_numpy(x).to(dtype) for name, x in arrays["given"].items()}
    leaves = {name: x.requires_grad_() for name, x in given.items() if name not in ("timespans", "direction")}
    state = tuple(given[name] for name in ("h", "c") if name in given)
    if case["kind"].endswith("Cell"):
        output, hx = module(given["x"], state[0], given.get("timespans", torch.tensor(1.0)))
    else:
        state = None if not state else state if len(state) == 2 else state[0]
        output, hx = module(given["x"], state, given.get("timespans"))
    output = output[..., : case["outputs"]].reshape(case["shape"])
    hx = dict(zip("hc", hx if isinstance(hx, tuple) else (hx,), strict=False))
    loss = (output * given["direction"]).sum() + sum(x.square().sum() for x in hx.values())
    loss.backward()
    return {
        "weights": {name: x.numpy() for name, x in module.state_dict().items()},
        "results": {"output": output.detach().numpy(), **{name: x.detach().numpy() for name, x in hx.items()}},
        "gradients": {n: p.grad.numpy() for n, p in module.named_parameters() if p.grad is not None},
        "given": {name: x.grad.numpy() for name, x in leaves.items() if x.grad is not None},
    }


def shake(module, explicit):
    """Takes all parameters away from where they begin."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.requires_grad:
                p += 0.3 * torch.randn_like(p)
                if explicit and name.rsplit(".", maxsplit=1)[-1] in POSITIVE:
                    p.copy_(p.abs() + 0.05)
                elif explicit and name.endswith("w"):  # some below 0, which count as they are
                    p.copy_(torch.where(p < 0, 0.1 * p, p))
