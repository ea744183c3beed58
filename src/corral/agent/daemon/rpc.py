"""What the server may ask a live node: `status`, `preview` and `tail`. Signed, for this node, fresh, and answered once.

A request proves itself by its signature alone; its subject proves nothing. Whatever does not hold is counted and never answered. The
answer is {"result": …} or {"error": {code, message, element, hint}} on the reply subject.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from corral.agent.link.port import Link, LinkDown, LinkMessage
from corral.domain.errors import CorralError, Invalid, NotFound
from corral.protocol import codec, subjects
from corral.protocol.messages import RpcRequest
from corral.protocol.signing import BadSignature, open_sealed
from corral.runtime.clock import Clock
from corral.runtime.crypto import ed25519_verify

log = logging.getLogger("corral.rpc")

KIND: Final = "rpc"
READ_BYTES_MAX: Final = 64 << 10
SLACK_SECONDS: Final = 600.0
"""How wrong our own clock may be while we do not know the server's."""
SEEN_MAX: Final = 4096

RpcMethod = Callable[[dict[str, Any]], Awaitable[Any]]


class RpcDesk:
    """Opens requests, refuses replays, calls the method and answers. `keys` is asked for each request; `offset` too."""

    def __init__(
        self,
        *,
        node_id: str,
        link: Link,
        methods: Mapping[str, RpcMethod],
        keys: Callable[[], Mapping[str, bytes]],
        clock: Clock,
        offset: Callable[[], float | None],
    ) -> None:
        self._node_id = node_id
        self._link = link
        self._methods = methods
        self._keys = keys
        self._clock = clock
        self._offset = offset
        self._seen: dict[bytes, float] = {}
        self.refused = 0
        for method in methods:
            link.subscribe(subjects.rpc(node_id, method), self.handle)

    async def handle(self, message: LinkMessage) -> None:
        try:
            request = self.open(message.data, subjects.kind_of(message.subject))
        except (BadSignature, codec.BadMessage) as error:
            self.refused += 1
            if self.refused & (self.refused - 1) == 0:  # the 1st, 2nd, 4th, 8th, …: a flood writes no log
                log.warning(
                    "Cannot accept an rpc: %s; %d refused so far", error, self.refused, extra={"action": "refused"}
                )
            return
        answer = await self._answer(request)
        if message.reply:
            try:
                await self._link.publish(message.reply, json.dumps(answer, separators=(",", ":")).encode())
            except LinkDown:
                log.info("Cannot answer an rpc: the link went down", extra={"action": "rpc", "method": request.method})

    def open(self, wire: bytes, method: str) -> RpcRequest:
        """The request inside `wire`. Raises BadSignature or BadMessage; the same bytes are accepted once."""
        body = open_sealed(wire, KIND, self._keys(), _key_id, ed25519_verify)
        request = codec.decode(RpcRequest, body)
        if request.node != self._node_id or request.method != method:
            raise BadSignature("cannot accept the request: it was made for another node or method")
        now, offset = self._clock.wall(), self._offset()
        slack = SLACK_SECONDS if offset is None else 30.0
        now += offset or 0.0
        if not request.issued - slack <= now <= request.not_after + slack:
            raise BadSignature("cannot accept the request: it is not of this moment")
        self._remember(hashlib.sha256(body).digest(), now, request.not_after + slack)
        return request

    def _remember(self, digest: bytes, now: float, until: float) -> None:
        if digest in self._seen:
            raise BadSignature("cannot accept the request: it was answered already")
        if len(self._seen) >= SEEN_MAX:
            self._seen = {key: end for key, end in self._seen.items() if end >= now}
            if len(self._seen) >= SEEN_MAX:
                # Forgetting one would open it to a replay; refusing a flood of our own server costs only its questions.
                raise BadSignature("cannot accept the request: too many within their validity")
        self._seen[digest] = until

    async def _answer(self, request: RpcRequest) -> dict[str, Any]:
        try:
            return {"result": await self._methods[request.method](request.params)}
        except CorralError as error:
            shown = {"code": error.code, "message": error.message, "element": error.element, "hint": error.hint}
            return {"error": shown}
        except Exception:
            log.exception("Cannot answer an rpc", extra={"action": "rpc", "method": request.method})
            return {"error": {"code": 5000, "message": "cannot answer: an internal error, see the node's log"}}


class Files:
    """`preview` and `tail`: the first and the last bytes of a plain file, never of this node's own secrets."""

    def __init__(self, state_root: Path) -> None:
        self._private = os.path.realpath(state_root)

    async def preview(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._read(params, from_end=False)

    async def tail(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._read(params, from_end=True)

    def _read(self, params: dict[str, Any], *, from_end: bool) -> dict[str, Any]:
        path, count = params.get("path"), params.get("bytes", 4096)
        if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
            raise Invalid("cannot read the file: expected an absolute path in 'path'", element="path")
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= READ_BYTES_MAX:
            raise Invalid(f"cannot read the file: expected 0 to {READ_BYTES_MAX} in 'bytes'", element="bytes")
        real = os.path.realpath(path)
        try:
            # Opened by its resolved name without following anything more; a pipe or a device is never waited for.
            fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            raise NotFound(f"cannot read {path!r}: {(error.strerror or str(error)).lower()}", element="path") from None
        try:
            opened = os.readlink(f"/proc/self/fd/{fd}")
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise Invalid(f"cannot read {path!r}: it is not a plain file", element="path")
            if (opened + "/").startswith(self._private + "/") and not opened.endswith(".log"):
                raise Invalid(f"cannot read {path!r}: it belongs to the agent itself", element="path")
            start = max(0, info.st_size - count) if from_end else 0
            data = os.pread(fd, count, start)
        finally:
            os.close(fd)
        return {"path": path, "size": info.st_size, "offset": start, "data": base64.b64encode(data).decode()}


def _key_id(body: bytes) -> str:
    try:
        return str(json.loads(body).get("kid", ""))
    except (ValueError, RecursionError, AttributeError):
        raise BadSignature("cannot read the message: not a JSON object") from None
