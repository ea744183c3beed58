"""A real ClickHouse for tests: its own data in a temporary directory, on loopback, gone afterwards.

Uses the server of the distribution (Debian: clickhouse-server, which is 18.16 of 2018: the oldest anybody will meet).
"""

from __future__ import annotations

import http.client
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.testing.ports import free_port

INSTALL: Final = "DEBIAN_FRONTEND=noninteractive apt-get install -y clickhouse-server"
_START_SECONDS: Final = 60.0
_CONFIG: Final = """<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>
  <path>{directory}/data/</path><tmp_path>{directory}/tmp/</tmp_path><user_files_path>{directory}/files/</user_files_path>
  <users_config>{directory}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>16777216</mark_cache_size>{more}
</yandex>
"""
_USERS: Final = """<yandex>
  <profiles><default><max_memory_usage>500000000</max_memory_usage></default></profiles>
  <users>
    <default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default>
    <ana><password>s3cret</password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></ana>
  </users>
  <quotas><default></default></quotas>
</yandex>
"""


def program() -> str | None:
    return shutil.which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


@dataclass(frozen=True)
class ClickhouseServer:
    """A running server; user default has no password, user ana has s3cret."""

    port: int

    def sql(self, text: str) -> str:
        """Raises RuntimeError with the server's words."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/", text.encode())
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(body)
        return body


@contextmanager
def running(more: str = "") -> Iterator[ClickhouseServer]:
    """Start a server, yield it, stop it and remove its directory. `more` goes into its XML. Raises FileNotFoundError."""
    found = program()
    if found is None:
        raise FileNotFoundError(f"ClickHouse is not installed: {INSTALL}")
    directory = Path(tempfile.mkdtemp(prefix="corral-ch-", dir="/tmp"))
    user = "clickhouse" if os.geteuid() == 0 else None
    try:
        server = ClickhouseServer(free_port())
        (directory / "config.xml").write_text(
            _CONFIG.format(http=server.port, tcp=free_port(), directory=directory, more=more)
        )
        (directory / "users.xml").write_text(_USERS)
        for name in ("data", "tmp", "files"):
            (directory / name).mkdir()
        if user is not None:
            owner = pwd.getpwnam(user)
            for path in (directory, *directory.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [found, f"--config-file={directory / 'config.xml'}"],
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                cwd=directory,
            )
        try:
            _wait(process, server, directory)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], server: ClickhouseServer, directory: Path) -> None:
    """Until it answers; waiting for its death in between is the pause."""
    for _ in range(int(_START_SECONDS / 0.1)):
        try:
            server.sql("select 1")
        except (OSError, RuntimeError):
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        else:
            return
    raise RuntimeError(f"ClickHouse did not start: {(directory / 'log').read_text(errors='replace')[-2000:]}")
