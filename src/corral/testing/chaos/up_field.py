"""A field over `corral up`: real daemons and workers from the node zipapp, kept by the real launcher."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Ground
from corral.testing.up_demo import UpDemo


@contextlib.asynccontextmanager
async def up_field(ground: Ground, *, nodes: int) -> AsyncGenerator[tuple[Field, UpDemo], None]:
    with ground.folder() as folder:
        demo = UpDemo(folder, nodes=nodes)
        try:
            await demo.start()
            yield (
                Field(fleet=lambda: demo.fleet, folder=folder, rng=ground.rng, clock=ground.clock, prefix="node"),
                demo,
            )
        finally:
            await demo.clean()
