"""A field whose nodes hear the engine through somebody else, and the log that only forged tasks write to."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncGenerator
from pathlib import Path

from corral.testing.broker_proxy import BrokerProxy
from corral.testing.chaos.field import Field
from corral.testing.chaos.forgery import Attacker
from corral.testing.chaos.ground import Ground
from corral.testing.stack import Stack


@contextlib.asynccontextmanager
async def brokered(ground: Ground, nodes: int) -> AsyncGenerator[tuple[Field, BrokerProxy], None]:
    """A field whose nodes reach the engine through a proxy that reads and rewrites messages."""
    async with contextlib.AsyncExitStack() as end:
        proxies: list[BrokerProxy] = []

        async def through(stack: Stack) -> str:
            proxies.append(await end.enter_async_context(BrokerProxy("127.0.0.1", stack.engine_port)))
            return f"nats://127.0.0.1:{proxies[0].port}"

        field = await end.enter_async_context(ground.field(nodes, processes=1, through=through))
        yield field, proxies[0]


def evil_log(field: Field) -> Path:
    return field.stack.folder / "forged.log"


def attacker_of(field: Field) -> Attacker:
    return Attacker(field.rng, f"echo ran >> {shlex.quote(str(evil_log(field)))}")


def evil_runs(field: Field) -> int:
    log = evil_log(field)
    return len(log.read_text().splitlines()) if log.exists() else 0
