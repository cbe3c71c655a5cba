"""Neural circuit policies: sparse wirings in four layers, after the nervous system of a worm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ncps.wirings import checks
from ncps.wirings.wiring import Wiring

_LARGEST_SEED = 2**32 - 1  # what `numpy.random.RandomState` takes

_LAYERS = ("inter", "command", "motor")


class NCP(Wiring):
    """A neural circuit policy: sensory neurons (the inputs), inter, command and motor neurons (the outputs).

    1. Every sensory neuron has synapses to `sensory_fanout` inter neurons,
    2. every inter neuron to `inter_fanout` command neurons,
    3. `recurrent_command_synapses` connect command neurons among themselves,
    4. every motor neuron has synapses from `motor_fanin` command neurons.

    Partners and polarities are random. A neuron that was chosen by none chooses for itself, as many as the chosen ones
    have on average, but at least one. The ids of the neurons begin with the motor neurons; command and inter neurons
    follow.

    The same arguments give the synapses of ncps 1.0.1, since checkpoints depend on them, and with them two of its
    habits: a recurrent synapse that is drawn twice exists once, so there can be fewer than asked for; and a command
    neuron that was chosen by none chooses at most as many inter neurons as there are *command* neurons.

    Args:
        inter_neurons: the number of inter neurons (layer 0).
        command_neurons: the number of command neurons (layer 1).
        motor_neurons: the number of motor neurons (layer 2), the outputs.
        sensory_fanout: the number of synapses from each input to inter neurons.
        inter_fanout: the number of synapses from each inter neuron to command neurons.
        recurrent_command_synapses: the number of synapses among command neurons.
        motor_fanin: the number of synapses to each motor neuron from command neurons.
        seed: the seed of synapses and polarities; None draws one.

    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if an argument is out of range: no neurons in a layer, or more partners than neurons.

    Example:
        >>> from ncps.wirings import NCP
        >>> wiring = NCP(
        ...     inter_neurons=12,
        ...     command_neurons=6,
        ...     motor_neurons=1,
        ...     sensory_fanout=6,
        ...     inter_fanout=4,
        ...     recurrent_command_synapses=6,
        ...     motor_fanin=6,
        ... )
        >>> wiring.build(32)
        >>> wiring.units, wiring.output_dim, [len(layer) for layer in wiring.layers]
        (19, 1, [12, 6, 1])
        >>> wiring.synapse_count, wiring.sensory_synapse_count
        (58, 192)
    """

    def __init__(
        self,
        inter_neurons: int,
        command_neurons: int,
        motor_neurons: int,
        sensory_fanout: int,
        inter_fanout: int,
        recurrent_command_synapses: int,
        motor_fanin: int,
        seed: int | None = 22222,
    ) -> None:
        inter, command, motor = (
            checks.integer(name, count, "Every layer has at least one neuron.", at_least=1)
            for name, count in (
                ("inter_neurons", inter_neurons),
                ("command_neurons", command_neurons),
                ("motor_neurons", motor_neurons),
            )
        )
        super().__init__(inter + command + motor)
        self.set_output_dim(motor)
        self.seed = checks.seed("seed", seed, at_most=_LARGEST_SEED)
        self._sensory_fanout = _partners("sensory_fanout", sensory_fanout, inter, "inter")
        self._inter_fanout = _partners("inter_fanout", inter_fanout, command, "command")
        self._motor_fanin = _partners("motor_fanin", motor_fanin, command, "command")
        self._recurrent_command_synapses = checks.integer(
            "recurrent_command_synapses", recurrent_command_synapses, "Pass 0 for none.", at_least=0
        )
        self._neurons = {
            "motor": range(motor),
            "command": range(motor, motor + command),
            "inter": range(motor + command, self.units),
        }

    @property
    def num_layers(self) -> int:
        """The number of layers of neurons: inter, command and motor."""
        return len(_LAYERS)

    def get_neurons_of_layer(self, layer_id: int) -> list[int]:
        """Returns the ids of the inter (0), command (1) or motor neurons (2).

        Raises:
            ValueError: if there is no such layer.
        """
        return list(self._neurons[_LAYERS[self._layer(layer_id)]])

    def get_type_of_neuron(self, neuron_id: int) -> str:
        """Returns "motor", "command" or "inter".

        Raises:
            ValueError: if there is no such neuron.
        """
        neuron_id = self._neuron("neuron_id", neuron_id)
        return next(name for name, neurons in self._neurons.items() if neuron_id in neurons)

    def build(self, input_dim: int | Sequence[Any]) -> None:
        """Connects all layers, from the inputs to the motor neurons; see `Wiring.build`."""
        super().build(input_dim)
        rng = np.random.RandomState(self.seed)  # the generator of ncps 1.0.1
        sensory = range(len(self._sensory().polarities))
        inter, command, motor = (self._neurons[name] for name in _LAYERS)

        _connect(rng, sensory, inter, self._sensory_fanout, len(sensory), self.add_sensory_synapse)
        _connect(rng, inter, command, self._inter_fanout, len(command), self.add_synapse)
        for _ in range(self._recurrent_command_synapses):
            self.add_synapse(rng.choice(command), rng.choice(command), rng.choice([-1, 1]))
        _connect(
            rng,
            motor,
            command,
            self._motor_fanin,
            len(motor),
            lambda target, source, polarity: self.add_synapse(source, target, polarity),
        )


def _partners(name: str, count: int, available: int, kind: str) -> int:
    way_out = f"There are only {available} {kind} neurons to choose from."
    return checks.integer(name, count, way_out, at_least=0, at_most=available)


def _connect(
    rng: np.random.RandomState,
    choosing: Sequence[int],
    chosen: Sequence[int],
    partners: int,
    most: int,
    add_synapse: Callable[[int, int, int], None],
) -> None:
    """Connects two layers so that nobody is left out.

    Args:
        rng: the generator; the order of the draws is that of ncps 1.0.1.
        choosing: neurons that choose `partners` neurons each.
        chosen: the neurons to choose from. Those that nobody chose then choose among `choosing`, as many as the
            others have on average, but at least 1 and at most `most`.
        partners: how many are chosen.
        most: see above.
        add_synapse: is called with one of `choosing`, one of `chosen` and a polarity.
    """
    forgotten = dict.fromkeys(chosen)
    for first in choosing:
        for second in rng.choice(chosen, size=partners, replace=False):
            forgotten.pop(second, None)
            add_synapse(first, second, rng.choice([-1, 1]))

    average = len(choosing) * partners // len(chosen)
    count = min(max(average, 1), most)  # never above len(choosing), as partners is not above len(chosen)
    for second in forgotten:
        for first in rng.choice(choosing, size=count, replace=False):
            add_synapse(first, second, rng.choice([-1, 1]))


class AutoNCP(NCP):
    """A neural circuit policy from three numbers: how many neurons, how many outputs, how sparse.

    Of the neurons that are no outputs, 40 % are command neurons and the others inter neurons; a neuron has synapses
    with the share `1 - sparsity_level` of the next layer, but at least one. The same arguments give the synapses of
    ncps 1.0.1 (see `NCP`), which knew no sparsity below 0.1.

    Args:
        units: the number of neurons, at least `output_size + 3`.
        output_size: the number of motor neurons, the outputs; often a third of the neurons or less.
        sparsity_level: the share of synapses to leave out, from 0.0 (dense) to 1.0 (one synapse per neuron).
        seed: the seed of synapses and polarities; None draws one.

    Raises:
        TypeError: if an argument is not a number of the right kind.
        ValueError: if an argument is out of range.

    Example:
        >>> from ncps.wirings import AutoNCP
        >>> wiring = AutoNCP(28, 4)
        >>> wiring
        AutoNCP(units=28, output_size=4, sparsity_level=0.5, seed=22222)
        >>> wiring.build(20)
        >>> wiring.synapse_count, wiring.sensory_synapse_count
        (84, 140)
    """

    def __init__(self, units: int, output_size: int, sparsity_level: float = 0.5, seed: int | None = 22222) -> None:
        output_size = checks.integer("output_size", output_size, "Pass the number of outputs.", at_least=1)
        way_out = f"With {output_size} outputs there are inter and command neurons besides: use more units."
        units = checks.integer("units", units, way_out, at_least=output_size + 3)
        density = 1.0 - checks.sparsity(sparsity_level, below_one=False)
        command = max(int(0.4 * (units - output_size)), 1)
        inter = units - output_size - command
        super().__init__(
            inter_neurons=inter,
            command_neurons=command,
            motor_neurons=output_size,
            sensory_fanout=max(int(inter * density), 1),
            inter_fanout=max(int(command * density), 1),
            recurrent_command_synapses=max(int(command * density * 2), 1),
            motor_fanin=max(int(command * density), 1),
            seed=seed,
        )
