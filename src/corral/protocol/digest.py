"""The digest in the beat: an order-free fingerprint of what a node accepted and has no receipt for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

EMPTY = "0" * 16


def one(job: str, attempt: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{job}.{attempt}".encode(), digest_size=8).digest(), "big")


def digest(items: Iterable[tuple[str, int]]) -> str:
    """16 hex digits; the XOR makes adding and removing an item the same cheap step."""
    value = 0
    for job, attempt in items:
        value ^= one(job, attempt)
    return f"{value:016x}"
