"""REST of the fleet simulator: /sim/nodes, for administrators."""

from __future__ import annotations

from typing import Annotated

import msgspec

from corral.server.application.nodes.simulated import BATCH_MAX, SimulatedKey, SimulatedNodes
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route


class SimulatedKeyIn(msgspec.Struct, kw_only=True):
    id: str
    key: str


class SimulatedIn(msgspec.Struct, kw_only=True):
    nodes: Annotated[list[SimulatedKeyIn], msgspec.Meta(min_length=1, max_length=BATCH_MAX)]


class SimulatedOut(msgspec.Struct, kw_only=True):
    """`credentials` in the order of the request."""

    credentials: list[str]
    signing_keys: dict[str, str]
    engine_urls: list[str]
    engine_ca: str


class RemoveIn(msgspec.Struct, kw_only=True):
    prefix: str


class Removed(msgspec.Struct, kw_only=True):
    removed: int


async def add(data: SimulatedIn, caller: Caller, simulated: SimulatedNodes) -> Envelope[SimulatedOut]:
    issued = await simulated.add(caller, [SimulatedKey(id=node.id, key=node.key) for node in data.nodes])
    first = issued[0]
    return ok(
        SimulatedOut(
            credentials=[credentials.daemon_jwt for credentials in issued],
            signing_keys=dict(first.signing_keys),
            engine_urls=list(first.engine_urls),
            engine_ca=first.engine_ca,
        )
    )


async def remove(data: RemoveIn, caller: Caller, simulated: SimulatedNodes) -> Envelope[Removed]:
    return ok(Removed(removed=await simulated.remove(caller, data.prefix)))


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/sim/nodes",
        permission="system.write",
        handler=add,
        summary="Enrol simulated nodes: one key each for both links",
        status=201,
        tags=("simulator",),
    ),
    Route(
        method="POST",
        path="/sim/nodes/remove",
        permission="system.write",
        handler=remove,
        summary="Forget the simulated nodes of a prefix",
        tags=("simulator",),
    ),
)
