"""Imagemill: a self-hosted image-generation orchestrator."""

__version__ = "0.1.0"
