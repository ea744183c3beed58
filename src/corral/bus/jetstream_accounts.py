"""Who may connect and who just did, through the engine's system account; works the same for an embedded engine and a cluster."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from nats.aio.msg import Msg

from corral.bus.claims import decode
from corral.bus.connection import Connection
from corral.bus.port import BusError, LinkEvent
from corral.domain.errors import Invalid

log = logging.getLogger("corral.bus")

CLAIMS_SECONDS: Final = 5.0
PAGE: Final = 1024
"""The engine's largest page of connections."""
SILENCE_SECONDS: Final = 0.5
"""Servers of a cluster answer a ping by themselves; when none has for this long, all have."""


class JetStreamAccounts:
    """Accounts of port.py."""

    def __init__(self, connection: Connection, nodes_account: str) -> None:
        self._connection = connection
        self._account = nodes_account

    async def push_claims(self, account_jwt: str) -> None:
        """Returns once the engine has accepted them; raises BusError when it did not."""
        answer = await self._connection.request(
            "$SYS.REQ.CLAIMS.UPDATE", account_jwt.encode(), timeout_seconds=CLAIMS_SECONDS
        )
        document: Any = json.loads(answer.data)
        if document.get("error") or document.get("data", {}).get("code") != 200:
            cause = document.get("error", {}).get("description") or document.get("data", {}).get("message", "refused")
            raise BusError(f"cannot update the claims of the nodes: {cause}", element="engine")

    async def events(self, handler: Callable[[LinkEvent], None]) -> None:
        """From now on, over reconnects too; what happened while away shows in `connected_keys`."""

        def receive(message: Msg) -> None:
            event = _event(message)
            if event is not None:
                handler(event)

        for kind in ("CONNECT", "DISCONNECT"):
            await self._connection.subscribe(f"$SYS.ACCOUNT.{self._account}.{kind}", receive)

    async def connected_keys(self) -> frozenset[str]:
        keys: set[str] = set()
        for server, total, page in await self._first_pages():
            keys |= page
            for offset in range(PAGE, total, PAGE):
                answer = await self._connection.request(
                    f"$SYS.REQ.SERVER.{server}.CONNZ", self._query(offset), timeout_seconds=CLAIMS_SECONDS
                )
                keys |= _page(json.loads(answer.data))[2]
        return frozenset(keys)

    async def _first_pages(self) -> list[tuple[str, int, set[str]]]:
        connection = self._connection
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox, queue.put_nowait)
        pages: list[tuple[str, int, set[str]]] = []
        try:
            await connection.publish("$SYS.REQ.SERVER.PING.CONNZ", self._query(0), reply=inbox)
            while True:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS if pages else CLAIMS_SECONDS):
                        message = await queue.get()
                except TimeoutError:
                    break
                if not (message.headers or {}).get("Status"):
                    pages.append(_page(json.loads(message.data)))
        finally:
            await subscription.close()
        if not pages:
            raise BusError("cannot list the connections of the nodes: no answer", element="engine", retryable=True)
        return pages

    def _query(self, offset: int) -> bytes:
        return json.dumps({"acc": self._account, "auth": True, "limit": PAGE, "offset": offset, "state": 0}).encode()


def _page(document: dict[str, Any]) -> tuple[str, int, set[str]]:
    """(server id, connections in all, keys on this page)"""
    data = document.get("data", {})
    keys = {str(row.get("nkey") or row.get("authorized_user", "")) for row in data.get("connections", ())}
    return str(document["server"]["id"]), int(data.get("total", 0)), keys - {""}


def _event(message: Msg) -> LinkEvent | None:
    try:
        document: Any = json.loads(message.data)
        client = document["client"]
        return LinkEvent(
            key=str(client.get("user", "")),
            name=str(decode(client["jwt"])["name"]),
            connected=message.subject.endswith(".CONNECT"),
            reason=str(document.get("reason", "")),
        )
    except (ValueError, KeyError, TypeError, Invalid):
        log.warning("Cannot read an event of the engine: %.200r", message.data, extra={"action": "bad_event"})
        return None
