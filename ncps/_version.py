"""The version of ncps, and the only place where it is written."""

__version__ = "2.0.0"
