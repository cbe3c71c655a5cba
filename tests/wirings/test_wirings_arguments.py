"""Wrong arguments: the message says what was expected, what was received, and the way out."""

import math
import re

import numpy as np
import pytest

from ncps.wirings import NCP, AutoNCP, FullyConnected, Random, Wiring

POLICY = {
    "inter_neurons": 5,
    "command_neurons": 4,
    "motor_neurons": 2,
    "sensory_fanout": 3,
    "inter_fanout": 2,
    "recurrent_command_synapses": 3,
    "motor_fanin": 1,
}


def ncp(**changes):
    return NCP(**(POLICY | changes))


WRONG = [
    (lambda: Wiring(0), ValueError, "units=0"),
    (lambda: Wiring(-3), ValueError, "units=-3"),
    (lambda: Wiring(2.0), TypeError, "units=2.0"),
    (lambda: Wiring(True), TypeError, "units=True"),
    (lambda: Wiring(np.True_), TypeError, "units=np.True_"),
    (lambda: Wiring("8"), TypeError, "units='8'"),
    (lambda: Wiring(None), TypeError, "units=None"),
    (lambda: FullyConnected(0), ValueError, "units=0"),
    (lambda: FullyConnected(4, 5), ValueError, "output_dim=5"),
    (lambda: FullyConnected(4, 0), ValueError, "output_dim=0"),
    (lambda: FullyConnected(4, 1.5), TypeError, "output_dim=1.5"),
    (lambda: FullyConnected(4, erev_init_seed=-1), ValueError, "erev_init_seed=-1"),
    (lambda: FullyConnected(4, erev_init_seed="x"), TypeError, "erev_init_seed='x'"),
    (lambda: Random(4, 5), ValueError, "output_dim=5"),
    (lambda: Random(4, sparsity_level=1.0), ValueError, "sparsity_level=1.0"),
    (lambda: Random(4, sparsity_level=-0.1), ValueError, "sparsity_level=-0.1"),
    (lambda: Random(4, sparsity_level=math.nan), ValueError, "sparsity_level=nan"),
    (lambda: Random(4, sparsity_level="0.5"), TypeError, "sparsity_level='0.5'"),
    (lambda: Random(4, sparsity_level=False), TypeError, "sparsity_level=False"),
    (lambda: Random(4, random_seed=1.5), TypeError, "random_seed=1.5"),
    (lambda: AutoNCP(8, 2, sparsity_level=1.01), ValueError, "sparsity_level=1.01"),
    (lambda: AutoNCP(8, 2, sparsity_level=-0.01), ValueError, "sparsity_level=-0.01"),
    (lambda: AutoNCP(8, 2, sparsity_level=math.nan), ValueError, "sparsity_level=nan"),
    (lambda: AutoNCP(8, 6), ValueError, "units=8"),
    (lambda: AutoNCP(8, 0), ValueError, "output_size=0"),
    (lambda: AutoNCP(8.0, 2), TypeError, "units=8.0"),
    (lambda: AutoNCP(8, 2, seed=2**32), ValueError, "seed=4294967296"),
    (lambda: ncp(inter_neurons=0), ValueError, "inter_neurons=0"),
    (lambda: ncp(command_neurons=0), ValueError, "command_neurons=0"),
    (lambda: ncp(motor_neurons=0), ValueError, "motor_neurons=0"),
    (lambda: ncp(motor_neurons=2.0), TypeError, "motor_neurons=2.0"),
    (lambda: ncp(sensory_fanout=6), ValueError, "sensory_fanout=6"),
    (lambda: ncp(sensory_fanout=-1), ValueError, "sensory_fanout=-1"),
    (lambda: ncp(inter_fanout=5), ValueError, "inter_fanout=5"),
    (lambda: ncp(motor_fanin=5), ValueError, "motor_fanin=5"),
    (lambda: ncp(recurrent_command_synapses=-1), ValueError, "recurrent_command_synapses=-1"),
    (lambda: ncp(seed=-1), ValueError, "seed=-1"),
    (lambda: Wiring(4).set_output_dim(5), ValueError, "output_dim=5"),
    (lambda: Wiring(4).add_synapse(4, 0, 1), ValueError, "src=4"),
    (lambda: Wiring(4).add_synapse(-1, 0, 1), ValueError, "src=-1"),
    (lambda: Wiring(4).add_synapse(0, 4, 1), ValueError, "dest=4"),
    (lambda: Wiring(4).add_synapse(0, 1.0, 1), TypeError, "dest=1.0"),
    (lambda: Wiring(4).add_synapse(0, 1, 0), ValueError, "polarity=0"),
    (lambda: Wiring(4).add_synapse(0, 1, 2), ValueError, "polarity=2"),
    (lambda: Wiring(4).add_synapse(0, 1, True), ValueError, "polarity=True"),
    (lambda: Wiring(4).add_synapse(0, 1, "excitatory"), ValueError, "polarity='excitatory'"),
    (lambda: Wiring(4).add_synapse(0, 1, np.array([1, 1])), ValueError, "polarity=array"),
    (lambda: Wiring(4).get_type_of_neuron(4), ValueError, "neuron_id=4"),
    (lambda: Wiring(4).get_neurons_of_layer(1), ValueError, "layer_id=1"),
    (lambda: ncp().get_type_of_neuron(11), ValueError, "neuron_id=11"),
    (lambda: ncp().get_neurons_of_layer(3), ValueError, "layer_id=3"),
    (lambda: Wiring(4).build(-1), ValueError, "input_dim=-1"),
    (lambda: Wiring(4).build(2.0), TypeError, "input_dim=2.0"),
    (lambda: Wiring(4).build((3, None)), TypeError, "input_dim=None"),
    (lambda: Wiring(4).build(()), ValueError, "input_dim=()"),
    (lambda: Wiring(4).build("12"), TypeError, "input_dim='12'"),
    (lambda: Wiring(4).frozen(1.5), TypeError, "input_dim=1.5"),
]


