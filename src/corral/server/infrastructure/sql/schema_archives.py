"""Output archives: the tables of migration 0006. The rules of schema.py hold."""

from __future__ import annotations
