"""What a use case adds to the audit entry of the request it serves: a spec's hash and text, how many nodes, what was read.

The frame begins it for each request, the entry is made from it at the end; outside of a request adding does nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

_ABOUT: ContextVar[dict[str, Any] | None] = ContextVar("audit_about", default=None)
SENSITIVE = "read"
"""A request that read something sensitive is recorded although its route is not one of those that always are."""


def begin() -> dict[str, Any]:
    """What is added from here on, in this task and those it starts."""
    about: dict[str, Any] = {}
    _ABOUT.set(about)
    return about


def serving() -> bool:
    """Whether this runs for a request."""
    return _ABOUT.get() is not None


def add(**details: Any) -> None:
    about = _ABOUT.get()
    if about is not None:
        about.update(details)


def reads(what: str) -> None:
    """This request answers with `what` (output)."""
    add(**{SENSITIVE: what})
