"""The tf module of ncps 1.0.1, on today's TensorFlow and Keras 3: faces of the layers in `ncps.layers`.

They are those of `ncps.keras` with the arguments of 1.0.1's tf module, and need ``KERAS_BACKEND=tensorflow``.

Raises:
    ImportError: Keras runs on another framework.
"""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"ncps.tf needs Keras on TensorFlow. Received: Keras on {keras.backend.backend()}. Set the environment "
        "variable KERAS_BACKEND=tensorflow before anything imports keras, or use ncps.keras, which runs on each "
        "framework that Keras does."
    )

from ncps.tf.cfc import CfC
from ncps.tf.cfc_cell import CfCCell
from ncps.tf.ltc import LTC
from ncps.tf.ltc_cell import LTCCell
from ncps.tf.mm_rnn import MixedMemoryRNN
from ncps.tf.wired_cfc_cell import WiredCfCCell

__all__ = ["CfC", "CfCCell", "LTC", "LTCCell", "MixedMemoryRNN", "WiredCfCCell"]
