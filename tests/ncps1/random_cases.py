"""Random configurations of the layers of ncps 1.0.1."""

import numpy as np

SEED = 101


def wiring(rng, layered):
    """Name and arguments of a wiring, and its numbers of neurons and outputs."""
    kind = rng.choice(["FullyConnected", "Random", "NCP", "AutoNCP"])
    if kind == "AutoNCP":
        outputs = int(rng.integers(1, 4))
        units = outputs + int(rng.integers(3, 9))
        level = float(rng.choice([0.1, 0.5, 0.9]))
        return (
            [kind, {"units": units, "output_size": outputs, "sparsity_level": level, "seed": int(rng.integers(99))}],
            units,
            outputs,
        )
    if kind == "NCP":
        inter, command, motor = (int(rng.integers(1, n)) for n in (6, 5, 4))
        arguments = {
            "inter_neurons": inter, "command_neurons": command, "motor_neurons": motor,
            "sensory_fanout": int(rng.integers(1, inter + 1)), "inter_fanout": int(rng.integers(1, command + 1)),
            "recurrent_command_synapses": int(rng.integers(5)), "motor_fanin": int(rng.integers(1, command + 1)),
            "seed": int(rng.integers(99)),
        }  # fmt: skip
        return [kind, arguments], inter + command + motor, motor
    units = int(rng.integers(2, 9))
    outputs = int(rng.integers(1, units + 1))
    arguments = {"units": units, "output_dim": outputs}
    arguments |= (
        {"erev_init_seed": int(rng.integers(99)), "self_connections": bool(rng.integers(2))}
        if kind == "FullyConnected"
        else {"sparsity_level": float(rng.choice([0.0, 0.4, 0.7])), "random_seed": int(rng.integers(99))}
    )
    return [kind, arguments], units, outputs


def neurons(rng, always):
    """A wiring, or none, with the numbers of neurons and outputs."""
    if always or rng.integers(2):
        return wiring(rng, always)
    units = int(rng.integers(1, 8))
    return None, units, units


def of_ltc(rng):
    mapping = lambda: [None, "linear", "affine"][rng.integers(3)]  # noqa: E731
    return {
        "input_mapping": mapping(), "output_mapping": mapping(), "ode_unfolds": int(rng.integers(1, 7)),
        "epsilon": float(rng.choice([1e-8, 1e-3])),
    }  # fmt: skip


def of_cfc(rng, wired):
    arguments = {"mode": str(rng.choice(["default", "pure", "no_gate"]))}
    if not wired:
        arguments |= {
            "backbone_units": int(rng.integers(1, 9)), "backbone_layers": int(rng.integers(0, 4)),
            "backbone_dropout": float(rng.choice([0.0, 0.2])),
        }  # fmt: skip
    return arguments


