"""Random configurations compute what the torch module of ncps 1.0.1 computes, forward and backward, and go back."""

import numpy as np
import pytest
from asking import server
from random_cases import torch_cases

torch = pytest.importorskip("torch")

import ncps  # noqa: E402
import ncps.torch  # noqa: E402
from ncps import wirings  # noqa: E402
from ncps.backend import backend_scope  # noqa: E402
from ncps.checkpoints.dialects import EXACT, TORCH  # noqa: E402
from ncps.checkpoints.weights import described  # noqa: E402

CASES = torch_cases(238)
KINDS = ["LTC", "CfC", "LTCCell", "CfCCell", "WiredCfCCell"]
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}


@pytest.fixture(scope="module")
def ask(ncps_101, tmp_path_factory):
    with server("torch", [ncps_101], tmp_path_factory.mktemp("ncps1")) as ask:
        yield ask


@pytest.fixture(scope="module", params=KINDS)
def theirs(request, ask):
    """What 1.0.1 computes of the cases of a kind, and of the weights that we give back.

    One kind after the other: pytest runs the tests of each together, so that processes share the work.
    """
    cases = [each for each in CASES if each[0]["kind"] == request.param]
    answers = ask(cases)
    back = ask(
        [
            (case, parts | {"weights": exported(loaded(case, answer))})
            for (case, parts), answer in zip(cases, answers, strict=True)
        ]
    )
    return list(zip(cases, answers, back, strict=True))


def made(case):
    arguments = dict(case["arguments"])
    units = getattr(wirings, case["wiring"][0])(**case["wiring"][1]) if case["wiring"] else case["units"]
    cls = getattr(ncps.torch, case["kind"])
    order = (units, case["features"]) if case["kind"] == "LTCCell" else (case["features"], units)
    return cls(*order, **arguments).eval()


def loaded(case, answer):
    module = made(case).to(getattr(torch, case["dtype"]))
    module.load_state_dict({name: torch.from_numpy(x) for name, x in answer["weights"].items()})
    return module


def exported(module):
    return {name: x.detach().numpy() for name, x in ncps.export_torch(module).items()}


def run(case, module, parts):
    """Results, gradients of what is given, and of the parameters by our names."""
    given = {name: torch.from_numpy(x).to(getattr(torch, case["dtype"])) for name, x in parts["given"].items()}
    leaves = {name: x.requires_grad_() for name, x in given.items() if name not in ("timespans", "direction")}
    state = tuple(given[name] for name in ("h", "c") if name in given) or None
    state = state[0] if state is not None and len(state) == 1 else state
    if case["kind"].endswith("Cell"):
        output, hx = module(given["x"], state, given.get("timespans", 1.0))
    else:
        output, hx = module(given["x"], state, given.get("timespans"))
    states = dict(zip("hc", hx if isinstance(hx, tuple) else (hx,), strict=False))
    ((output * given["direction"]).sum() + sum(x.square().sum() for x in states.values())).backward()
    results = {"output": output.detach().numpy(), **{name: x.detach().numpy() for name, x in states.items()}}
    return results, {name: x.grad.numpy() for name, x in leaves.items() if x.grad is not None}


def gradients(module):
    """Those of the parameters by the names of 1.0.1: all but the bias of the memory are linear maps of ours."""
    found = {name: p.grad.numpy() for name, p in module.named_parameters() if name.startswith("fc.")}
    own = {name.replace(".", "/"): p.grad for name, p in module.named_parameters()}
    for pair in described(module, TORCH)[0]:
        gradient = own[pair.path].numpy()
        parts = zip(pair.split(gradient), pair.split(np.zeros_like(gradient)), strict=True)
        found |= {name: a - b for name, (a, b) in zip(pair.names, parts, strict=True)}
    return found


def agree(ours, theirs, tolerance, case):
    assert ours.keys() == theirs.keys(), case
    for name, x in ours.items():
        assert x.shape == theirs[name].shape, (name, case)
        scale = max(1.0, np.abs(theirs[name]).max(initial=0.0))
        np.testing.assert_allclose(x, theirs[name], rtol=0, atol=tolerance * scale, err_msg=f"{name} {case}")


def test_outputs_and_gradients_agree(theirs):
    assert len(theirs) >= 30
    for (case, parts), answer, _ in theirs:
        module = loaded(case, answer)
        results, of_given = run(case, module, parts)
        tolerance = TOLERANCE[case["dtype"]]
        agree(results, answer["results"], tolerance, case)
        agree(of_given, answer["given"], tolerance, case)
        agree(gradients(module), answer["gradients"], tolerance, case)


def test_weights_go_back(theirs):
    for (case, _), answer, back in theirs:
        agree(back["results"], answer["results"], TOLERANCE[case["dtype"]], case)
        for name, x in answer["weights"].items():  # lossless where a synapse is
            given_back = back["weights"][name]
            np.testing.assert_allclose(given_back, np.where(given_back == 0, 0, x), rtol=1e-6, atol=1e-6)


def test_generic_layers_of_other_backends_compute_the_same(theirs):
    for (case, parts), answer, _ in theirs[::5]:
        arguments, given = case["arguments"], parts["given"]
        if case["kind"].endswith("Cell") or not arguments["batch_first"] or "h" in given or case["explicit"]:
            continue  # explicit weights below 0 count as 0 there
        known = ("return_sequences", "epsilon", "implicit_param_constraints", "backbone_dropout")
        options = {name: arguments[name] for name in known if name in arguments}
        options |= {"unfolds": arguments["ode_unfolds"]} if case["kind"] == "LTC" else {"mode": arguments["mode"]}
        if "activation" in arguments:
            options["backbone_activation"] = EXACT.get(arguments["activation"], arguments["activation"])
        if case["wiring"] or case["kind"] == "LTC":
            options.pop("backbone_dropout", None)
        with backend_scope("numpy"):
            layer = ncps.import_torch(answer["weights"], **options)
            outputs = layer(given["x"].astype("float32"), **{n: given[n] for n in ("timespans",) if n in given})
        outputs = outputs[..., : case["outputs"]]
        np.testing.assert_allclose(outputs, answer["results"]["output"], rtol=0, atol=2e-5, err_msg=str(case))
