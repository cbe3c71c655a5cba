"""The run of a cell over a whole sequence as one op, for which a backend may register a faster one."""

from ncps.ops.sequences.cfc import ACTIVATIONS as ACTIVATIONS, CfCLayer as CfCLayer, cfc_sequence as cfc_sequence
from ncps.ops.sequences.ltc import LTCWeights as LTCWeights, Synapses as Synapses, ltc_sequence as ltc_sequence
