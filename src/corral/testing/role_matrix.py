"""Who gets through which route: every row of the route table asked as nobody, as each ready role, and as admin of some nodes.

The real frame and table answer, over rooms that hold nothing: only 401 and 403 count, whatever else comes is "yes". Two files are kept
true by a test; this writes them again after the table or a role changed:

    python -m corral.testing.role_matrix tests/golden/routes_by_role.json docs/roles.md
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from litestar.types import ASGIApp

from corral.domain.access import words
from corral.domain.errors import NotFound, Unauthenticated
from corral.runtime.clock import SystemClock
from corral.server.application.access.authenticate import Presented
from corral.server.application.access.grant_book import as_grant
from corral.server.application.access.ready_roles import READY
from corral.server.application.ports.access import AuditEntry, Caller
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.interface.rest.api import Frame, asgi
from corral.server.interface.rest.limits import Limits
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.routing import PREFIX
from corral.server.interface.rest.table import ROUTES
from corral.testing.stores import MemoryDatabase, MemoryIdempotencyStore

NOBODY: Final = "nobody"
SOME: Final = "admin of some nodes"
ASKING: Final = (NOBODY, *READY, SOME)
BEGIN: Final = "<!-- routes -->"
END: Final = "<!-- end routes -->"
Matrix = Mapping[str, Mapping[str, int | str]]


def room_names(routes: Sequence[Route] = ROUTES) -> Sequence[str]:
    """What handlers call their rooms: the parameters that are objects of the application."""
    found: dict[str, None] = {}
    for route in routes:
        for name, kind in typing.get_type_hints(route.handler).items():
            if getattr(kind, "__module__", "").startswith("corral.server.application.") and kind is not Caller:
                found[name] = None
    found.pop("return", None)
    return tuple(found)


class Nothing:
    """A room in which nothing is found, whatever is asked."""

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **named: Any) -> Any:
        raise NotFound("cannot find anything here: this room is empty")


async def _authenticate(presented: Presented) -> Caller:
    if presented.bearer is None:
        raise Unauthenticated("cannot answer: no credential was given")
    role, where = (READY["admin"], "web-*") if presented.bearer == SOME else (READY[presented.bearer], "all")
    grant = as_grant(role, where)
    return Caller(name=presented.bearer, kind="user", user="U", permissions=words([grant]), grants=(grant,))


async def _record(entry: AuditEntry) -> None:
    return None


def table_app() -> ASGIApp:
    frame = Frame(
        authenticate=_authenticate,
        record=_record,
        answers=MemoryIdempotencyStore(MemoryDatabase()),
        sealer=AesSealer(b"k" * 32),
        clock=SystemClock(),
        limits=Limits(requests_per_second=0),
    )
    return asgi({name: Nothing() for name in room_names()}, routes=ROUTES, frame=frame)


async def status(app: ASGIApp, route: Route, bearer: str | None) -> int:
    """What the route answers."""
    body = b"" if route.octets or route.method == "GET" else b"{}"
    headers = [(b"content-length", str(len(body)).encode())]
    headers += [(b"content-type", b"application/json")] if body else []
    headers += [(b"authorization", f"Bearer {bearer}".encode())] if bearer else []
    path = PREFIX + re.sub(r"\{[^}]*\}", "x", route.path)
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": route.method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("192.0.2.1", 1), "server": ("corral.test", 80), "state": {}, "extensions": {},
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    found: list[int] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(int(message["status"]))

    await app(scope, receive, send)
    return found[0]


async def matrix(routes: Sequence[Route] = ROUTES) -> Matrix:
    """Route → who asks → 401, 403, "yes", or "public": there the body has to prove something."""
    app = table_app()
    found: dict[str, dict[str, int | str]] = {}
    for route in routes:
        answers: dict[str, int | str] = {}
        for who in ASKING:
            code = await status(app, route, None if who == NOBODY else who)
            answers[who] = "public" if route.permission is None else code if code in (401, 403) else "yes"
        found[f"{route.method} {route.template}"] = answers
    return found


def text(found: Matrix) -> str:
    """The golden file: one route a line."""
    lines = ",\n".join(f"  {json.dumps(route)}: {json.dumps(answers)}" for route, answers in sorted(found.items()))
    return f"{{\n{lines}\n}}\n"


def table(found: Matrix, routes: Sequence[Route] = ROUTES) -> str:
    """For people: rows in the order of the table."""
    head = "| route | permission | " + " | ".join(ASKING) + " |"
    lines = [head, "|---" * (len(ASKING) + 2) + "|"]
    for route in routes:
        name = f"{route.method} {route.template}"
        asked = "public" if route.permission is None else route.permission or "anybody known"
        asked += " or another that runs something" if route.also else ""
        marks = ["·" if found[name][who] in (401, 403) else "yes" for who in ASKING]
        lines.append(f"| `{name}` | {asked} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def with_table(page: str, found: Matrix) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(found)}\n{END}{after}"


def main() -> None:
    golden, page = Path(sys.argv[1]), Path(sys.argv[2])
    found = asyncio.run(matrix())
    golden.write_text(text(found))
    page.write_text(with_table(page.read_text(), found))


if __name__ == "__main__":
    main()
