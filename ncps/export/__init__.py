"""Trained models for other places: C for devices without Python, ONNX for its runtimes."""

from ncps.export.c import CCode as CCode, to_c as to_c
from ncps.export.onnx import to_onnx as to_onnx

__all__ = ["CCode", "to_c", "to_onnx"]
