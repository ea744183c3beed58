"""A real MariaDB for tests: its own data in a temporary directory, reached by a Unix socket only, gone afterwards.

Uses the server programs of the distribution (Debian: mariadb-server). MariaDB will not run as root, so root starts it as the user
`mysql`. Nothing of it is durable: these tests are about SQL, not about the disk.
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

INSTALL: Final = "DEBIAN_FRONTEND=noninteractive apt-get install -y mariadb-server"
_START_SECONDS: Final = 60.0
_PLACES: Final = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/libexec"


def program(name: str) -> str | None:
    """Where a program of MariaDB is; None when it is not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PLACES}")


def installed() -> bool:
    return None not in (program("mariadbd"), program("mariadb-install-db"), program("mariadb"))


@dataclass
class MariadbServer:
    """A running server. `database()` makes an empty database and returns its name; its superuser is `root` without a password."""

    directory: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def socket(self) -> Path:
        return self.directory / "sock"

    def database(self) -> str:
        name = f"t{next(self._numbers)}"
        self.sql(f"create database {name}")
        return name

    def sql(self, text: str) -> str:
        """Run statements as the superuser with the distribution's own client; returns what it prints."""
        command = [
            str(program("mariadb")),
            "--no-defaults",
            "-uroot",
            "-N",
            "-B",
            f"--socket={self.socket}",
            "-e",
            text,
        ]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
        return ran.stdout


@contextmanager
def running(*flags: str) -> Iterator[MariadbServer]:
    """Start a server, yield it, stop it and remove its directory. `flags`: more of them. Raises FileNotFoundError when not installed."""
    if not installed():
        raise FileNotFoundError(f"MariaDB is not installed: {INSTALL}")
    directory = Path(tempfile.mkdtemp(prefix="corral-my-", dir="/tmp"))  # a socket's path is at most 107 bytes
    user = "mysql" if os.geteuid() == 0 else None
    try:
        if user is not None:
            owner = pwd.getpwnam(user)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        data = directory / "data"
        subprocess.run(
            [
                str(program("mariadb-install-db")),
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
            timeout=120,
        )
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    str(program("mariadbd")),
                    "--no-defaults",
                    f"--datadir={data}",
                    f"--socket={directory / 'sock'}",
                    f"--pid-file={directory / 'pid'}",
                    f"--tmpdir={directory}",
                    "--skip-networking",
                    "--skip-log-bin",
                    "--character-set-server=utf8mb4",
                    "--secure-file-priv=",
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-flush-method=nosync",
                    *flags,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                cwd="/",
            )
        try:
            _wait(process, directory)
            yield MariadbServer(directory)
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], directory: Path) -> None:
    """Until it answers; waiting for its death in between is the pause."""
    command = [str(program("mariadb")), "--no-defaults", "-uroot", f"--socket={directory / 'sock'}", "-e", "select 1"]
    for _ in range(int(_START_SECONDS / 0.1)):
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError(f"MariaDB did not start: {(directory / 'log').read_text(errors='replace')[-2000:]}")
