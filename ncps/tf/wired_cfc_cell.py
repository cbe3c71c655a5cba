"""`WiredCfCCell` as in ncps 1.0.1: that of `ncps.keras`."""

from ncps.keras.wired_cfc_cell import WiredCfCCell as WiredCfCCell
