"""Work that would hold the loop up, in a thread; whoever is cancelled meanwhile still waits until the thread let go.

Buffers and descriptors handed to a thread stay valid for as long as it runs. A call should be short (some tens of megabytes at a
time): a cancellation is only felt between two calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `call`, made in a thread."""
    future = asyncio.get_running_loop().run_in_executor(None, lambda: call(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue  # asked twice is still once, and the thread is still there
        if not future.cancelled():
            future.exception()  # seen: nobody is left to tell
        raise
