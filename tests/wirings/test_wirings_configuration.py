"""Equality, hashes, configurations and representations."""

import json
import pickle

import numpy as np
import pytest

from ncps.wirings import NCP, AutoNCP, FullyConnected, Random, Wiring

CONFIGURED = [
    (Wiring(4), {"units": 4}),
    (
        FullyConnected(6),
        {"units": 6, "output_dim": 6, "erev_init_seed": 1111, "self_connections": True},
    ),
    (
        FullyConnected(np.int64(6), np.int32(2), 3, self_connections=False),
        {"units": 6, "output_dim": 2, "erev_init_seed": 3, "self_connections": False},
    ),
    (Random(6, 2, 0.25), {"units": 6, "output_dim": 2, "sparsity_level": 0.25, "random_seed": 1111}),
    (
        NCP(5, 4, 2, 3, 2, 3, 1),
        {
            "inter_neurons": 5,
            "command_neurons": 4,
            "motor_neurons": 2,
            "sensory_fanout": 3,
            "inter_fanout": 2,
            "recurrent_command_synapses": 3,
            "motor_fanin": 1,
            "seed": 22222,
        },
    ),
    (AutoNCP(8, 2), {"units": 8, "output_size": 2, "sparsity_level": 0.5, "seed": 22222}),
]


class Chain(Wiring):
    """A user's wiring whose constructor takes other arguments, without a configuration of its own."""

    def __init__(self, length, *, sign=1, tags=()):
        super().__init__(length + 1)
        for neuron in range(length):
            self.add_synapse(neuron, neuron + 1, sign)
        self.tags = tags


def round_trip(wiring):
    config = json.loads(json.dumps(wiring.get_config()))
    twin = type(wiring).from_config(config)
    assert type(twin) is type(wiring)
    assert twin == wiring
    assert hash(twin) == hash(wiring)
    ours, theirs = wiring.frozen(wiring.input_dim or 3), twin.frozen(wiring.input_dim or 3)
    np.testing.assert_array_equal(ours.adjacency_matrix, theirs.adjacency_matrix)
    np.testing.assert_array_equal(ours.sensory_adjacency_matrix, theirs.sensory_adjacency_matrix)
    assert ours.output_dim == theirs.output_dim
    return twin


@pytest.mark.parametrize(("wiring", "config"), CONFIGURED, ids=[type(wiring).__name__ for wiring, _ in CONFIGURED])
def test_configuration_is_the_constructor_arguments(wiring, config):
    received = wiring.get_config()
    assert received == config
    assert [type(value) for value in received.values()] == [type(value) for value in config.values()]
    assert repr(wiring) == f"{type(wiring).__name__}({', '.join(f'{k}={v!r}' for k, v in config.items())})"
    round_trip(wiring)


def test_repr():
    assert repr(AutoNCP(8, 2)) == "AutoNCP(units=8, output_size=2, sparsity_level=0.5, seed=22222)"


@pytest.mark.parametrize("wiring", [wiring for wiring, _ in CONFIGURED], ids=lambda wiring: type(wiring).__name__)
def test_hand_made_synapses_round_trip(wiring):
    wiring = wiring.copy_unbuilt()
    wiring.add_synapse(3, 3, -1)
    assert wiring.get_config()["hand_made"] == {"synapses": [[3, 3, -1]]}
    assert not round_trip(wiring.copy_unbuilt()).get_config().get("input_dim")
    wiring.build(2)
    wiring.add_sensory_synapse(1, 0, -1)
    wiring.adjacency_matrix[3, 3] = 0  # taken away again, around all methods
    wiring.adjacency_matrix[0, 0] = -1 if wiring.adjacency_matrix[0, 0] != -1 else 0
    wiring.set_output_dim(3)
    twin = round_trip(wiring)
    assert twin.input_dim == 2
    assert twin.sensory_adjacency_matrix[1, 0] == -1
    assert twin.adjacency_matrix[3, 3] == 0
    assert twin.output_dim == 3


def test_configuration_of_hand_made_synapses_is_small():
    wiring = AutoNCP(8, 2)
    wiring.build(3)
    wiring.add_synapse(7, 0, -1)
    wiring.add_sensory_synapse(2, 1, 1)
    assert wiring.get_config() == {
        **AutoNCP(8, 2).get_config(),
        "hand_made": {"synapses": [[7, 0, -1]], "input_dim": 3, "sensory_synapses": [[2, 1, 1]]},
    }


def test_configuration_does_not_share_with_the_wiring():
    wiring = Chain(2, tags=["a"])
    wiring.get_config()["tags"].append("b")
    assert wiring.get_config()["tags"] == ["a"]


def test_being_built_does_not_count():
    built, unbuilt = AutoNCP(8, 2), AutoNCP(8, 2)
    before = hash(built)
    built.build(3)
    assert built == unbuilt == built.frozen(3) == built.frozen(5)
    assert {before} == {hash(wiring) for wiring in (built, unbuilt, built.frozen(3), built.frozen(5))}


def test_hand_made_synapses_count_whenever_they_were_made():
    first, second = AutoNCP(8, 2), AutoNCP(8, 2)
    source, target = np.argwhere(AutoNCP(8, 2).frozen(3).adjacency_matrix == 1)[0]
    first.add_synapse(source, target, 1)
    second.build(3)
    second.add_synapse(source, target, 1)
    assert first == second
    first.build(3)
    assert first == second
    assert hash(first) == hash(second)
    assert first != AutoNCP(8, 2)


