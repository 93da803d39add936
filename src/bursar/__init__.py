"""Bursar: a self-hosted billing server."""

__version__ = "0.1.0"
