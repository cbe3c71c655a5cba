"""ncps 1.0.1 had an LTC cell for Paddle here."""

raise ImportError(
    "ncps has no Paddle module any more; that of ncps 1.0.1 had an LTCCell only. Use ncps.torch, or ncps.layers, on "
    "torch, jax, mlx, tensorflow, keras or NumPy: docs/guides/from_ncps_1.md tells more."
)
