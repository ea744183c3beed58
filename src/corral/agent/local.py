"""JSON-RPC 2.0 on a unix socket, one line per message: how daemon, worker and `corral agent status` of one machine talk.

The socket is 0600 in a 0700 directory, and the peer's uid (SO_PEERCRED) has to be root or ours: two locks on one door. A request is
at most REQUEST_BYTES_MAX, a connection is closed after IDLE_SECONDS without one, and at most CONNECTIONS_MAX are served at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import Conflict, CorralError, Internal, Invalid, Unavailable, by_code

log = logging.getLogger("corral.local")

Method = Callable[[dict[str, Any]], Awaitable[Any]]

REQUEST_BYTES_MAX: Final = 64 << 10
ANSWER_BYTES_MAX: Final = 4 << 20
IDLE_SECONDS: Final = 30.0
CONNECTIONS_MAX: Final = 32
_SUN_PATH_BYTES: Final = 107

_PARSE, _REQUEST, _METHOD, _PARAMS, _INTERNAL = -32700, -32600, -32601, -32602, -32603


class LocalServer:
    """Component: serves `methods` at `path` until cancelled, then removes the socket."""

    name = "local-socket"

    def __init__(self, path: Path, methods: Mapping[str, Method]) -> None:
        self._path = path
        self._methods = methods
        self._writers: set[asyncio.StreamWriter] = set()

    async def run(self, ready: Callable[[], None]) -> None:
        listener = self._bind()
        inode = os.stat(self._path).st_ino
        try:
            server = await asyncio.start_unix_server(self._serve, sock=listener, limit=REQUEST_BYTES_MAX)
            async with server:
                ready()
                await server.serve_forever()
        finally:
            listener.close()
            for writer in self._writers:
                writer.close()
            with contextlib.suppress(OSError):
                # Only our own name: a successor may have put its socket here already.
                if os.stat(self._path).st_ino == inode:
                    os.unlink(self._path)

    def _bind(self) -> socket.socket:
        with _short(self._path) as short:
            probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                probe.connect(short)
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
            else:
                raise Conflict(
                    f"cannot serve {str(self._path)!r}: another process serves it",
                    element=str(self._path),
                    hint="this state directory is in use; stop that process or use another --state",
                )
            finally:
                probe.close()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                listener.bind(short)
            except BaseException:
                listener.close()
                raise
            finally:
                os.umask(before)
        listener.setblocking(False)
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            uid = peer_uid(writer.get_extra_info("socket"))
            if not allowed(uid) or len(self._writers) > CONNECTIONS_MAX:
                log.warning("Cannot serve uid %d here; hanging up", uid, extra={"action": "local_refused", "uid": uid})
                return
            while line := await _line(reader):
                if (answer := await self._answer(line)) is not None:
                    writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                    await writer.drain()
        except (OSError, ValueError):
            pass  # the peer left, idled (TimeoutError is an OSError) or sent a line beyond the limit
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, Any] | None:
        """The response to one request line; None for a notification (a request without id)."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _error(None, _PARSE, "cannot read the request: not JSON")
        if (
            not isinstance(request, dict)
            or request.get("jsonrpc") != "2.0"
            or not isinstance(request.get("method"), str)
        ):
            return _error(
                None, _REQUEST, 'cannot read the request: expected {"jsonrpc": "2.0", "id", "method", "params"}'
            )
        answer = await self._call(request)
        return answer if "id" in request else None

    async def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        identity, params = request.get("id"), request.get("params", {})
        method = self._methods.get(request["method"])
        if method is None:
            known = ", ".join(sorted(self._methods))
            return _error(identity, _METHOD, f"cannot call {request['method'][:60]!r}: known are {known}")
        if not isinstance(params, dict):
            return _error(identity, _PARAMS, "cannot read the parameters: expected an object")
        try:
            return {"jsonrpc": "2.0", "id": identity, "result": await method(params)}
        except CorralError as error:
            data = {"element": error.element, "hint": error.hint}
            return _error(identity, error.code, error.message, data)
        except Exception:
            log.exception("Cannot answer a local call", extra={"action": "local_call", "method": request["method"]})
            return _error(identity, _INTERNAL, "cannot answer: an internal error, see the log")


class LocalClient:
    """Calls over one connection that is kept: who asks every ten seconds does not connect each time. One call at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self._serial = 0

    async def call(self, method: str, params: Mapping[str, Any] | None = None, timeout_seconds: float = 2.0) -> Any:
        """The result of `method`. Raises Unavailable when nobody answers in time, and whatever error was answered."""
        async with self._turn:
            self._serial += 1
            request = {"jsonrpc": "2.0", "id": self._serial, "method": method, "params": dict(params or {})}
            try:
                async with asyncio.timeout(timeout_seconds):
                    line = await self._exchange(json.dumps(request).encode() + b"\n")
                answer = json.loads(line)
            except TimeoutError:
                self.close()
                raise _unanswered(self._path, f"no answer in {timeout_seconds:g} s") from None
            except OSError as error:
                self.close()
                raise _unanswered(self._path, error.strerror or str(error)) from None
            except ValueError:
                self.close()
                raise _unanswered(self._path, "it hung up, or its answer is not JSON") from None
            except BaseException:
                self.close()  # cancelled in the middle: the answer to come is nobody's
                raise
        return _result(answer)

    async def _exchange(self, line: bytes) -> bytes:
        kept = self._streams
        if kept is not None and not kept[0].at_eof():
            with contextlib.suppress(OSError):
                kept[1].write(line)
                if answer := await kept[0].readline():
                    return answer
        self.close()  # none yet, or its other end is gone (a new worker serves here now)
        with _short(self._path) as short:
            reader, writer = self._streams = await asyncio.open_unix_connection(short, limit=ANSWER_BYTES_MAX)
        writer.write(line)
        return await reader.readline()

    def close(self) -> None:
        """Hang up; the next call connects anew."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def call(path: Path, method: str, params: Mapping[str, Any] | None = None, timeout_seconds: float = 2.0) -> Any:
    """One call over a connection of its own; see LocalClient."""
    client = LocalClient(path)
    try:
        return await client.call(method, params, timeout_seconds)
    finally:
        client.close()
        await asyncio.sleep(0)  # let the transport close within this call


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise Internal("cannot read the answer: it is no object")
    refused: dict[str, Any] | None = answer.get("error")
    if refused is None:
        return answer.get("result")
    data = refused.get("data") or {}
    kind = by_code().get(int(refused.get("code") or 0), Internal)
    if kind.__init__ is not CorralError.__init__:
        kind = Invalid  # a subclass that wants more than we have
    raise kind(str(refused.get("message")), element=data.get("element"), hint=data.get("hint"))


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_SECONDS):
        return await reader.readline()


def peer_uid(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", raw)[1]
    return uid


def allowed(uid: int) -> bool:
    """Root, or who runs this process."""
    return uid in (0, os.geteuid())


def _error(identity: Any, code: int, message: str, data: Any = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": identity, "error": error}


def _unanswered(path: Path, why: str) -> Unavailable:
    return Unavailable(
        f"cannot ask {str(path)!r}: {why}",
        element=str(path),
        hint="is the process running? see its log",
        retryable=True,
    )


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """`path` in a form a socket address can hold: a longer one is reached through its open directory."""
    if len(os.fsencode(path)) <= _SUN_PATH_BYTES:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
