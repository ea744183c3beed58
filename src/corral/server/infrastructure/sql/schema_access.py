"""Users, roles, grants: the tables of migration 0002. The rules of schema.py hold."""

from __future__ import annotations
