"""One row of the route table. Permissions are attached here and nowhere else; the table is interface/rest/table.py.

A handler is a typed Litestar function: it decodes, calls one use case, and returns `ok(...)`. What it needs it names as a
parameter: `caller: Caller`, and the room objects (`nodes: NodeRoom`, `jobs: JobRoom`, …) which the app provides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Route:
    """`permission` None = public (enrolment, login, health); "" = anybody who is known. `audit`: record successful reads too."""

    method: str
    path: str
    permission: str | None
    handler: Callable[..., Any]
    summary: str
    status: int = 200
    audit: bool = False
    tags: tuple[str, ...] = ()
    raw: bool = False
    """Not in the envelope (streams, octets)."""
    operation: bool = False
    """The use case keeps the Idempotency-Key itself (as the job's operation): no second copy of the answer is stored."""
    octets: bool = False
    """The body is bytes, not JSON (`body_max_bytes` of them)."""
    also: tuple[str, ...] = ()
    """Other permissions that open this row: it serves several kinds, and the use case asks for the one of the kind at hand."""
    body_max_bytes: int | None = None
    """A larger body than server.body_max_bytes allows, for this route."""

    @property
    def asks(self) -> bool:
        """A question by POST (resolve, explain, preview): it changes nothing, and its permission says so."""
        return self.permission is not None and self.permission.endswith(".read")

    @property
    def template(self) -> str:
        """The path as people write it: /jobs/{job}."""
        return self.path.replace(":str}", "}")
