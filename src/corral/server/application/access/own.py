"""What people do to their own access takes a session: a token that leaked must not make more of itself, nor lock its owner out."""

from __future__ import annotations

from corral.domain.errors import Denied
from corral.server.application.ports.access import Caller


def require_login(caller: Caller, doing: str) -> None:
    """Raises Denied unless a user has logged in himself."""
    if not caller.user or caller.kind != "user":
        raise Denied(
            f"cannot {doing}: that takes a user who has logged in, and this is {_who(caller)}",
            element="credential",
            hint="corral login NAME",
        )


def _who(caller: Caller) -> str:
    return {"token": "an API token", "session": "a session that a link or an API token opened"}.get(
        caller.kind, "somebody else"
    )
