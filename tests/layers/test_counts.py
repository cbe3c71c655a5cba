"""The numbers of parameters of the networks that keep a car in its lane: Hasani et al. 2022, table 3."""

import pytest

import ncps
from ncps.layers import LTC, CfC
from ncps.wirings import NCP


def policy():
    return NCP(12, 6, 1, sensory_fanout=6, inter_fanout=4, recurrent_command_synapses=6, motor_fanin=6)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: LTC(policy(), input_size=64), 6495),
        (lambda: CfC(policy(), mode="default", input_size=64), 4184),
        (lambda: CfC(policy(), mode="no_gate", input_size=64), 4184),
        (lambda: CfC(policy(), mode="pure", input_size=64), 1084),
    ],
    ids=["ltc", "cfc", "cfc_no_gate", "cfc_pure"],
)
def test_papers_count_the_synapses_of_all_pairs(backend, make, count):
    assert ncps.count_params(make(), dense=True) == count


def test_an_ltc_stores_the_synapses_that_exist(backend):
    layer = LTC(policy(), input_size=64)
    wiring = layer.cell.wiring
    neurons, mappings = 3 * 19, 2 * 64 + 2 * 1
    assert layer.count_params() == 4 * (wiring.synapse_count + wiring.sensory_synapse_count) + neurons + mappings
