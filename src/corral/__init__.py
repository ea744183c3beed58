"""Corral runs a fleet of Linux machines. See docs/architecture.md for the walk of one command through these files."""

__version__ = "0.1.0"
