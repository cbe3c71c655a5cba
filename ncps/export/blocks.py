"""A trained model as data: blocks that follow one another within a time step, each with its weights as NumPy arrays.

What reads a model (`lowering`) and what writes it down (`c_blocks`, `onnx_blocks`) meet here and know nothing of one
another. The state of a block is one vector: the arrays of the cell's state end to end, in the order of
`ncps.tree.flatten`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

Array = np.ndarray


class Sizes(NamedTuple):
    """Lengths of the vectors that a block takes, gives, and keeps."""

    inputs: int
    outputs: int
    state: int = 0


@dataclass(frozen=True, eq=False)
class Block:
    """One layer or cell within a time step."""

    kind: ClassVar[str] = "layer"  # for names in code
    sizes: Sizes


@dataclass(frozen=True, eq=False)
class Affine(Block):
    """activation(x W + b), with W (F, U) and b (U,)."""

    kind = "dense"
    kernel: Array
    bias: Array
    activation: str = "linear"


@dataclass(frozen=True, eq=False)
class Activate(Block):
    """activation(x)."""

    kind = "activation"
    activation: str


@dataclass(frozen=True, eq=False)
class Normalize(Block):
    """(x - mean) / √(variance + epsilon) gamma + beta."""

    kind = "normalization"
    gamma: Array
    beta: Array
    epsilon: float


@dataclass(frozen=True, eq=False)
class ODE(Block):
    """c ẋ = a - d x, integrated by `unfolds` steps of a solver."""

    solver: str
    unfolds: int


@dataclass(frozen=True, eq=False)
class Synapses:
    """The synapses of all neurons, those of the first neuron first.

    Args:
        fan_in: (N,), how many end at each neuron.
        source: (E,), where they begin.
        weights: (E,) each, by name: sigma, mu, w, erev.
    """

    fan_in: Array
    source: Array
    weights: dict[str, Array]


@dataclass(frozen=True, eq=False)
class LTC(ODE):
    """See `ncps.layers.LTCCell`; the mappings hold factor and offset, as far as there are any."""

    kind = "ltc"
    gleak: Array
    vleak: Array
    cm: Array
    epsilon: float
    inner: Synapses
    sensory: Synapses
    input_mapping: list[Array]
    output_mapping: list[Array]


@dataclass(frozen=True, eq=False)
class Rate(ODE):
    """ẋ = activation(W u + U x + b) - decay x, see `ncps.layers.CTRNNCell`; without decay `NeuralODECell`."""

    kind = "ctrnn"
    kernel: Array
    recurrent: Array
    bias: Array
    decay: Array | None
    activation: str


@dataclass(frozen=True, eq=False)
class Heads:
    """The linear maps of a CfC side by side: one in the mode pure, else four.

    Args:
        kernel: (F, heads N).
        bias: (heads N,).
        mode: of the cell.
        activation: of the first two heads.
        w_tau: (N,), in the mode pure.
        A: the same.
    """

    kernel: Array
    bias: Array
    mode: str
    activation: str
    w_tau: Array | None
    A: Array | None


@dataclass(frozen=True, eq=False)
class CfC(Block):
    """See `ncps.layers.CfCCell`: the heads of backbone([x, h])."""

    kind = "cfc"
    backbone: list[Affine]
    heads: Heads


@dataclass(frozen=True, eq=False)
class WiredLayer:
    """One layer of a wired CfC.

    Args:
        neurons: (N,), their places in the state.
        sources: (F,), the places in [inputs, state] that the rows of the heads' kernel stand for. What the layers
            before compute in this step stands in the state already.
        mask: (F, heads N), where the heads' kernel has weights.
        heads: what they compute.
    """

    neurons: Array
    sources: Array
    mask: Array
    heads: Heads


@dataclass(frozen=True, eq=False)
class WiredCfC(Block):
    """See `ncps.layers.WiredCfCCell`; `motors` (M,) are the places of the outputs in the state."""

    kind = "cfc"
    layers: list[WiredLayer]
    motors: Array


@dataclass(frozen=True, eq=False)
class Memory(Block):
    """See `ncps.layers.MixedMemoryCell`: gates i, f, g, o side by side; the state is c, then the cell's."""

    kind = "memory"
    kernel: Array
    recurrent: Array
    bias: Array
    cell: Block
    to_state: bool


@dataclass(frozen=True, eq=False)
class Chain(Block):
    """Blocks that feed one another; the state is theirs end to end."""

    kind = "stack"
    blocks: list[Block]
