"""`MixedMemoryRNN` as in ncps 1.0.1: that of `ncps.keras`."""

from ncps.keras.mm_rnn import MixedMemoryRNN as MixedMemoryRNN