DIFFERENT = [
    AutoNCP(8, 2),
    AutoNCP(8, 3),
    AutoNCP(8, 2, seed=1),
    AutoNCP(8, 2, 0.6),
    FullyConnected(8),
    FullyConnected(8, 2),
    FullyConnected(8, self_connections=False),
    Random(8),
    Random(8, sparsity_level=0.5),
    Wiring(8),
    Chain(7),
    Chain(7, sign=-1),
]


def test_what_differs_is_unequal():
    assert len(set(DIFFERENT)) == len(DIFFERENT)
    for i, first in enumerate(DIFFERENT):
        assert [first == second for second in DIFFERENT] == [i == j for j in range(len(DIFFERENT))]
    assert AutoNCP(8, 2) != "AutoNCP"


def test_spelled_out_defaults_are_equal():
    assert FullyConnected(8) == FullyConnected(np.int64(8), output_dim=8)
    changed = FullyConnected(8)
    changed.set_output_dim(2)
    assert changed == FullyConnected(8, 2)


def test_a_seed_drawn_by_none_is_kept():
    for wiring in (AutoNCP(8, 2, seed=None), Random(8, random_seed=None), FullyConnected(8, erev_init_seed=None)):
        round_trip(wiring)
        assert pickle.loads(pickle.dumps(wiring)) == wiring
    assert AutoNCP(8, 2, seed=None) != AutoNCP(8, 2, seed=None)


def test_subclass_without_configuration():
    wiring = Chain(3, sign=-1, tags=("a", "b"))
    assert wiring.get_config() == {"length": 3, "sign": -1, "tags": ("a", "b")}
    assert repr(wiring) == "Chain(length=3, sign=-1, tags=('a', 'b'))"
    twin = round_trip(wiring)
    assert twin.adjacency_matrix[0, 1] == -1
    assert round_trip(Chain(2)) != wiring
    wiring.add_synapse(0, 0, 1)
    assert wiring.get_config()["hand_made"] == {"synapses": [[0, 0, 1]]}
    round_trip(wiring)


def test_subclass_that_inherits_the_constructor():
    class Renamed(AutoNCP):
        pass

    wiring = Renamed(8, output_size=2)
    assert repr(wiring) == "Renamed(units=8, output_size=2, sparsity_level=0.5, seed=22222)"
    assert wiring != AutoNCP(8, 2)
    round_trip(wiring)


def test_subclass_with_keywords_and_super():
    class Seeded(Random):
        def __init__(self, units, **kwargs):
            super().__init__(units, sparsity_level=0.5, **kwargs)

    wiring = Seeded(6, random_seed=3)
    assert wiring.get_config() == {"units": 6, "random_seed": 3}
    round_trip(wiring)
    np.testing.assert_array_equal(wiring.adjacency_matrix, Random(6, None, 0.5, 3).adjacency_matrix)


def test_arguments_that_json_cannot_hold_name_the_methods_to_write():
    class Masked(Wiring):
        def __init__(self, mask):
            super().__init__(len(mask))
            self.adjacency_matrix = mask

    mask = np.array([[0, 1], [-1, 0]])
    wiring = Masked(mask)
    assert wiring == Masked(mask)
    assert hash(wiring) == hash(Masked(mask))
    assert wiring != Masked(mask.T)
    with pytest.raises(TypeError, match=r"Write get_config\(\) and from_config\(\) in Masked"):
        wiring.get_config()


def test_arguments_without_names_name_the_methods_to_write():
    class Layered(Wiring):
        def __init__(self, *sizes):
            super().__init__(sum(sizes))

    with pytest.raises(TypeError, match=r"\*sizes has no names.*Write get_config\(\) and from_config\(\) in Layered"):
        Layered(2, 3).get_config()
    assert Layered(2, 3) != Layered(3, 2)


def test_own_configuration_of_a_subclass_is_used():
    class Masked(Wiring):
        def __init__(self, mask):
            super().__init__(len(mask))
            self.adjacency_matrix = mask

        def get_config(self):
            return {"mask": self.adjacency_matrix.tolist()}

    assert round_trip(Masked(np.eye(3))).adjacency_matrix.tolist() == np.eye(3).tolist()


def test_wrong_configurations():
    with pytest.raises(TypeError, match=r"AutoNCP\(units.*'output_size'.*Received: config=\{'units': 8\}"):
        AutoNCP.from_config({"units": 8})
    with pytest.raises(TypeError, match=r"unexpected.*'colour'"):
        AutoNCP.from_config({**AutoNCP(8, 2).get_config(), "colour": "red"})
    with pytest.raises(ValueError, match="src=8"):
        AutoNCP.from_config({**AutoNCP(8, 2).get_config(), "hand_made": {"synapses": [[8, 0, 1]]}})


def test_configuration_of_101_makes_the_own_class():
    class Own(Wiring):
        pass

    old = {
        "units": 2,
        "adjacency_matrix": [[0, -1], [0, 1]],
        "sensory_adjacency_matrix": [[1, 0]],
        "input_dim": 1,
        "output_dim": 1,
    }
    wiring = Own.from_config(old)
    assert type(wiring) is Own
    assert wiring.adjacency_matrix.tolist() == old["adjacency_matrix"]
    assert wiring.sensory_adjacency_matrix.tolist() == old["sensory_adjacency_matrix"]
    assert (wiring.input_dim, wiring.output_dim) == (1, 1)
    round_trip(wiring)
    unset = {**old, "sensory_adjacency_matrix": None, "input_dim": None, "output_dim": None}
    wiring = Own.from_config(unset)
    assert not wiring.is_built()
    assert wiring.output_dim == 2
