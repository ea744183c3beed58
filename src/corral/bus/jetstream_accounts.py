"""Who may connect and who just did, through the engine's system account; works the same for an embedded engine and a cluster."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
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
        self._keys: dict[str, str] = {}
        """Link → user nkey, as events and the last full list told: naming the user costs the engine a signature check a link."""
        self._servers = 0
        """How many the engine has, once that is known: nobody has to be waited for in vain then."""

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
            if event is None:
                return
            if event.connected:
                self._keys[event.link] = event.key
            else:
                self._keys.pop(event.link, None)
            handler(event)

        for kind in ("CONNECT", "DISCONNECT"):
            await self._connection.subscribe(f"$SYS.ACCOUNT.{self._account}.{kind}", receive)

    async def connected_keys(self) -> frozenset[str]:
        rows = await self._connections(named=True)
        self._keys = {link: key for link, (key, _) in rows.items() if key}
        return frozenset(self._keys.values())

    async def received(self) -> int:
        documents = await self._ask_all("STATSZ", b"")
        self._servers = len(documents)
        return sum(int(document.get("statsz", {}).get("received", {}).get("msgs", 0)) for document in documents)

    async def sent_by_key(self) -> Mapping[str, int]:
        rows = await self._connections(named=False)
        if any(link not in self._keys for link in rows):
            rows = await self._connections(named=True)
            self._keys = {link: key for link, (key, _) in rows.items() if key}
        sent: Counter[str] = Counter()
        for link, (_, count) in rows.items():
            if link in self._keys:
                sent[self._keys[link]] += count
        return sent

    async def _connections(self, *, named: bool) -> Mapping[str, tuple[str, int]]:
        """Link → (user nkey if `named`, messages taken in from it)."""
        rows: dict[str, tuple[str, int]] = {}
        for document in await self._ask_all("CONNZ", self._query(0, named=named)):
            server, total, page = _page(document)
            rows |= page
            for offset in range(PAGE, total, PAGE):
                answer = await self._connection.request(
                    f"$SYS.REQ.SERVER.{server}.CONNZ",
                    self._query(offset, named=named),
                    timeout_seconds=CLAIMS_SECONDS,
                )
                rows |= _page(json.loads(answer.data))[2]
        return rows

    async def _ask_all(self, what: str, query: bytes) -> list[dict[str, Any]]:
        """One question to every server of the engine; at least one has to answer."""
        connection = self._connection
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox, queue.put_nowait)
        documents: list[dict[str, Any]] = []
        servers = self._servers
        try:
            await connection.publish(f"$SYS.REQ.SERVER.PING.{what}", query, reply=inbox)
            while not servers or len(documents) < servers:
                try:
                    async with asyncio.timeout(SILENCE_SECONDS if documents else CLAIMS_SECONDS):
                        message = await queue.get()
                except TimeoutError:
                    break
                if not (message.headers or {}).get("Status"):
                    documents.append(json.loads(message.data))
                    servers = max(servers, _active_servers(documents[-1]))
        finally:
            await subscription.close()
        if not documents:
            raise BusError(f"cannot ask the engine for {what}: no answer", element="engine", retryable=True)
        return documents

    def _query(self, offset: int, *, named: bool) -> bytes:
        return json.dumps({"acc": self._account, "auth": named, "limit": PAGE, "offset": offset, "state": 0}).encode()


def _active_servers(document: dict[str, Any]) -> int:
    """How many servers this one sees, itself included; 0 when the answer does not say."""
    return int(document.get("statsz", {}).get("active_servers", 0))


def _page(document: dict[str, Any]) -> tuple[str, int, dict[str, tuple[str, int]]]:
    """(server id, connections in all, link → (user nkey or empty, messages taken in from it) on this page)"""
    server, data = str(document["server"]["id"]), document.get("data", {})
    rows = {
        f"{server}/{row['cid']}": (str(row.get("nkey") or row.get("authorized_user", "")), int(row.get("in_msgs", 0)))
        for row in data.get("connections", ())
    }
    return server, int(data.get("total", 0)), rows


def _event(message: Msg) -> LinkEvent | None:
    try:
        document: Any = json.loads(message.data)
        client = document["client"]
        return LinkEvent(
            key=str(client.get("user", "")),
            name=str(decode(client["jwt"])["name"]),
            connected=message.subject.endswith(".CONNECT"),
            reason=str(document.get("reason", "")),
            link=f"{document.get('server', {}).get('id', '')}/{client.get('id', '')}",
            host=str(client.get("host", "")),
        )
    except (ValueError, KeyError, TypeError, Invalid):
        log.warning("Cannot read an event of the engine: %.200r", message.data, extra={"action": "bad_event"})
        return None
