"""A field whose nodes reach the engine through a proxy that plays tricks with whole messages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Ground
from corral.testing.stack import Stack
from corral.testing.twisting_proxy import Twist, TwistingProxy


@contextlib.asynccontextmanager
async def twisted(
    ground: Ground, nodes: int, twist: Twist, *, flags: Sequence[str] = ()
) -> AsyncGenerator[tuple[Field, TwistingProxy], None]:
    async with contextlib.AsyncExitStack() as end:
        proxies: list[TwistingProxy] = []

        async def through(stack: Stack) -> str:
            proxy = TwistingProxy("127.0.0.1", stack.engine_port, twist)
            proxies.append(await end.enter_async_context(proxy))
            return f"nats://127.0.0.1:{proxy.port}"

        field = await end.enter_async_context(ground.field(nodes, flags=flags, through=through))
        yield field, proxies[0]
