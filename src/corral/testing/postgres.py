"""A real PostgreSQL for tests: its own cluster in a temporary directory, reached by a Unix socket only, gone afterwards.

Uses the server programs of the distribution (Debian: postgresql-15). PostgreSQL refuses to run as root, so root starts it as the
user `postgres`. fsync is off: these tests are about SQL, not about the disk.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

INSTALL: Final = (
    "mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf"
    " && apt-get install -y postgresql-15"
)
_START_SECONDS: Final = 30.0


def programs() -> Path | None:
    """The directory with initdb and postgres, newest version first; None when PostgreSQL is not installed."""
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True):
        if (found / "initdb").exists():
            return found
    which = shutil.which("initdb")
    return None if which is None else Path(which).resolve().parent


@dataclass
class PostgresServer:
    """A running cluster. `database()` makes an empty database and returns its URL."""

    directory: Path
    _programs: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def database(self) -> str:
        name = f"t{next(self._numbers)}"
        self.sql("postgres", f"create database {name}")
        return f"postgresql://corral@/{name}?host={self.directory}"

    def sql(self, database: str, text: str) -> None:
        """Run one statement as the cluster's owner."""
        command = [str(self._programs / "psql"), "-Xq", "-h", str(self.directory), "-U", "corral", "-d", database]
        subprocess.run([*command, "-c", text], check=True, capture_output=True, cwd="/", timeout=30)


@contextmanager
def running(*settings: str) -> Iterator[PostgresServer]:
    """Start a cluster, yield it, stop it and remove its directory. `settings`: `name=value`. Raises FileNotFoundError."""
    bin_dir = programs()
    if bin_dir is None:
        raise FileNotFoundError(f"PostgreSQL is not installed: {INSTALL}")
    directory = Path(tempfile.mkdtemp(prefix="corral-pg-", dir="/tmp"))  # a socket's path is at most 107 bytes
    user = "postgres" if os.geteuid() == 0 else None
    try:
        if user is not None:
            owner = pwd.getpwnam(user)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        data = directory / "data"
        subprocess.run(
            [
                str(bin_dir / "initdb"),
                "-D",
                str(data),
                "-U",
                "corral",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-N",
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
            timeout=60,
        )
        with (directory / "log").open("wb") as log:
            options = ("listen_addresses=", "fsync=off", "synchronous_commit=off", "max_connections=100")
            process = subprocess.Popen(
                [
                    str(bin_dir / "postgres"),
                    "-D",
                    str(data),
                    "-k",
                    str(directory),
                    *(f"-c{option}" for option in (*options, *settings)),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                cwd="/",
            )
        try:
            _wait(process, bin_dir, directory)
            yield PostgresServer(directory, bin_dir)
        finally:
            process.send_signal(3)  # SIGQUIT: stop at once; nothing in there is worth a checkpoint
            process.wait(timeout=20)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], bin_dir: Path, directory: Path) -> None:
    """Until it answers; waiting for its death in between is the pause."""
    for _ in range(int(_START_SECONDS / 0.05)):
        ready = subprocess.run([bin_dir / "pg_isready", "-q", "-h", directory, "-t", "1"], check=False, cwd="/")
        if ready.returncode == 0:
            return
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError(f"PostgreSQL did not start: {(directory / 'log').read_text(errors='replace')[-2000:]}")
