"""A server's REST face in one process, for tests of the client and of the command line: the same routes, envelope, events, errors.

`FakeApi` is the truth (nodes, jobs, an event log with sequences) and serves itself on a loopback port from its own thread.
`act` decides what a command does on a node. Faults are counters a test sets: `break_streams` cuts that many event streams in the
middle, `break_answers` does the work of that many requests and then closes the connection without answering.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from corral.domain.errors import BadSelector, CorralError, Denied, NotFound, NothingMatched, Unauthenticated
from corral.domain.node import relabelling
from corral.runtime.clock import SystemClock
from corral.runtime.lifecycle import TaskSet
from corral.testing.fake_files import FakeFiles
from corral.testing.fake_jobs import START, Act, FakeJob, default_act, iso_text, new_task, node

__all__ = ["TOKEN", "Act", "FakeApi", "default_act", "node"]

TOKEN: Final = "crl_test"


class FakeApi:
    """`with FakeApi(nodes=[node("web-1")]) as api:` then talk to `api.url` with TOKEN."""

    def __init__(
        self,
        nodes: list[dict[str, Any]] | None = None,
        *,
        act: Callable[[str, Mapping[str, Any]], Act] = default_act,
        public: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.nodes = {row["id"]: row for row in (nodes if nodes is not None else [node("node-1"), node("node-2")])}
        self.act = act
        self.public = public
        self._tls = tls
        self.jobs: dict[str, FakeJob] = {}
        self.files = FakeFiles()
        self.kinds: list[dict[str, Any]] = []
        self.keys: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.join_tokens: dict[str, dict[str, Any]] = {}
        self.denied: set[str] = set()
        self.left_out: set[str] = set()
        self.break_streams = 0
        self.break_answers = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._tasks = TaskSet("fake api")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="fake-api")

    def __enter__(self) -> FakeApi:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def settle(self, seconds: float = 10.0) -> None:
        """Wait until no command runs any more that ends by itself."""
        clock = SystemClock()
        until = clock.monotonic() + seconds
        pause = threading.Event()
        while any(job.busy for job in self.jobs.values()):
            if clock.monotonic() > until:
                raise TimeoutError(f"jobs still run after {seconds:g} s")
            pause.wait(0.005)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        await self._tasks.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.start(self._connection(reader, writer), name="connection")

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = h11.Connection(h11.SERVER)
        try:
            while True:
                request, body = None, b""
                while True:
                    event = wire.next_event()
                    if event is h11.NEED_DATA:
                        wire.receive_data(await reader.read(65536))
                    elif isinstance(event, h11.Request):
                        request = event
                    elif isinstance(event, h11.Data):
                        body += bytes(event.data)
                    elif isinstance(event, h11.EndOfMessage):
                        break
                    else:
                        return
                assert request is not None
                if not await self._answer(wire, writer, request, body):
                    return
                wire.start_next_cycle()
        except (ConnectionError, h11.RemoteProtocolError):
            return
        finally:
            writer.transport.abort()

    async def _answer(
        self, wire: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
    ) -> bool:
        """Whether the connection can be used again."""
        method = request.method.decode()
        parts = urlsplit(request.target.decode())
        path = unquote(parts.path)
        query = dict(parse_qsl(parts.query))
        headers = {k.decode(): v.decode() for k, v in request.headers}
        self.requests.append((method, request.target.decode()))
        try:
            if not self.public and path.startswith("/api/") and headers.get("authorization") != f"Bearer {TOKEN}":
                raise Unauthenticated("cannot identify the caller: no valid token")
            if path in self.denied:
                raise Denied("cannot do this: exec.run is not granted", element="exec.run")
            job = self._stream_of(method, path)
            if job is not None:
                return await self._events(wire, writer, job, path, query, headers)
            status, kind, payload = self._route(
                method, path, query, body if method == "PUT" else json.loads(body or b"null"), headers
            )
        except CorralError as error:
            details = {"column": error.column, "text": error.text} if isinstance(error, BadSelector) else {}
            status, kind = error.http_status, "application/json"
            payload = json.dumps(
                {"code": error.code, "message": error.message, "element": error.element, "hint": error.hint}
                | {"timestamp": iso_text(START), "data": None, "request_id": "r1", "details": details}
            ).encode()
        if self.break_answers and method != "GET":
            self.break_answers -= 1
            return False
        head = [("Content-Type", kind), ("Content-Length", str(len(payload))), ("Date", formatdate(usegmt=True))]
        writer.write(wire.send(h11.Response(status_code=status, headers=head)) or b"")
        writer.write((wire.send(h11.Data(data=payload)) or b"") + (wire.send(h11.EndOfMessage()) or b""))
        await writer.drain()
        return True

    def _stream_of(self, method: str, path: str) -> FakeJob | None:
        words = path.split("/")
        if method == "GET" and words[3:4] == ["jobs"] and words[5:] in (["events"], ["output"]):
            return self._job(words[4])
        return None

    async def _events(
        self,
        wire: h11.Connection,
        writer: asyncio.StreamWriter,
        job: FakeJob,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> bool:
        only_output = path.endswith("/output")
        at = int(headers.get("last-event-id") or query.get("after") or 0)
        writer.write(wire.send(h11.Response(status_code=200, headers=[("Content-Type", "text/event-stream")])) or b"")

        def push(event: str, data: Any, id: int | None = None) -> None:
            text = f"event: {event}\n" + (f"id: {id}\n" if id else "") + f"data: {json.dumps(data)}\n\n"
            writer.write(wire.send(h11.Data(data=text.encode())) or b"")

        if not only_output:
            push("snapshot", {"job": job.data, "tasks": list(job.tasks.values())})
        sent = 0
        while True:
            changed = job.changed
            while at < len(job.log):
                at += 1
                event, data = job.log[at - 1]
                wanted = event == "output" if only_output else event != "output" or "output" in query
                if wanted and query.get("node") in (None, data.get("node")):
                    push(event, data, at)
                    sent += 1
                    if self.break_streams and sent >= 2:
                        self.break_streams -= 1
                        await writer.drain()
                        return False
            await writer.drain()
            over = job.data["state"] != "open"
            if over or (only_output and "follow" not in query):
                push("end", {**job.data, "tasks": list(job.tasks.values())})
                writer.write(wire.send(h11.EndOfMessage()) or b"")
                await writer.drain()
                return True
            await changed.wait()

    def _route(
        self, method: str, path: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        words = path.removeprefix("/api/v1/").split("/")
        match method, *words:
            case "GET", "", "healthz" | "readyz":
                return 200, "text/plain", b"ok\n"
            case "POST", "jobs":
                return self._ok(self._submit(body, headers.get("idempotency-key", "")), status=201)
            case "POST", "jobs", "preview":
                return self._ok(self._resolve(body["target"]))
            case "GET", "jobs":
                rows = [job.data for job in reversed(self.jobs.values())]
                return self._page(rows, query)
            case "GET", "jobs", id:
                return self._ok(self._job(id).with_tasks(query))
            case "GET", "jobs", id, "submission":
                shown = {name: value for name, value in self._job(id).body.items() if name not in self.left_out}
                return self._ok({"job": id, "submission": shown, "left_out": sorted(self.left_out)})
            case "POST", "jobs", id, "cancel":
                return self._ok(self._job(id).cancel((body or {}).get("nodes")))
            case "POST", "jobs", id, "retry":
                return self._ok(self._job(id).retry((body or {}).get("nodes"), self._tasks, self.act))
            case "GET", "jobs", id, "why":
                job = self._job(id)
                lines = [f"{name}: {task['state']}" for name, task in sorted(job.tasks.items())]
                return self._ok({"job": id, "state": job.data["state"], "lines": lines})
            case "GET", "jobs", id, "output", "raw":
                data = self._job(id).output(query["node"], query.get("stream", "stdout"))
                return 200, "application/octet-stream", data
            case "GET", "kinds":
                return self._ok(self.kinds)
            case "GET", "nodes":
                rows = [self.nodes[name] for name in self._pick(query.get("selector", "all"), empty=True)]
                rows = [row for row in rows if query.get("presence") in (None, row["presence"])]
                return self._page(rows, query)
            case "GET", "nodes", name, "tasks":
                ran = [(job.data, job.tasks[name]) for job in reversed(self.jobs.values()) if name in job.tasks]
                return self._page([{"job": job, "task": task} for job, task in ran], query)
            case "GET", "nodes", name:
                return self._ok(self._node(name))
            case "PATCH", "nodes", *rest:
                names = rest or self._pick(body["selector"])
                rows = [self._change(self._node(name), body) for name in names]
                return self._ok(rows[0] if rest else rows)
            case "DELETE", "nodes", name:
                self._node(name)
                del self.nodes[name]
                return self._ok(None)
            case "POST", "nodes", "resolve":
                return self._ok(self._resolve(body["selector"]))
            case "POST", "nodes", "explain":
                matches = body["node"] in self._pick(body["selector"], empty=True)
                return self._ok({"matches": matches, "clauses": [{"text": body["selector"], "value": matches}]})
            case "POST", "nodes", name, "revoke":
                self._node(name).update(revoked=True, revoked_reason=body["reason"], presence="offline")
                return self._ok(None)
            case "GET", "nodes", name, "metrics":
                values = {"cpu_percent": 12.5, "mem_percent": 40.0, "load1": 0.4, "disk./": 71.0}
                return self._ok({"samples": [{"at": iso_text(START), "values": values}] if self._node(name) else []})
            case "POST", "tokens":
                id = f"T{len(self.join_tokens) + 1:03}"
                row = {
                    "id": id,
                    "uses": body.get("uses", 1),
                    "used": 0,
                    "expires_at": iso_text(START + timedelta(hours=1)),
                }
                self.join_tokens[id] = row
                return self._ok({**row, "token": f"cj1.{id}.secret.-"}, status=201)
            case "GET", "tokens":
                return self._page(list(self.join_tokens.values()), query)
            case "DELETE", "tokens", id:
                if self.join_tokens.pop(id, None) is None:
                    raise NotFound(f"cannot revoke token {id!r}: no such token", element="token")
                return self._ok(None)
            case "GET", "whoami":
                return self._ok({"name": "admin", "kind": "token", "permissions": ["*"]})
            case "POST", "login-codes":
                return self._ok({"code": "abc", "path": "/login?code=abc", "expires_at": iso_text(START)}, status=201)
            case "GET", "audit":
                row = {
                    "id": 1,
                    "at": iso_text(START),
                    "actor": "admin",
                    "action": "POST /jobs",
                    "target": "all",
                    "outcome": "ok",
                }
                return self._page([{**row, "status": 201, "address": "127.0.0.1"}], query)
            case "GET", "system":
                return self._ok({"version": "0.1.0", "engine": {"healthy": True}, "sql": {"backend": "sqlite"}})
        found = self.files.route(method, words, query, body)
        if isinstance(found, bytes):
            return 200, "application/octet-stream", found
        if found is not None:
            return self._page(found, query) if isinstance(found, list) else self._ok(found)
        raise NotFound(f"cannot find {path!r}: no such route", element="path")

    @staticmethod
    def _ok(data: Any, *, status: int = 200, next: str | None = None) -> tuple[int, str, bytes]:
        answer = {"code": 0, "message": "ok", "data": data, "timestamp": iso_text(START), "next": next}
        return status, "application/json", json.dumps(answer).encode()

    def _page(self, rows: list[Any], query: Mapping[str, str]) -> tuple[int, str, bytes]:
        start, size = int(query.get("cursor") or 0), int(query.get("limit") or 100)
        return self._ok(rows[start : start + size], next=str(start + size) if start + size < len(rows) else None)

    def _job(self, id: str) -> FakeJob:
        if id not in self.jobs:
            raise NotFound(f"cannot find job {id!r}: no such job", element="job", hint="corral exec list")
        return self.jobs[id]

    def _node(self, name: str) -> dict[str, Any]:
        if name not in self.nodes:
            raise NotFound(f"cannot find node {name!r}: no such node", element="node", hint="corral node list")
        return self.nodes[name]

    def _pick(self, selector: str, *, empty: bool = False) -> list[str]:
        """`all`, ids with commas, `prefix*`; a text with `(` does not parse."""
        if "(" in selector:
            raise BadSelector(
                f"cannot read the selector: unexpected '(' at column {selector.index('(') + 1}",
                text=selector,
                column=selector.index("(") + 1,
                hint='example: labels["role"] == "web"',
            )
        wanted = selector.split(",")
        found = [
            name
            for name in self.nodes
            if selector in ("all", "true") or name in wanted or (selector[-1] == "*" and name.startswith(selector[:-1]))
        ]
        if not found and not empty:
            raise NothingMatched(f"cannot run this: no node matches {selector!r}", element="selector")
        return sorted(found)

    def _resolve(self, selector: str) -> dict[str, Any]:
        names = self._pick(selector)
        offline = [name for name in names if self.nodes[name]["presence"] != "online"]
        return {"nodes": names, "online": len(names) - len(offline), "offline": offline}

    @staticmethod
    def _change(row: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
        change = relabelling(**{name: value for name, value in body.items() if name != "selector"})
        row["labels"] = change.labels_of(row["labels"])
        row["groups"] = sorted(change.groups_of(frozenset(row["groups"])))
        row["resource_version"] += 1
        return row

    def _submit(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        if key in self.keys:
            return self.jobs[self.keys[key]].with_tasks({})
        names = self._pick(body["target"])
        id = f"J{len(self.jobs) + 1:018}"
        command = (
            self.files.line(body["file"])
            if "file" in body
            else " ".join(body["argv"])
            if body.get("argv")
            else body.get("shell") or "script"
        )
        job = FakeJob(
            {
                "job": id,
                "name": body.get("name", ""),
                "kind": body.get("kind", "exec"),
                "target": body["target"],
                "command": command,
                "state": "open",
                "counts": {"queued": len(names)},
                "nodes": len(names),
                "pinned": "sha256:0",
                "created_at": iso_text(START),
                "created_by": "admin",
                "expires_at": iso_text(START + timedelta(seconds=body.get("expires", 3600))),
                "finished_at": None,
                "timeout": body.get("timeout", 300.0),
                "concurrency": body.get("concurrency"),
                "offline": body.get("offline", "queue"),
                "retries": body.get("retries", 0),
                "cancel_asked": False,
                "resource_version": 1,
            },
            body,
            {name: new_task(name, online=self.nodes[name]["presence"] == "online") for name in names},
        )
        if body.get("offline") == "skip":
            for task in job.tasks.values():
                if task["reason"] == "offline":
                    task.update(state="expired", reason="offline_skipped", reason_text="the node was offline")
        self.jobs[id] = job
        if key:
            self.keys[key] = id
        accepted = job.with_tasks({})
        job.count()
        job.start(self._tasks, self.act)
        return accepted
