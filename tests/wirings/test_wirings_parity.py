"""The same arguments give the same synapses and polarities as in ncps 1.0.1."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import describe_wirings
import numpy as np
import pytest

from ncps.wirings import NCP, AutoNCP, Wiring


def _fully_connected(rng):
    units = rng.randint(1, 16)
    return {
        "units": units,
        "output_dim": rng.choice([None, rng.randint(1, units)]),
        "erev_init_seed": rng.randint(0, 2**40),
        "self_connections": rng.random() < 0.5,
    }


def _random(rng):
    units = rng.randint(1, 20)
    return {
        "units": units,
        "output_dim": rng.choice([None, rng.randint(1, units)]),
        "sparsity_level": rng.choice([0.0, rng.random() * 0.999]),
        "random_seed": rng.randint(0, 2**40),
    }


def _ncp(rng):
    inter, command, motor = rng.randint(1, 14), rng.randint(1, 9), rng.randint(1, 5)
    return {
        "inter_neurons": inter,
        "command_neurons": command,
        "motor_neurons": motor,
        "sensory_fanout": rng.randint(0, inter),
        "inter_fanout": rng.randint(0, command),
        "recurrent_command_synapses": rng.randint(0, 2 * command),
        "motor_fanin": rng.randint(0, command),
        "seed": rng.randint(0, 2**32 - 1),
    }


def _auto_ncp(rng):
    output_size = rng.randint(1, 6)
    return {
        "units": output_size + rng.randint(3, 30),
        "output_size": output_size,
        "sparsity_level": rng.choice([0.1, 1.0, rng.uniform(0.1, 1.0)]),
        "seed": rng.randint(0, 2**32 - 1),
    }


def _cases():
    rng = random.Random(2020)
    makers = {"FullyConnected": _fully_connected, "Random": _random, "NCP": _ncp, "AutoNCP": _auto_ncp}
    drawn = [(name, make(rng), rng.randint(0, 12)) for name, make in makers.items() for _ in range(30)]
    defaults = [
        ("FullyConnected", {"units": 8}, 4),
        # 14400 possible synapses, of which few are chosen: NumPy chooses with another algorithm than for small wirings
        ("Random", {"units": 120, "sparsity_level": 0.99}, 120),
        ("Random", {"units": 110, "sparsity_level": 0.5}, 3),
        ("AutoNCP", {"units": 28, "output_size": 4}, 20),
        ("AutoNCP", {"units": 64, "output_size": 8}, 64),
        ("Ring", {"units": 5, "step": 2}, 7),
    ]
    return drawn + defaults


CASES = _cases()
GRAPHS = [("AutoNCP", {"units": 19, "output_size": 1}, 12), ("FullyConnected", {"units": 4, "output_dim": 2}, 3)]


@pytest.fixture(scope="module")
def reference(ncps_101: Path):
    """What ncps 1.0.1 says to all cases."""
    answer = subprocess.run(
        [sys.executable, "-P", describe_wirings.__file__],
        input=json.dumps({"wirings": CASES, "graphs": GRAPHS}),
        env={**os.environ, "PYTHONPATH": str(ncps_101)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    reference = json.loads(answer.stdout)
    assert Path(reference["from"]).is_relative_to(ncps_101)
    return reference


@pytest.mark.parametrize("name", ["FullyConnected", "Random", "NCP", "AutoNCP", "Ring"])
def test_same_synapses(reference, name):
    pairs = [(case, theirs) for case, theirs in zip(CASES, reference["wirings"], strict=True) if case[0] == name]
    assert pairs
    for case, theirs in pairs:
        assert "error" not in theirs
        assert describe_wirings.describe(*case) == theirs, case


def test_every_small_policy_builds_and_reaches_every_neuron():
    for inter, command, motor, inputs in itertools.product((1, 2, 5), (1, 2, 3), (1, 3), (1, 4)):
        for fanouts in itertools.product(range(inter + 1), range(command + 1), range(command + 1)):
            sensory_fanout, inter_fanout, motor_fanin = fanouts
            wiring = NCP(inter, command, motor, sensory_fanout, inter_fanout, 0, motor_fanin)
            wiring.build(inputs)
            layers = [np.array(layer) for layer in wiring.layers]
            assert np.all(wiring.sensory_adjacency_matrix[:, layers[0]].any(axis=0))
            assert np.all(wiring.adjacency_matrix[np.ix_(layers[0], layers[1])].any(axis=0))
            assert np.all(wiring.adjacency_matrix[np.ix_(layers[1], layers[2])].any(axis=1))


def test_same_graph(reference):
    for case, theirs in zip(GRAPHS, reference["graphs"], strict=True):
        ours = json.loads(json.dumps(describe_wirings.describe_graph(*case)))
        assert ours == theirs


def test_reads_the_configuration_of_a_hand_made_wiring(reference):
    wiring = Wiring.from_config(reference["config"])
    ours = Wiring.from_config(describe_wirings.hand_made_config())
    assert wiring == ours
    assert (wiring.units, wiring.input_dim, wiring.output_dim) == (4, 3, 2)
    assert np.argwhere(wiring.adjacency_matrix == -1).tolist() == [[3, 1]]
    assert np.argwhere(wiring.adjacency_matrix == 1).tolist() == [[2, 0]]
    assert np.argwhere(wiring.sensory_adjacency_matrix).tolist() == [[2, 3]]


def test_sparsities_below_those_of_101():
    dense = AutoNCP(20, 2, sparsity_level=0.0)
    dense.build(5)
    inter, command, motor = dense.layers
    assert dense.sensory_synapse_count == 5 * len(inter)
    assert np.all(dense.adjacency_matrix[np.ix_(inter, command)] != 0)
    assert np.all(dense.adjacency_matrix[np.ix_(command, motor)] != 0)
