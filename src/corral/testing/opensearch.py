"""A server that speaks OpenSearch's API for tests: osmem-server of PyPI (one program, everything in memory), gone afterwards.

What it does not have: _tasks, _nodes/stats, _sql, scripts in update_by_query; no users either.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

INSTALL: Final = "uv pip install osmem-server"
_LINE_BYTES: Final = 4096


@dataclass(frozen=True, kw_only=True)
class SearchServer:
    port: int

    def connection(self, **more: Any) -> dict[str, Any]:
        return {"name": "test", "engine": "opensearch", "host": "127.0.0.1", "port": self.port, **more}


def program() -> Path | None:
    found = importlib.util.find_spec("osmem_server")
    return None if found is None or found.origin is None else Path(found.origin).parent / "bin" / "osmem-server"


@contextmanager
def running() -> Iterator[SearchServer]:
    """Raises FileNotFoundError when it is not installed."""
    path = program()
    if path is None:
        raise FileNotFoundError(f"there is no osmem-server here: {INSTALL}")
    words = [str(path), "-addr", "127.0.0.1:0", "-no-ja", "-no-stdin-watch"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline(_LINE_BYTES))
        yield SearchServer(port=int(said["url"].rpartition(":")[2]))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