@pytest.mark.parametrize(("make", "error", "received"), WRONG, ids=[received for _, _, received in WRONG])
def test_wrong_arguments(make, error, received):
    with pytest.raises(error) as caught:
        make()
    message = str(caught.value)
    assert re.search(rf"^Expected .*\. Received: {re.escape(received)}.*\. \S.*\.$", message), message


@pytest.mark.parametrize(
    ("source", "target", "received"), [(2, 0, "src=2"), (-1, 0, "src=-1"), (0, 4, "dest=4"), (0, -1, "dest=-1")]
)
def test_wrong_sensory_synapses(source, target, received):
    wiring = Wiring(4)
    wiring.build(2)
    with pytest.raises(ValueError, match=f"Received: {received}"):
        wiring.add_sensory_synapse(source, target, 1)
    with pytest.raises(ValueError, match="polarity=3"):
        wiring.add_sensory_synapse(0, 0, 3)
    assert wiring.sensory_synapse_count == 0


@pytest.mark.parametrize("matrix", [np.zeros((3, 4)), np.full((4, 4), 2), np.full((4, 4), 0.5), [[1]]])
def test_wrong_matrices(matrix):
    wiring = Wiring(4)
    with pytest.raises(ValueError, match=r"Expected adjacency_matrix to have the shape \(4, 4\)"):
        wiring.adjacency_matrix = matrix
    assert wiring.synapse_count == 0


def test_sparsity_includes_its_ends():
    assert (
        AutoNCP(8, 2, sparsity_level=0).frozen(3).synapse_count
        > AutoNCP(8, 2, sparsity_level=1).frozen(3).synapse_count
    )
    assert Random(4, sparsity_level=0).synapse_count == 16
    assert Random(4, sparsity_level=np.float64(0.5)).synapse_count == 8


def test_integers_of_numpy():
    wiring = AutoNCP(np.int64(8), np.int32(2), np.float32(0.5), np.uint32(7))
    assert wiring == AutoNCP(8, 2, 0.5, 7)
    assert type(wiring.units) is int
    assert wiring.get_type_of_neuron(np.int64(0)) == "motor"
    assert wiring.get_neurons_of_layer(np.int64(2)) == [0, 1]
