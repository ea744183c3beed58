"""The names of the executors that ship with Corral, apart from what they are: a node imports a kind only when it is used."""

from __future__ import annotations

from typing import Final

BUILT_IN_NAMES: Final[tuple[str, ...]] = (
    "clickhouse",
    "elasticsearch",
    "http",
    "kubernetes",
    "mongodb",
    "mysql",
    "postgres",
    "service",
)
