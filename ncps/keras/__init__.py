"""The Keras module of ncps 1.0.1: the same layers, arguments and registered names, on jax, torch and TensorFlow.

They are faces of the layers in `ncps.layers`, with the forward mathematics of 1.0.1's Keras module: linear heads and
unmasked gates of the CfC. Its `.keras` and `.weights.h5` files load.
docs/guides/from_ncps_1.md tells what is kept and what is corrected.
"""

from ncps.backend import NCPSBackend

NCPSBackend.ops_of("keras")  # tells what to install, where Keras is missing or runs on a framework that does not do

from ncps.keras.activations import lecun_tanh
from ncps.keras.cfc import CfC
from ncps.keras.cfc_cell import CfCCell
from ncps.keras.ltc import LTC
from ncps.keras.ltc_cell import LTCCell
from ncps.keras.mm_rnn import MixedMemoryRNN
from ncps.keras.wired_cfc_cell import WiredCfCCell

__all__ = ["CfC", "CfCCell", "LTC", "LTCCell", "MixedMemoryRNN", "WiredCfCCell", "lecun_tanh"]
