"""Trained models for other places: C for devices without Python, ONNX for its runtimes."""

from ncps.export.c import CCode as CCode, to_c as to_c

__all__ = ["CCode", "to_c"]
