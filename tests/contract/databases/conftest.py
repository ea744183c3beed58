"""SQL children as a node runs them, against real database servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corral.testing import clickhouse, mariadb, postgres

SECONDS = 30.0


@dataclass(frozen=True)
class Ran:
    """What a child did: its exit status, what people see, and the outcome it wrote."""

    status: int
    out: str
    err: str
    outcome: Mapping[str, Any] | None

    @property
    def rows(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Child:
    """`python -m corral.agent.executors.<kind>` with a connection."""

    kind: str
    connection: Mapping[str, Any]
    directory: Path

    def command(self) -> list[str]:
        return [sys.executable, "-m", f"corral.agent.executors.{self.kind}"]

    def start(self, *, dry_run: bool = False, deadline: float = SECONDS, **params: Any) -> subprocess.Popen[bytes]:
        document = {
            "v": 1,
            "kind": self.kind,
            "params": params,
            "connection": dict(self.connection),
            "deadline_seconds": deadline,
            "dry_run": dry_run,
        }
        result = self.directory / "result.json"
        result.unlink(missing_ok=True)
        process = subprocess.Popen(
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "CORRAL_RESULT": str(result)},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(document).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def end(self, process: subprocess.Popen[bytes]) -> Ran:
        out, err = process.communicate(timeout=SECONDS)
        result = self.directory / "result.json"
        outcome = json.loads(result.read_bytes()) if result.exists() else None
        return Ran(process.returncode, out.decode(), err.decode(), outcome)

    def run(self, **asked: Any) -> Ran:
        return self.end(self.start(**asked))

    def ok(self, **asked: Any) -> Ran:
        ran = self.run(**asked)
        assert ran.status == 0, ran
        return ran

    def values(self, sql: str) -> Any:
        """The rows of one query, as a list of objects."""
        return self.ok(sql=sql, format="json").rows


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.PostgresServer]:
    if postgres.programs() is None:
        pytest.skip(f"PostgreSQL is not installed: {postgres.INSTALL}")
    with postgres.running() as server:
        yield server


@pytest.fixture
def pg(cluster: postgres.PostgresServer, tmp_path: Path) -> Child:
    """A child on an empty PostgreSQL database, as its superuser."""
    return Child("postgres", pg_connection(cluster), tmp_path)


@pytest.fixture
def pg_as(cluster: postgres.PostgresServer, pg: Child) -> Callable[[str], Child]:
    """The same database as another user."""
    return lambda user: Child("postgres", {**pg.connection, "user": user}, pg.directory)


def pg_connection(cluster: postgres.PostgresServer) -> dict[str, Any]:
    database = cluster.database().split("///", 1)[-1].split("@/", 1)[-1].split("?", 1)[0]
    return {
        "name": "main",
        "engine": "postgres",
        "host": str(cluster.directory),
        "port": None,
        "database": database,
        "user": "corral",
        "password": None,
        "tls": {},
        "options": {},
    }


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariadbServer]:
    if not mariadb.installed():
        pytest.skip(f"MariaDB is not installed: {mariadb.INSTALL}")
    with mariadb.running() as server:
        yield server


@pytest.fixture
def my(mariadb_server: mariadb.MariadbServer, tmp_path: Path) -> Child:
    """A child on an empty MariaDB database, as its superuser."""
    connection = {
        "name": "shop",
        "engine": "mariadb",
        "host": str(mariadb_server.socket),
        "port": None,
        "database": mariadb_server.database(),
        "user": "root",
        "password": None,
        "tls": {},
        "options": {},
    }
    return Child("mysql", connection, tmp_path)


@dataclass(frozen=True)
class Unchecked(Child):
    """A child that sends whatever it is given: what then stops a statement is the database."""

    def command(self) -> list[str]:
        module = f"corral.agent.executors.{self.kind}"
        script = f"import {module} as m; m.check_words = lambda *words: None; m.main(m.KIND, m.run)"
        return [sys.executable, "-c", script]


@pytest.fixture
def unchecked() -> Callable[[Child], Child]:
    return lambda child: Unchecked(child.kind, child.connection, child.directory)


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[clickhouse.ClickhouseServer]:
    if clickhouse.program() is None:
        pytest.skip(f"ClickHouse is not installed: {clickhouse.INSTALL}")
    with clickhouse.running() as server:
        yield server


@pytest.fixture
def ch(clickhouse_server: clickhouse.ClickhouseServer, tmp_path: Path) -> Child:
    """A child on an empty ClickHouse database, as its superuser."""
    database = f"t{tmp_path.name.replace('-', '_')}"[:60]
    clickhouse_server.sql(f"create database if not exists {database}")
    connection = {
        "name": "facts",
        "engine": "clickhouse",
        "host": "127.0.0.1",
        "port": clickhouse_server.port,
        "database": database,
        "user": "ana",
        "password": "s3cret",
        "tls": {},
        "options": {},
    }
    return Child("clickhouse", connection, tmp_path)
