"""Builds the wirings that it is asked for and describes them, with the ncps that can be imported.

The parity tests use it as a module, with ours, and run it as a program, with ncps 1.0.1: cases come as JSON through
the standard input, descriptions go as JSON to the standard output.
"""

import json
import sys

import ncps.wirings


class Ring(ncps.wirings.Wiring):
    """What users of 1.0.1 wrote: synapses by hand in the constructor and in `build`."""

    def __init__(self, units, step):
        super().__init__(units)
        self.step = step
        self.set_output_dim(2)
        for neuron in range(units):
            self.add_synapse(neuron, (neuron + step) % units, -1)

    def build(self, input_shape):
        super().build(input_shape)
        self.add_synapse(0, self.step % self.units, 1)
        for i in range(self.input_dim):
            self.add_sensory_synapse(i, i % self.units, 1 if i % 2 else -1)


def make(name, arguments):
    return Ring(**arguments) if name == "Ring" else getattr(ncps.wirings, name)(**arguments)


def describe(name, arguments, input_dim):
    try:
        wiring = make(name, arguments)
        wiring.build(input_dim)
    except Exception as error:
        return {"error": str(error)}
    return {
        "adjacency_matrix": wiring.adjacency_matrix.tolist(),
        "sensory_adjacency_matrix": wiring.sensory_adjacency_matrix.tolist(),
        "erev": wiring.erev_initializer().tolist(),
        "sensory_erev": wiring.sensory_erev_initializer().tolist(),
        "synapse_count": int(wiring.synapse_count),
        "sensory_synapse_count": int(wiring.sensory_synapse_count),
        "sizes": [wiring.units, wiring.input_dim, wiring.output_dim],
        "layers": [list(wiring.get_neurons_of_layer(layer)) for layer in range(wiring.num_layers)],
        "types": [wiring.get_type_of_neuron(neuron) for neuron in range(wiring.units)],
    }


def describe_graph(name, arguments, input_dim):
    wiring = make(name, arguments)
    wiring.build(input_dim)
    graph = wiring.get_graph()
    return {"nodes": list(graph.nodes(data=True)), "edges": list(graph.edges(data=True))}


def hand_made_config():
    wiring = ncps.wirings.Wiring(4)
    wiring.set_output_dim(2)
    wiring.add_synapse(3, 1, -1)
    wiring.add_synapse(2, 0, 1)
    wiring.build(3)
    wiring.add_sensory_synapse(2, 3, -1)
    return wiring.get_config()


if __name__ == "__main__":
    cases = json.load(sys.stdin)
    answer = {
        "from": ncps.wirings.__file__,
        "wirings": [describe(*case) for case in cases["wirings"]],
        "graphs": [describe_graph(*case) for case in cases["graphs"]],
        "config": hand_made_config(),
    }
    json.dump(answer, sys.stdout)