def torch_case(rng, i):
    """A case of the torch module: what to make, and the arrays that it is called with."""
    kind = ["LTC", "CfC", "LTC", "CfC", "LTCCell", "CfCCell", "WiredCfCCell"][i % 7]
    cell, wired_kind = kind.endswith("Cell"), kind in ("LTCCell", "WiredCfCCell")
    made, units, outputs = (None, *[int(rng.integers(1, 8))] * 2) if kind == "CfCCell" else neurons(rng, wired_kind)
    features, batch, steps = (int(rng.integers(1, n)) for n in (5, 4, 6))
    arguments, explicit = {}, False
    if kind.startswith("LTC"):
        explicit = bool(rng.integers(2))
        arguments = of_ltc(rng) | {"implicit_param_constraints": not explicit}
    else:
        arguments = of_cfc(rng, made is not None)
        activation = str(rng.choice(["silu", "relu", "tanh", "gelu", "lecun_tanh"]))
        if made is None:
            arguments["backbone_activation" if cell else "activation"] = activation
    if kind == "CfCCell" and rng.integers(2):
        mask = rng.integers(-1, 2, (features + units, units)).tolist()
        arguments |= {"backbone_layers": 0, "sparsity_mask": mask}
    batched, first, every, mixed = (bool(rng.integers(4)), *(bool(rng.integers(2)) for _ in range(3)))
    if not cell:
        arguments |= {"return_sequences": every, "batch_first": first, "mixed_memory": mixed}
    if kind == "CfC" and (made is None or made[0].endswith("NCP")) and rng.integers(2):
        outputs = arguments["proj_size"] = int(rng.integers(1, 4))
    irregular = bool(rng.integers(2))
    if irregular and not cell:
        batch = 1  # with more, 1.0.1 raises, or is wrong
    lead = (batch,) if cell or batched else ()
    draw = lambda *shape: rng.normal(size=shape)  # noqa: E731
    given = {"x": draw(*lead, features) if cell else draw(*lead, steps, features)}
    times = rng.uniform(0.05, 3.0, (*lead, 1) if cell else (*lead, steps))
    if not cell and batched and not first:
        given["x"], times = given["x"].swapaxes(0, 1), times.T
    if irregular:
        given["timespans"] = times
    if cell or rng.integers(2):
        given |= {name: draw(*lead, units) for name in ("h", "c")[: 1 + (mixed and not cell)]}
    shape = (*given["x"].shape[:-1], outputs) if every or cell else (*lead, outputs)
    given["direction"] = draw(*shape)
    dtype = str(rng.choice(["float32", "float64"]))
    case = {
        "kind": kind, "wiring": made, "units": units, "features": features, "arguments": arguments,
        "explicit": explicit, "outputs": outputs, "shape": shape, "seed": i, "dtype": dtype,
    }  # fmt: skip
    return case, {"given": given}


def torch_cases(count):
    rng = np.random.default_rng(SEED)
    return [torch_case(rng, i) for i in range(count)]


def keras_case(rng, i, folder):
    """A case of the Keras module."""
    kind = ["LTC", "CfC", "LTC", "CfC", "LTCCell", "CfCCell", "WiredCfCCell"][i % 7]
    cell = kind.endswith("Cell")
    made, units, outputs = (
        (None, *[int(rng.integers(1, 8))] * 2)
        if kind == "CfCCell"
        else neurons(rng, kind in ("LTCCell", "WiredCfCCell"))
    )
    features, batch, steps = (int(rng.integers(1, n)) for n in (5, 4, 6))
    arguments = of_ltc(rng) if kind.startswith("LTC") else of_cfc(rng, made is not None)
    if not kind.startswith("LTC"):
        arguments["activation"] = str(rng.choice(["silu", "relu", "tanh", "gelu", "lecun_tanh"]))
    every, backwards, mixed = (bool(rng.integers(2)) for _ in range(3))
    if not cell:
        arguments |= {"return_sequences": every, "go_backwards": backwards, "mixed_memory": mixed}
    given = {"x": 0.5 * rng.normal(size=(batch, steps, features))}  # linear heads may grow from step to step
    shape = (batch, steps, outputs) if every or cell else (batch, outputs)
    given["direction"] = rng.normal(size=shape)
    case = {
        "kind": kind, "wiring": made, "units": units, "features": features, "arguments": arguments, "batch": batch,
        "steps": steps, "shape": shape, "seed": i, "file": None, "made": f"{folder}/{i}", "whole": False,
    }  # fmt: skip
    return case, {"given": given}


def keras_cases(count, folder):
    rng = np.random.default_rng(SEED)
    return [keras_case(rng, i, folder) for i in range(count)]


def tf_cases(count):
    """Cases of the tf module: those of the Keras module, with elapsed times."""
    rng, found = np.random.default_rng(SEED + 1), []
    for i in range(count):
        case, parts = keras_case(rng, i, "")
        if case["kind"] == "CfCCell" and case["arguments"].get("backbone_layers") == 0:
            case["arguments"]["backbone_layers"] = 1  # 1.0.1's has an empty Sequential, which Keras 2 refuses
        # where 1.0.1 has no memory; and Keras 3's own RNN, around a cell, takes one tensor
        if not case["arguments"].get("mixed_memory") and not case["kind"].endswith("Cell") and rng.integers(4):
            parts["given"]["timespans"] = rng.uniform(0.05, 2.0, (case["batch"], case["steps"], 1))
        found.append((case, parts))
    return found
