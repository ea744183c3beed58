"""Named connections: the tables of migration 0005. The rules of schema.py hold."""

from __future__ import annotations
