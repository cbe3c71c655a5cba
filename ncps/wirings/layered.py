"""Wirings of layers that are connected by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ncps.wirings import checks
from ncps.wirings.wiring import Wiring


class Layered(Wiring):
    """Neurons in layers, as many as wanted, to be connected by hand: deeper than an `NCP`, or as a checkpoint has them.

    The ids of the neurons begin with the last layer, whose neurons are the motor neurons; those of the first layer,
    next to the inputs, come last. A wired `CfC` runs its layers one after the other, each driven by the one before.

    Args:
        layer_sizes: numbers of neurons, of the layer next to the inputs first.

    Raises:
        TypeError: a number is not an integer.
        ValueError: there is no layer, or one without neurons.

    Example:
        >>> from ncps.wirings import Layered
        >>> wiring = Layered([3, 2, 1])
        >>> wiring.layers
        ((3, 4, 5), (1, 2), (0,))
        >>> for source, target in ((3, 1), (4, 2), (1, 0), (2, 0)):
        ...     wiring.add_synapse(source, target, polarity=1)
        >>> wiring.synapse_count, wiring.output_dim
        (4, 1)
    """

    def __init__(self, layer_sizes: Sequence[int]) -> None:
        self.layer_sizes = tuple(
            checks.integer("layer_sizes", size, "Every layer has at least one neuron.", at_least=1)
            for size in layer_sizes
        )
        if not self.layer_sizes:
            raise ValueError("Expected layer_sizes with at least one layer. Received: none. Give one number for each.")
        super().__init__(sum(self.layer_sizes))
        self.set_output_dim(self.layer_sizes[-1])
        ends = list(itertools.accumulate(reversed(self.layer_sizes), initial=0))
        self._ids = [list(range(*pair)) for pair in itertools.pairwise(ends)][::-1]

    @property
    def num_layers(self) -> int:
        """The number of layers of neurons."""
        return len(self.layer_sizes)

    def get_neurons_of_layer(self, layer_id: int) -> list[int]:
        """Returns the ids of the neurons of a layer, from 0, the one next to the inputs.

        Raises:
            ValueError: if there is no such layer.
        """
        return list(self._ids[self._layer(layer_id)])
