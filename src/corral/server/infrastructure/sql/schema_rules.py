"""Policies and secrets: the tables of migration 0004. The rules of schema.py hold."""

from __future__ import annotations
