"""`LTCCell` as in ncps 1.0.1: that of `ncps.keras`."""

from ncps.keras.ltc_cell import LTCCell as LTCCell
