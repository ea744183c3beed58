"""Identifiers: the node id grammar, and time-sortable ids for everything the server makes.

A node id becomes a subject token, a path component and a user name inside a signed credential, so it is checked once, here,
at every edge (design: an id named `*` would widen the engine's permission template).
"""

from __future__ import annotations

import re
from typing import Final

from corral.domain.errors import Invalid

NODE_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
OBJECT_ID: Final = re.compile(r"[A-Z][0-9A-HJKMNP-TV-Z]{18}\Z")
RESERVED: Final = frozenset(
    {
        "all",
        "true",
        "online",
        "offline",
        "and",
        "or",
        "not",
        "in",
        "has",
        "version",
        "labels",
        "groups",
        "facts",
        "system",
        "metrics",
        "job",
    }
)
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def check_node_id(value: str, *, element: str = "node_id") -> str:
    """Return `value` if it is a node id; raise Invalid otherwise."""
    if not isinstance(value, str) or NODE_ID.match(value) is None:
        raise Invalid(
            f"cannot use {value!r} as a node id: expected 1-63 characters a-z, 0-9 and '-', not at either end",
            element=element,
            hint="lower-case the host name and replace other characters by '-'",
        )
    if value in RESERVED:
        raise Invalid(
            f"cannot use {value!r} as a node id: it is a word of the selector language",
            element=element,
            hint=f"choose another id, for example {value}-1",
        )
    return value


def node_id_from_host(host: str) -> str:
    """The default node id of a machine: its host name lower-cased, other characters to '-', cut at 63."""
    text = re.sub(r"[^a-z0-9-]", "-", host.lower())[:63].strip("-") or "node"
    return f"{text}-1" if text in RESERVED else text


def new_id(prefix: str, now_ms: int, random: bytes) -> str:
    """`prefix` (one letter) + 48 bits of time + 42 bits of randomness in Crockford base 32; sorts by time.

    `random` needs at least 6 bytes. Example: new_id("J", clock.now_ms(), os.urandom(6)).
    """
    number = (now_ms & (1 << 48) - 1) << 42 | int.from_bytes(random[:6], "big") & (1 << 42) - 1
    digits = []
    for _ in range(18):
        digits.append(_CROCKFORD[number & 31])
        number >>= 5
    return prefix + "".join(reversed(digits))


def first_id(prefix: str, now_ms: int) -> str:
    """The lowest id that can be made at that moment: what lists by time compare with."""
    return new_id(prefix, max(0, now_ms), bytes(6))


def check_object_id(value: str, prefix: str, *, element: str) -> str:
    """Return `value` if it looks like an id we made with `prefix`; raise Invalid otherwise."""
    if not isinstance(value, str) or OBJECT_ID.match(value) is None or value[0] != prefix:
        raise Invalid(
            f"cannot use {value!r} as {element}: expected {prefix!r} and 18 letters or digits",
            element=element,
            hint="copy the id as the list command prints it",
        )
    return value
