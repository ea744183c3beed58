"""A new ClickHouse engine behind the HTTP interface's words, for tests: `PYTHON chdb_http.py PORT DIRECTORY`.

PYTHON is one that has the package chdb (the engine as a library, half a gigabyte, so no dependency of ours). Each request is a process of
its own, so that its settings end with it; transport and sessions are ours, the SQL, the settings and the formats are the engine's.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import urllib.parse
from typing import Final

_OURS: Final = ("query_id", "default_format", "database", "session_id", "wait_end_of_query")
_QUERY: Final = """
import json, sys
from chdb.session import Session
document = json.load(sys.stdin)
session = Session(document["directory"])
try:
    session.query("create database if not exists work")
    session.query("use work")
    for name, value in document["settings"].items():
        quoted = value.replace("\\\\", "\\\\\\\\").replace("'", "\\\\'")
        session.query(f"set {name} = '{quoted}'" if name.startswith("param_") else f"set {name} = {value}")
    sys.stdout.buffer.write(session.query(document["sql"], document["format"]).bytes() or b"")
except Exception as error:
    sys.exit(str(error))
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory = ""

    def do_POST(self) -> None:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        settings = {name: value for name, value in query.items() if name not in _OURS}
        # readonly comes last: behind it nothing else could be set
        ordered = dict(sorted(settings.items(), key=lambda item: item[0] == "readonly"))
        document = {
            "sql": self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(),
            "format": query.get("default_format", "TabSeparated"),
            "settings": ordered,
            "directory": self.directory,
        }
        ran = subprocess.run(
            [sys.executable, "-c", _QUERY],
            input=json.dumps(document).encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        body = ran.stdout if ran.returncode == 0 else ran.stderr
        self.send_response(200 if ran.returncode == 0 else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing: a test that fails shows the child's words."""


if __name__ == "__main__":
    Handler.directory = sys.argv[2]
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
