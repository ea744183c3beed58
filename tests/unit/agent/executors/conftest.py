"""A real HTTP server on loopback, and a child run by the contract."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        self.server.seen.append(
            SimpleNamespace(method=self.command, path=self.path, headers=dict(self.headers), body=body)
        )
        status, headers, data = self.server.answer(self.command, self.path, self.headers, body)
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() in ("content-length", "transfer-encoding") for name in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _answer

    def log_message(self, *words):
        pass


class Server(ThreadingHTTPServer):
    """`answer(method, path, headers, body)` says status, headers, body; status None hangs up."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.answer = lambda method, path, headers, body: (200, {}, b"ok")

    @property
    def port(self):
        return self.server_address[1]

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def json(self, document, status=200):
        self.answer = lambda *request: (status, {"Content-Type": "application/json"}, json.dumps(document).encode())


@pytest.fixture
def web_server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def child(tmp_path):
    """Runs `python -m corral.agent.executors.<kind>` on a document; says code, stdout, stderr, result."""

    def run(kind, params, *, connection=None, dry_run=False, deadline=60.0, env=None, words=(), module=None):
        outcome = tmp_path / "result"
        outcome.unlink(missing_ok=True)
        document = {
            "v": 1,
            "kind": kind,
            "params": params,
            "connection": connection,
            "deadline_seconds": deadline,
            "dry_run": dry_run,
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", module or f"corral.agent.executors.{kind}", *words],
            input=json.dumps(document).encode(),
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "CORRAL_RESULT": str(outcome), **(env or {})},
        )
        return SimpleNamespace(
            code=done.returncode,
            out=done.stdout.decode(),
            err=done.stderr.decode(),
            result=json.loads(outcome.read_bytes()) if outcome.exists() else None,
        )

    return run
