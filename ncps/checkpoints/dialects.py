"""How ncps 1.0.1 named and arranged its weights under torch, and in the files of Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

EXACT = {"gelu": "gelu_exact"}  # what 1.0.1 meant by the name of an activation
LTC_ORDER = (  # in which 1.0.1's keras cell made its weights; mappings may be missing at the end
    *("gleak", "vleak", "cm"),
    *("sigma", "mu", "w", "erev"),
    *("sensory_sigma", "sensory_mu", "sensory_w", "sensory_erev"),
    *("input_w", "input_b", "output_w", "output_b"),
)


class TorchDialect:
    """Names of a state dict. Kernels are (outputs, inputs), masks lie beside them as numbers without sign."""

    transposed = True
    signed_masks = False
    time_sign = 1
    inner, memory = "rnn_cell.", "lstm."
    gates = ("input_map.weight", "recurrent_map.weight", "input_map.bias")
    masks: Any = ("sparsity_mask", "sensory_sparsity_mask")

    def forget_bias(self, cell: Any) -> float:
        """What the forward pass adds to the bias of the forget gate."""
        return 1.0

    def ltc(self, names: Sequence[str]) -> list[str]:
        """Those of the weights of an LTC."""
        return list(names)

    def linear(self, name: str) -> tuple[str, str]:
        """Kernel and bias of a head."""
        return f"{name}.weight", f"{name}.bias"

    def pure(self) -> tuple[str, str]:
        """Time constant and amplitude of the mode pure."""
        return "w_tau", "A"

    def backbone(self, i: int, cell: Any) -> tuple[str, str]:
        """Kernel and bias of a layer of the backbone; from the second on, a dropout may follow each activation."""
        return self.linear(f"backbone.{0 if i == 0 else 2 + (i - 1) * (3 if cell.backbone_dropout > 0 else 2)}")

    def layer(self, i: int) -> str:
        """The prefix of a layer of a wired CfC."""
        return f"layer_{i}."


class KerasDialect:
    """Paths in a file of Keras, which counts the weights of an object.

    1.0.1 multiplied kernels with masks of -1, 0 and 1 there, and its gate was sigmoid(-a t + b).
    """

    transposed = False
    signed_masks = True
    time_sign = -1
    inner, memory = "rnn_cell/", ""
    gates = ("0", "1", "2")
    masks: Any = None

    def forget_bias(self, cell: Any) -> float:
        """What the forward pass adds to the bias of the forget gate."""
        return cell.forget_bias

    def ltc(self, names: Sequence[str]) -> list[str]:
        """Those of the weights of an LTC."""
        there = [name for name in LTC_ORDER if name in names]
        return [str(there.index(name)) for name in names]

    def linear(self, name: str) -> tuple[str, str]:
        """Kernel and bias of a head."""
        own = {"ff1": ("0", "1"), "ff2": ("2", "3")}
        return own.get(name, (f"{name}/0", f"{name}/1"))

    def pure(self) -> tuple[str, str]:
        """Time constant and amplitude of the mode pure."""
        return "2", "3"

    def backbone(self, i: int, cell: Any) -> tuple[str, str]:
        """Kernel and bias of a layer of the backbone."""
        return self.linear(f"backbone_fn/layers/dense{f'_{i}' if i else ''}")

    def layer(self, i: int) -> str:
        """The prefix of a layer of a wired CfC."""
        return f"_cfc_layers/cf_c_cell{f'_{i}' if i else ''}/"


Dialect = TorchDialect | KerasDialect
TORCH, KERAS = TorchDialect(), KerasDialect()
