"""Names of users: what grants, audit entries and approvals call them. Lower case, so that nobody poses as somebody else."""

from __future__ import annotations

import re
from typing import Final

from corral.domain.errors import Invalid

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?\Z")
TEXT_MAX: Final = 200


def check_user_name(name: str, *, element: str = "name") -> str:
    """The name, if a user can have it; raises Invalid."""
    if NAME.match(name) is None:
        raise Invalid(
            f"cannot use {name[:64]!r} as a user's name: expected 1-64 characters a-z, 0-9 and . _ @ + - inside",
            element=element,
            hint="lower case, for example ada or ada@example.org",
        )
    return name


def folded(name: str) -> str:
    """A name as somebody typed it, as it would be stored. Never longer than a key of the counters."""
    return name.strip().lower()[:64]


def check_text(text: str, *, element: str) -> str:
    """A display name or an address: one line that can be printed; raises Invalid."""
    text = text.strip()
    if len(text) > TEXT_MAX or not (text.isprintable() or not text):
        raise Invalid(
            f"cannot use this {element}: expected one line of at most {TEXT_MAX} printable characters", element=element
        )
    return text
