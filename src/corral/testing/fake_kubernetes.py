"""A stand-in for the Kubernetes API: as much as the executor asks for, held to the same tests as a real API server.

What a real one without nodes cannot do is here alone: logs, exec (WebSocket, v4.channel.k8s.io) and workloads that roll out.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from corral.domain.executors.kubernetes import KNOWN, Resource

TOKEN: Final = "token-of-the-stand-in"
_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_WIDGET: Final = Resource(kind="Widget", api_version="example.com/v1", plural="widgets")


class Refusal(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class FakeCluster:
    """Objects by path. `logs`: pod → text. `run`: argv of an exec → (exit code, stdout, stderr). `rolls_out`: workloads get ready."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.managers: dict[str, dict[str, str]] = {}
        self.logs: dict[str, str] = {}
        self.run: Callable[[list[str]], tuple[int, bytes, bytes]] = lambda argv: (0, b"", b"")
        self.rolls_out = True
        self.denied: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        self.port = 0
        self._version = 0

    def connection(self, token: str = TOKEN, **options: Any) -> dict[str, Any]:
        return {
            "name": "test",
            "engine": "kubernetes",
            "host": "127.0.0.1",
            "port": self.port,
            "password": token,
            "tls": {},
            "options": {"scheme": "http", **options},
        }

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], headers: Any, body: bytes) -> Any:
        """The JSON of an answer, or bytes. Raises Refusal."""
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        dry = query.get("dryRun") == ["All"]
        if path == f"/apis/{_WIDGET.api_version}":
            return {"resources": [{"name": _WIDGET.plural, "kind": _WIDGET.kind, "namespaced": True}]}
        resource, namespace, name, part = self._place(path)
        if resource.plural in self.denied:
            raise Refusal(403, "Forbidden", f'{resource.plural} is forbidden: User "x" cannot do that')
        key = resource.path(namespace, name)
        if method == "GET" and part == "log":
            lines = self.logs[name].splitlines(keepends=True)
            return "".join(lines[-int(query["tailLines"][0]) :]).encode()
        if method == "GET" and not name:
            return self._list(resource, namespace, query, headers.get("Accept", ""))
        if method == "PATCH" and "apply-patch" in headers["Content-Type"]:
            if resource.namespaced and f"/api/v1/namespaces/{namespace}" not in self.objects and namespace != "default":
                raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
            return self._apply(key, json.loads(body), query["fieldManager"][0], query.get("force") == ["true"], dry)
        found = self.objects.get(key)
        if found is None:
            raise Refusal(404, "NotFound", f'{resource.plural} "{name}" not found')
        if method == "GET" and part == "scale":
            return {"kind": "Scale", "spec": {"replicas": found["spec"].get("replicas", 1)}}
        if method == "GET":
            return _as_table([found]) if "as=Table" in headers.get("Accept", "") else found
        if method == "DELETE":
            if (json.loads(body).get("dryRun") if body else query.get("dryRun")) != ["All"]:
                # as the real one: where there is a body the query is not read
                del self.objects[key]
            return {"kind": "Status", "status": "Success"}
        if method == "PATCH":
            return self._write(key, _merged(found, json.loads(body)), dry)
        raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _place(self, path: str) -> tuple[Resource, str, str, str]:
        words = path.strip("/").split("/")
        version = "v1" if words[0] == "api" else "/".join(words[1:3])
        rest = words[2:] if words[0] == "api" else words[3:]
        namespace = ""
        if not rest:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        for resource in (*KNOWN.values(), _WIDGET):
            if (resource.api_version, resource.plural) == (version, rest[0]):
                return resource, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else ""
        raise Refusal(404, "NotFound", "the server could not find the requested resource")

    def _list(self, resource: Resource, namespace: str, query: Mapping[str, list[str]], accept: str) -> Any:
        wanted = dict(pair.split("=", 1) for pair in query.get("labelSelector", [""])[0].split(",") if pair)
        items = [
            found
            for key, found in sorted(self.objects.items())
            if found["kind"] == resource.kind
            and (not namespace or found["metadata"].get("namespace") == namespace)
            and wanted.items() <= (found["metadata"].get("labels") or {}).items()
        ]
        return _as_table(items) if "as=Table" in accept else {"kind": f"{resource.kind}List", "items": items}

    def _apply(self, key: str, wanted: dict[str, Any], manager: str, force: bool, dry: bool) -> Any:
        found = self.objects.get(key, {})
        own = dict(self.managers.get(key, {}))
        for leaf, value in _leaves(wanted):
            if leaf in own and own[leaf] != manager and _at(found, leaf) != value and not force:
                raise Refusal(409, "Conflict", f'Apply failed with 1 conflict: conflict with "{own[leaf]}": {leaf}')
            own[leaf] = manager
        if not dry:
            self.managers[key] = own
        return self._write(key, _merged(found, wanted), dry)

    def _write(self, key: str, wanted: dict[str, Any], dry: bool) -> Any:
        found = self.objects.get(key)
        if found is not None and {**found, "status": None} == {**wanted, "status": None}:
            return found
        wanted = copy.deepcopy(wanted)
        if not dry:
            self._version += 1
            wanted["metadata"]["resourceVersion"] = str(self._version)
        if "spec" in wanted:
            wanted["metadata"]["generation"] = wanted["metadata"].get("generation", 0) + 1
            replicas = wanted["spec"].get("replicas", 1)
            if self.rolls_out:
                counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), replicas)
                wanted["status"] = {"observedGeneration": wanted["metadata"]["generation"], **counts}
        if not dry:
            self.objects[key] = wanted
        return wanted


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: FakeCluster

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cluster.requests.append((self.command, self.path))
        try:
            if self.headers.get("Upgrade") == "websocket":
                self._exec(parts.path, query)
                return
            answer = self.cluster.answer(self.command, parts.path, query, self.headers, body)
            self._send(200, answer)
        except Refusal as error:
            said = {"kind": "Status", "status": "Failure", "reason": error.reason, "message": error.message}
            self._send(error.status, said)

    do_GET = do_PATCH = do_DELETE = do_POST = _serve

    def _send(self, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _exec(self, path: str, query: Mapping[str, list[str]]) -> None:
        self.cluster.answer("GET", path.removesuffix("/exec"), {}, self.headers, b"")
        key = self.headers["Sec-WebSocket-Key"] + _MAGIC
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        digest = hashlib.sha1(key.encode(), usedforsecurity=False).digest()
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.send_header("Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"])
        self.end_headers()
        code, out, err = self.cluster.run(query["command"])
        status: dict[str, Any] = {"status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            message = f"command terminated with non-zero exit code: exit status {code}"
            status = {
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": message,
                "details": {"causes": causes},
            }
        for frame in (b"\x01", b"\x01" + out, b"\x02" + err, b"\x03" + json.dumps(status).encode()):
            self.wfile.write(_frame(0x2, frame))
        self.wfile.write(_frame(0x9, b"ping") + _frame(0x8, b"\x03\xe8"))
        self.close_connection = True

    def log_message(self, format: str, *words: Any) -> None:
        pass


@contextmanager
def running() -> Iterator[FakeCluster]:
    cluster = FakeCluster()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    cluster.port = server.server_address[1]
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _frame(code: int, data: bytes) -> bytes:
    head = bytes((0x80 | code,))
    if len(data) < 126:
        return head + bytes((len(data),)) + data
    if len(data) < 1 << 16:
        return head + b"\x7e" + len(data).to_bytes(2, "big") + data
    return head + b"\x7f" + len(data).to_bytes(8, "big") + data


def _as_table(items: list[dict[str, Any]]) -> dict[str, Any]:
    columns = [{"name": "Name", "priority": 0}, {"name": "Age", "priority": 0}, {"name": "Labels", "priority": 1}]
    rows = [{"cells": [item["metadata"]["name"], "1d", ""], "object": {"metadata": item["metadata"]}} for item in items]
    return {"kind": "Table", "columnDefinitions": columns, "rows": rows}


def _merged(found: Any, wanted: Any) -> Any:
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return wanted
    out = {**found, **{name: _merged(found.get(name), value) for name, value in wanted.items()}}
    return {name: value for name, value in out.items() if value is not None}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}")
    elif not path.startswith((".metadata.name", ".kind", ".apiVersion")):
        yield path, value


def _at(value: Any, path: str) -> Any:
    for word in path.split(".")[1:]:
        value = value.get(word) if isinstance(value, dict) else None
    return value
