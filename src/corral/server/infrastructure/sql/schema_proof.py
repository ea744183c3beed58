"""Audit chain and approvals: the tables of migration 0003. The rules of schema.py hold."""

from __future__ import annotations
