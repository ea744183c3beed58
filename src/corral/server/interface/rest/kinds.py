"""The kinds of task, with the JSON Schema of each: what the CLI's help and the page's forms are made from."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from corral.domain import kinds
from corral.domain.errors import NotFound
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("jobs",)


class KindView(msgspec.Struct, kw_only=True):
    """`schema` is of `params`; null for exec and file, whose fields are those of POST /jobs itself. `engines`: of its connection."""

    name: str
    summary: str
    permission: str
    allowed: bool
    engines: list[str]
    schema: dict[str, Any] | None


_OWN: Final = {
    kinds.EXEC.name: "Run a command (argv), a shell text, or a sh, bash, python3 or pwsh script",
    kinds.FILE.name: "Put a file or a tree in place, fetch, preview, copy, delete, roll back",
}


async def list_kinds(caller: Caller) -> Envelope[list[KindView]]:
    """Every kind this server takes; `allowed` says whether this caller may submit it somewhere."""
    return ok([_view(caller, kind) for _, kind in sorted(kinds.KINDS.items())])


async def show_kind(caller: Caller, kind: str) -> Envelope[KindView]:
    if kind not in kinds.KINDS:
        raise NotFound(
            f"cannot show kind {kind[:40]!r}: there is none", element="kind", hint="corral task kinds lists them"
        )
    return ok(_view(caller, kinds.KINDS[kind]))


def _view(caller: Caller, kind: kinds.Kind) -> KindView:
    executor = kind.executor
    return KindView(
        name=kind.name,
        summary=_OWN[kind.name] if executor is None else executor.summary,
        permission=kind.permission,
        allowed=caller.may(kind.permission),
        engines=[] if executor is None else list(executor.engines),
        schema=None if executor is None else dict(executor.schema),
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/kinds",
        permission="",
        handler=list_kinds,
        summary="The kinds of task, with the schema of their params",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/kinds/{kind:str}",
        permission="",
        handler=show_kind,
        summary="One kind of task, with the schema of its params",
        tags=TAGS,
    ),
)
