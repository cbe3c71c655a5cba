"""Building once, as a whole, and frozen copies for layers."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from ncps.wirings import NCP, AutoNCP, FullyConnected, Layered, Random, Wiring

MAKERS = {
    "FullyConnected": lambda: FullyConnected(6, 2),
    "Random": lambda: Random(6, 2, sparsity_level=0.4),
    "NCP": lambda: NCP(5, 4, 2, 2, 2, 3, 2),
    "AutoNCP": lambda: AutoNCP(12, 3),
    "Layered": lambda: Layered([4, 3, 2]),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def matrices(wiring):
    return wiring.adjacency_matrix.tolist(), wiring.sensory_adjacency_matrix.tolist()


def built(wiring, input_dim=4):
    wiring.build(input_dim)
    return wiring


class Loop(Wiring):
    """A wiring of a user, who draws in `build`."""

    def __init__(self, units, random_state):
        self.before_super = random_state
        super().__init__(units)
        self.rng = np.random.default_rng(random_state)
        self.add_synapse(0, 1, 1)

    def build(self, input_shape):
        super().build(input_shape)
        for i in range(self.input_dim):
            self.add_sensory_synapse(i, int(self.rng.integers(self.units)), 1)


def test_counts_stay_after_a_second_build():
    wiring = AutoNCP(28, 4)
    wiring.build(20)
    assert (wiring.synapse_count, wiring.sensory_synapse_count) == (84, 140)
    wiring.build(20)
    wiring.set_input_dim(20)
    wiring.frozen(20)
    assert (wiring.synapse_count, wiring.sensory_synapse_count) == (84, 140)
    assert type(wiring.synapse_count) is int


def test_second_build_changes_nothing(make):
    wiring = built(make())
    first = matrices(wiring)
    wiring.build(4)
    assert matrices(wiring) == first


def test_two_wirings_build_alike_whatever_was_called_before(make):
    other = make()
    repr(other), hash(other), other.get_config(), other.copy_unbuilt()
    other.frozen(7).build(7)
    assert other.input_dim == 7
    assert matrices(other.frozen(4)) == matrices(built(make()))


@pytest.mark.parametrize("shape", [4, np.int64(4), (None, 4), [2, 3, 4], (4,), np.int32(4)])
def test_number_of_inputs_is_a_number_or_the_last_axis_of_a_shape(shape):
    wiring = AutoNCP(8, 2)
    wiring.build(shape)
    assert wiring.input_dim == 4
    assert type(wiring.input_dim) is int


def test_no_inputs_are_allowed(make):
    wiring = built(make(), 0)
    assert wiring.is_built()
    assert wiring.sensory_adjacency_matrix.shape == (0, wiring.units)
    assert wiring.sensory_synapse_count == 0


def test_building_for_other_inputs_names_both_numbers_and_the_way_out(make):
    wiring = built(make())
    first = matrices(wiring)
    with pytest.raises(ValueError, match=r"Expected input_dim=4,.*Received: input_dim=5\..*copy_unbuilt\(\)"):
        wiring.build(5)
    with pytest.raises(ValueError, match="Received: input_dim=5"):
        wiring.set_input_dim(5)
    assert matrices(wiring) == first


def test_unbuilt(make):
    wiring = make()
    assert not wiring.is_built()
    assert wiring.input_dim is None
    assert wiring.sensory_adjacency_matrix is None
    for what in ("synapses", "sensory_synapses", "sensory_synapse_count"):
        with pytest.raises(ValueError, match=r"Expected a built wiring.*wiring.build\(input_dim\)"):
            getattr(wiring, what)
    with pytest.raises(ValueError, match="Expected a built wiring"):
        wiring.add_sensory_synapse(0, 0, 1)
    with pytest.raises(ValueError, match="Expected a built wiring"):
        wiring.sensory_erev_initializer()


def test_set_input_dim_builds(make):
    wiring = make()
    wiring.set_input_dim(4)
    assert matrices(wiring) == matrices(built(make()))


def test_frozen_builds_the_wiring_itself(make):
    wiring = make()
    frozen = wiring.frozen(4)
    assert wiring.is_built()
    assert frozen is not wiring
    assert type(frozen) is type(wiring)
    assert matrices(frozen) == matrices(wiring) == matrices(built(make()))
    assert not np.shares_memory(frozen.adjacency_matrix, wiring.adjacency_matrix)


def test_frozen_for_other_inputs(make):
    wiring = built(make())
    frozen = wiring.frozen((None, 9))
    assert (frozen.input_dim, wiring.input_dim) == (9, 4)
    assert matrices(frozen) == matrices(built(make(), 9))
    assert matrices(wiring) == matrices(built(make(), 4))


def test_frozen_of_frozen(make):
    frozen = make().frozen(4)
    assert frozen.frozen(4) is frozen
    other = frozen.frozen(9)
    assert matrices(other) == matrices(built(make(), 9))
    with pytest.raises(TypeError, match="frozen copy"):
        other.add_synapse(0, 0, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda wiring: wiring.add_synapse(0, 0, 1),
        lambda wiring: wiring.add_sensory_synapse(0, 0, 1),
        lambda wiring: wiring.set_output_dim(1),
        lambda wiring: setattr(wiring, "output_dim", 1),
        lambda wiring: setattr(wiring, "units", 3),
        lambda wiring: setattr(wiring, "adjacency_matrix", np.zeros((6, 6))),
    ],
)
def test_frozen_cannot_be_changed(change):
    frozen = FullyConnected(6, 2).frozen(4)
    before = matrices(frozen), frozen.output_dim
    for wiring in (frozen, copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        with pytest.raises(TypeError, match=r"Received: FullyConnected\(units=6.*copy_unbuilt\(\)"):
            change(wiring)
        assert (matrices(wiring), wiring.output_dim) == before


def test_matrices_of_frozen_are_read_only(make):
    frozen = make().frozen(4)
    for wiring in (frozen, copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        for matrix in (wiring.adjacency_matrix, wiring.sensory_adjacency_matrix):
            with pytest.raises(ValueError, match="read-only"):
                matrix[0, 0] = 1
        wiring.erev_initializer()[0, 0] = 1  # a copy


def test_changes_by_hand_reach_later_copies_only():
    wiring = AutoNCP(8, 2)
    wiring.add_synapse(7, 0, -1)
    first = wiring.frozen(3)
    wiring.add_synapse(7, 1, 1)
    wiring.set_output_dim(3)
    second, larger = wiring.frozen(3), wiring.frozen(5)
    assert [w.adjacency_matrix[7, 0] for w in (first, second, larger)] == [-1, -1, -1]
    assert [w.adjacency_matrix[7, 1] for w in (first, second, larger)] == [0, 1, 1]
    assert [w.output_dim for w in (first, second, larger)] == [2, 3, 3]


def test_hand_made_polarity_stands_before_and_after_building():
    source, target = np.argwhere(AutoNCP(8, 2).frozen(3).adjacency_matrix == 1)[0]
    before, after = AutoNCP(8, 2), AutoNCP(8, 2)
    before.add_synapse(source, target, -1)
    before.build(3)
    after.build(3)
    after.add_synapse(source, target, -1)
    assert before.adjacency_matrix[source, target] == -1
    assert matrices(before) == matrices(after)


def test_hand_made_synapses_do_not_disturb_the_drawing(make):
    wiring = make()
    wiring.add_synapse(0, 0, 1)
    wiring.build(4)
    expected = built(make())
    expected.adjacency_matrix[0, 0] = 1
    assert matrices(wiring) == matrices(expected)


def test_hand_made_sensory_synapses_belong_to_a_number_of_inputs():
    wiring = built(AutoNCP(8, 2), 3)
    wiring.add_sensory_synapse(0, 0, 1)
    assert wiring.frozen(3).sensory_adjacency_matrix[0, 0] == 1
    with pytest.raises(ValueError, match=r"Expected 3 inputs.*Received: input_dim=5\..*copy_unbuilt\(\)"):
        wiring.frozen(5)
    assert matrices(wiring.copy_unbuilt().frozen(5)) == matrices(built(AutoNCP(8, 2), 5))


def test_copy_unbuilt(make):
    wiring = built(make())
    wiring.add_synapse(1, 0, -1)
    for origin in (wiring, wiring.frozen(4)):
        twin = origin.copy_unbuilt()
        assert not twin.is_built()
        assert twin == wiring
        twin.add_synapse(0, 0, 1)
        twin.build(4)
        expected = wiring.adjacency_matrix.copy()
        expected[0, 0] = 1
        np.testing.assert_array_equal(twin.adjacency_matrix, expected)
    assert wiring.input_dim == 4


def test_copies_and_pickles_of_unbuilt_wirings_build_alike(make):
    wiring = make()
    twins = [copy.deepcopy(wiring), pickle.loads(pickle.dumps(wiring))]
    for twin in twins:
        assert not twin.is_built()
        assert twin == wiring
        assert matrices(built(twin)) == matrices(built(make()))
    assert not wiring.is_built()


def test_plain_wiring_by_hand():
    wiring = Wiring(3)
    assert wiring.output_dim == 3
    assert [wiring.get_type_of_neuron(neuron) for neuron in range(3)] == ["motor"] * 3
    wiring.set_output_dim(1)
    assert [wiring.get_type_of_neuron(neuron) for neuron in range(3)] == ["motor", "inter", "inter"]
    wiring.add_synapse(np.int64(2), 0, np.int32(-1))
    wiring.add_synapse(1, 0, 1.0)
    wiring.add_synapse(2, 0, 1)
    wiring.set_input_dim(2)
    wiring.add_sensory_synapse(1, 2, -1)
    assert wiring.is_built()
    assert wiring.adjacency_matrix.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert wiring.sensory_adjacency_matrix.tolist() == [[0, 0, 0], [0, 0, -1]]
    assert (wiring.synapse_count, wiring.sensory_synapse_count) == (2, 1)
    wiring.build(2)
    assert wiring.sensory_synapse_count == 1
    assert (wiring.num_layers, wiring.layers) == (1, ((0, 1, 2),))


def test_synapses_are_sorted_by_target_then_source(make):
    frozen = make().frozen(5)
    matrix_of = {"synapses": frozen.adjacency_matrix, "sensory_synapses": frozen.sensory_adjacency_matrix}
    for name, matrix in matrix_of.items():
        source, target, polarity = synapses = getattr(frozen, name)
        assert [array.dtype for array in synapses] == [np.int32] * 3
        assert list(zip(target, source, strict=True)) == sorted(zip(*np.nonzero(matrix)[::-1], strict=True))
        np.testing.assert_array_equal(polarity, matrix[source, target])
        assert len(synapses.polarity) == np.count_nonzero(matrix)


def test_synapses_of_a_small_wiring():
    wiring = Wiring(3)
    for synapse in ((2, 1, -1), (0, 1, 1), (1, 0, -1), (2, 2, 1)):
        wiring.add_synapse(*synapse)
    wiring.build(1)
    assert wiring.synapses.source.tolist() == [1, 0, 2, 2]
    assert wiring.synapses.target.tolist() == [0, 1, 1, 2]
    assert wiring.synapses.polarity.tolist() == [-1, 1, -1, 1]
    assert wiring.sensory_synapses.source.shape == (0,)


def test_layers_of_policies():
    wiring = NCP(5, 4, 2, 2, 2, 3, 2)
    assert wiring.layers == ((6, 7, 8, 9, 10), (2, 3, 4, 5), (0, 1))
    assert wiring.num_layers == 3
    types = [wiring.get_type_of_neuron(neuron) for neuron in range(11)]
    assert types == ["motor"] * 2 + ["command"] * 4 + ["inter"] * 5


# Subclasses of users


def test_build_of_a_user_runs_once_and_is_not_hand_made():
    wiring = Loop(3, 5)
    wiring.build(4)
    assert wiring.sensory_synapse_count == 4
    first = matrices(wiring)
    wiring.build(4)
    assert matrices(wiring) == first
    assert wiring == Loop(3, 5)
    assert matrices(wiring.frozen(4)) == first
    assert matrices(wiring.frozen(6)) == matrices(built(Loop(3, 5), 6))


def test_a_build_that_fails_leaves_no_trace():
    class Picky(Random):
        ready = False

        def build(self, input_dim):
            super().build(input_dim)
            self.leftover = True
            if not Picky.ready:
                raise KeyError("not ready")

    wiring = Picky(5)
    wiring.add_synapse(0, 0, -1)
    with pytest.raises(KeyError, match="not ready"):
        wiring.build(3)
    assert not wiring.is_built()
    assert not hasattr(wiring, "leftover")
    Picky.ready = True
    wiring.build(3)
    expected = built(Random(5), 3)
    expected.add_synapse(0, 0, -1)
    assert matrices(wiring) == matrices(expected)


def test_a_build_without_super_is_told_so():
    class Forgetful(Wiring):
        def build(self, input_dim):
            pass

    with pytest.raises(TypeError, match=r"build of Forgetful to call super\(\).build\(input_dim\)"):
        Forgetful(3).build(2)


def test_a_constructor_without_super_is_told_so():
    class Forgetful(Wiring):
        def __init__(self, units):
            self.units = units

    with pytest.raises(TypeError, match=r"constructor of Forgetful to call super\(\).__init__\(units\)"):
        Forgetful(3)


def test_a_build_may_set_the_inputs_itself():
    class Direct(Wiring):
        def build(self, input_dim):
            self.set_input_dim(input_dim)
            self.adjacency_matrix[0, 1] = -1
            self.sensory_adjacency_matrix[0, 0] = 1

    wiring = built(Direct(2), 3)
    assert matrices(wiring) == ([[0, -1], [0, 0]], [[1, 0], [0, 0], [0, 0]])
    assert wiring == Direct(2)


def test_a_constructor_may_build():
    class Fixed(Wiring):
        def __init__(self):
            super().__init__(2)
            self.set_input_dim(3)
            self.add_sensory_synapse(2, 1, -1)

    wiring = Fixed()
    assert wiring.frozen(3).sensory_adjacency_matrix.tolist() == [[0, 0], [0, 0], [0, -1]]
    assert Fixed.from_config(wiring.get_config()) == wiring
    with pytest.raises(ValueError, match="Received: input_dim=4"):
        wiring.frozen(4)


def test_no_framework_is_imported_by_wirings():
    heavy = {"networkx", "matplotlib", "torch", "jax", "keras", "tensorflow", "mlx"}
    code = f"import sys, ncps.wirings; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_layers_by_hand():
    wiring = Layered([3, 2, 1])
    assert wiring.layers == ((3, 4, 5), (1, 2), (0,))
    wiring.add_synapse(3, 1, 1)
    wiring.add_synapse(1, 0, -1)
    wiring.build(2)
    wiring.add_sensory_synapse(1, 5, 1)
    again = Layered.from_config(wiring.get_config())
    assert again == wiring
    assert matrices(again) == matrices(wiring)
    assert again.get_type_of_neuron(0) == "motor"
    with pytest.raises(ValueError, match="Expected layer_sizes with at least one layer"):
        Layered([])
    with pytest.raises(ValueError, match="layer_sizes"):
        Layered([3, 0])
