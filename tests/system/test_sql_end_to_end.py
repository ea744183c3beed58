"""SQL from the command line through server, review, approval and a real node to a real PostgreSQL, with the password as a secret."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from corral.testing import postgres
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.postgres, pytest.mark.slow]
pytest.importorskip("psycopg", reason="psycopg is not installed: uv pip install 'corral[executors]'")


@dataclass
class Ground:
    stack: Stack
    database: str
    cluster: postgres.PostgresServer
    second: str

    async def cli(self, *words: str, token: str | None = None, said: bytes | None = None) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            *words,
            stdin=asyncio.subprocess.DEVNULL if said is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "CORRAL_URL": self.stack.url,
                "CORRAL_TOKEN": token or (self.stack.data / "admin.token").read_text().strip(),
            },
        )
        out, err = await asyncio.wait_for(process.communicate(said), 60)
        return process.returncode or 0, out.decode(), err.decode()

    async def sql(self, *words: str) -> tuple[int, str, str]:
        return await self.cli("sql", "run", "-t", "n1", "-c", "shop", *words)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    if postgres.programs() is None:
        pytest.skip(f"PostgreSQL is not installed: {postgres.INSTALL}")
    with postgres.running() as cluster:
        url = cluster.database()
        database = urlsplit(url).path.lstrip("/")
        cluster.sql(database, "create table orders (id integer primary key, state text not null)")
        cluster.sql(database, "insert into orders select n, 'open' from generate_series(1, 5) n")
        async with Stack.temporary() as stack, RealNode.enrolled(stack, "n1"):
            await stack.online(1)
            made = await stack.fleet.call("POST", "/api-tokens", {"name": "bob", "permissions": ["*"]})
            await stack.fleet.secrets.set("shop.pw", "hunter2-secret")
            await stack.fleet.connections.set(
                "shop",
                engine="postgres",
                host=str(cluster.directory),
                database=database,
                user="corral",
                password_secret="shop.pw",
            )
            yield Ground(stack, database, cluster, made["token"])


async def count(ground: Ground) -> str:
    status, out, err = await ground.sql("--read-only", "--format", "csv", "select count(*) as n from orders")
    assert status == 0, err
    return out.split()[-1]


async def test_sql_is_run_reviewed_tried_out_held_and_read_only(ground: Ground) -> None:
    status, out, err = await ground.sql("select id, state from orders order by id limit 2")
    assert status == 0, err
    assert "id" in out and "open" in out and "hunter2" not in out + err

    status, out, err = await ground.sql("--format", "json", "select id from orders where id = 3")
    assert status == 0, err
    assert json.loads(out)[0]["id"] == 3

    # the database itself refuses a write in a read-only task, whatever the text looks like
    status, out, err = await ground.sql("--read-only", "with x as (delete from orders returning 1) select * from x")
    assert status != 0
    assert await count(ground) == "5"

    # a dry run says what it would change and changes nothing
    status, out, err = await ground.sql("--dry-run", "delete from orders where id < 3")
    assert status == 0, err
    assert "2" in out
    assert await count(ground) == "5"

    # a delete without where waits for somebody else
    status, job, err = await ground.sql("--detach", "delete from orders")
    assert status == 0, err
    assert "waits for approval P" in err
    [waiting] = json.loads((await ground.cli("approval", "list", "-o", "json"))[1])
    assert "missing_where" in waiting["why"]
    assert await count(ground) == "5"
    status, _, err = await ground.cli("approval", "approve", waiting["approval"], token=ground.second)
    assert status == 0, err
    await (await ground.stack.fleet.jobs.handle(job.strip())).wait(everyone=True)
    assert await count(ground) == "0"


async def test_a_review_needs_no_node_and_names_what_it_found(ground: Ground) -> None:
    status, out, _ = await ground.cli("sql", "run", "--engine", "mysql", "--review-only", "drop table orders")
    assert (status, "drop" in out) == (1, True)
    status, out, _ = await ground.cli(
        "sql", "run", "--engine", "postgres", "--review-only", "select id from orders where id = 1"
    )
    assert status == 0


async def test_cancel_ends_the_statement_in_the_database(ground: Ground) -> None:
    status, job, err = await ground.sql("--detach", "select pg_sleep(60)")
    assert status == 0, err
    handle = await ground.stack.fleet.jobs.handle(job.strip())
    running = "select count(*) as n from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
    async with asyncio.timeout(20):
        while (await ground.sql("--format", "csv", running))[1].split()[-1] != "1":
            await asyncio.sleep(0.1)
    await ground.stack.fleet.jobs.cancel(handle.id)
    done = await handle.wait(everyone=True)
    assert done.state == "cancelled"
    async with asyncio.timeout(20):
        while (await ground.sql("--format", "csv", running))[1].split()[-1] != "0":
            await asyncio.sleep(0.1)
