"""The listener believes what a proxy says of a request only when it was told to trust it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import pytest

from corral.server.interface.rest.listen import Listener

CLAIM = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    text = json.dumps({"client": scope["client"][0], "scheme": scope["scheme"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": text})


async def asked(trusted: Sequence[str], headers: Mapping[str, str]) -> dict[str, str]:
    listener = Listener(app=echo, host="127.0.0.1", port=0, trusted_proxies=trusted)
    ready = asyncio.Event()
    serving = asyncio.create_task(listener.run(ready.set))
    try:
        await asyncio.wait_for(ready.wait(), 10)
        async with httpx2.AsyncClient() as client:
            answer: dict[str, str] = (await client.get(listener.url, headers=headers)).json()
            return answer
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"]])
async def test_who_is_not_trusted_cannot_say_who_asked(trusted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert await asked(trusted, CLAIM) == {"client": "127.0.0.1", "scheme": "http"}


@pytest.mark.parametrize("trusted", [["127.0.0.1/32"], ["10.0.0.0/8", "127.0.0.0/8"]])
async def test_a_trusted_proxy_says_who_asked_and_over_what(trusted: list[str]) -> None:
    assert await asked(trusted, CLAIM) == {"client": "203.0.113.9", "scheme": "https"}
    through_two = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9, 127.0.0.1"}
    assert (await asked(trusted, through_two))["client"] == "203.0.113.9", (
        "what stands before the last stranger is a claim"
    )
