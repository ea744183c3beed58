"""The secrets routes. A value goes in by PUT and is in no answer, no list and no audit entry."""

from __future__ import annotations

from typing import Final

import msgspec

from corral.runtime.clock import iso
from corral.server.application.ports.access import Caller
from corral.server.application.ports.secrets import SecretEntry
from corral.server.application.secrets.book import SecretBook
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("secrets",)


class SecretBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Without `value` only the rest changes. `selector`: the nodes that may get it, by id, label and group."""

    value: str | None = None
    selector: str | None = None
    description: str | None = None


class SecretView(msgspec.Struct, kw_only=True):
    name: str
    version: int
    selector: str
    description: str
    changed_at: str | None
    changed_by: str


class RotatedView(msgspec.Struct, kw_only=True):
    """`secrets` were sealed anew."""

    secrets: int


async def put(secrets: SecretBook, caller: Caller, name: str, data: SecretBody) -> Envelope[SecretView]:
    """Give a secret a new value, or say who may get it."""
    if data.value is None:
        return ok(_view(await secrets.describe(caller, name, selector=data.selector, description=data.description)))
    return ok(_view(await secrets.set(caller, name, data.value, selector=data.selector, description=data.description)))


async def list_secrets(secrets: SecretBook, caller: Caller) -> Envelope[list[SecretView]]:
    """Names, versions and who may get them; never a value."""
    return ok([_view(entry) for entry in await secrets.list(caller)])


async def delete(secrets: SecretBook, caller: Caller, name: str) -> Envelope[None]:
    await secrets.delete(caller, name)
    return ok(None)


async def rotate(secrets: SecretBook, caller: Caller) -> Envelope[RotatedView]:
    """Seal the key of every secret with a new master key."""
    return ok(RotatedView(secrets=await secrets.rotate(caller)))


def _view(entry: SecretEntry) -> SecretView:
    return SecretView(
        name=entry.name,
        version=entry.version,
        selector=entry.selector,
        description=entry.description,
        changed_at=iso(entry.changed_at),
        changed_by=entry.changed_by,
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/secrets",
        permission="secret.read",
        handler=list_secrets,
        summary="Secrets by name, never their values",
        audit=True,
        tags=TAGS,
    ),
    Route(
        method="PUT",
        path="/secrets/{name:str}",
        permission="secret.write",
        handler=put,
        summary="Set a secret, or who may get it",
        tags=TAGS,
    ),
    Route(
        method="DELETE",
        path="/secrets/{name:str}",
        permission="secret.write",
        handler=delete,
        summary="Delete a secret",
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/secrets/rotate-master-key",
        permission="system.write",
        handler=rotate,
        summary="Seal every secret with a new master key",
        tags=TAGS,
    ),
)
