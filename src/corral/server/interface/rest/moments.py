"""Times as clients give them in a query."""

from __future__ import annotations

from datetime import UTC, datetime

from corral.domain.errors import Invalid


def moment(text: str | None, element: str) -> datetime | None:
    """RFC 3339; without a zone it is UTC. Raises Invalid naming the parameter."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"cannot read {element} {text[:40]!r}: expected a time in RFC 3339",
            element=element,
            hint="2026-11-21T12:00:00Z",
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
