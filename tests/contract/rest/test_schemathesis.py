"""Our description against a running server: every generated request gets a documented answer, and never a 5xx of our own.

Starts a server with two simulated nodes itself; CORRAL_TEST_EXAMPLES says how many requests for each operation.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from corral.server.interface.rest.openapi import Document
from corral.server.interface.rest.table import ROUTES
from corral.testing.role_matrix import room_names
from corral.testing.stack import Stack

EXAMPLES = int(os.environ.get("CORRAL_TEST_EXAMPLES", "15"))
START_SECONDS = 60

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Running:
    url: str
    token: str
    stack: Stack


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A stack on a loop of its own thread: the requests below block, and the stack's processes want their loop meanwhile."""
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    up: list[Running] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    async def hold() -> None:
        try:
            async with Stack.temporary() as stack:
                await stack.simulate(2, processes=1)
                up.append(Running(stack.url, (stack.data / "admin.token").read_text().strip(), stack))
                ready.set()
                await over.wait()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()

    def run() -> None:
        try:
            loop.run_until_complete(hold())
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="stack")
    thread.start()
    assert ready.wait(START_SECONDS)
    if not up:
        thread.join(START_SECONDS)
        raise failed[0]
    try:
        yield up[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(START_SECONDS)


ROOMS: dict[str, Any] = {name: object() for name in room_names()}
SCHEMA = schemathesis.openapi.from_dict(json.loads(Document(ROUTES, ROOMS, version="test").json()))
# Streams of events are no documents, most do not end by themselves, and logging in or out changes who the test is.
LEFT_OUT = ("/events", "/output", "/verify", "/login", "/logout", "/refresh")
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations() if not found.ok().path.endswith(LEFT_OUT)]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_every_generated_request_gets_a_documented_answer(server: Running, operation: Any) -> None:
    documented = {int(status) for status in operation.definition.raw["responses"]}

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        response = case.call(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"})
        assert response.status_code in documented, response.text
        # 503 is an honest answer of a server whose engine is away; a 500 is our mistake.
        assert response.status_code != 500, response.text
        operation.validate_response(response)

    check()
