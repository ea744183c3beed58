"""SQL from the command line through server, review and a real node to a real MariaDB: a script, its levels, its failure, its cancel."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corral.testing import mariadb
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.mariadb, pytest.mark.slow]
SCRIPT = """
-- a script as people write it; with a semicolon
create table t (id int primary key, note varchar(40));
insert into t (id, note) values (1, 'a;b'), (2, "it's"), (3, 'c'); # done;
update t set note = 'x' where id = 3;
drop table t_old
"""


@dataclass
class Ground:
    stack: Stack
    server: mariadb.MariadbServer
    database: str

    async def sql(self, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            "sql",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "CORRAL_URL": self.stack.url,
                "CORRAL_TOKEN": (self.stack.data / "admin.token").read_text().strip(),
            },
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.MariadbServer]:
    if not mariadb.installed():
        pytest.skip(f"MariaDB is not installed: {mariadb.INSTALL}")
    with mariadb.running() as made:
        made.sql("create user app identified by 'pw-of-app'")
        yield made


@pytest.fixture
async def ground(server: mariadb.MariadbServer) -> AsyncIterator[Ground]:
    database = server.database()
    server.sql(f"grant all on {database}.* to app")
    async with Stack.temporary() as stack, RealNode.enrolled(stack, "n1"):
        await stack.online(1)
        await stack.fleet.secrets.set("app.pw", "pw-of-app")
        await stack.fleet.connections.set(
            "shop",
            engine="mariadb",
            host=str(server.socket),
            database=database,
            user="app",
            password_secret="app.pw",
            options={"review.drop": "warning", "review.call": "error"},
        )
        yield Ground(stack, server, database)


async def test_a_script_is_split_judged_by_its_connection_and_run_in_order(ground: Ground, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text(SCRIPT)
    status, out, _ = await ground.sql("review", "-c", "shop", "-f", str(script), "-o", "json")
    assert status == 0
    found = json.loads(out)
    assert [one["verb"] for one in found["statements"]] == ["CREATE", "INSERT", "UPDATE", "DROP"]
    assert found["worst"] == "warning"

    # the last statement fails: what came before it stays, and the message says so
    status, out, err = await ground.sql("run", "-t", "n1", "-c", "shop", "-f", str(script))
    assert status == 1
    assert "(statement 2: 3 rows affected" in out
    assert "cannot run statement 4 of 4: Unknown table" in out + err
    assert "statements 1 to 3 did run and stay in effect" in out + err
    status, out, _ = await ground.sql(
        "run", "-t", "n1", "-c", "shop", "--read-only", "--format", "json", "select note from t order by id"
    )
    assert json.loads(out) == [{"note": "a;b"}, {"note": "it's"}, {"note": "x"}]

    # an error of the review refuses the job before any node hears of it
    status, out, err = await ground.sql("run", "-t", "n1", "-c", "shop", "select 1; call p()")
    assert status == 2
    assert "cannot run statement 2: CALL runs a stored procedure [call]" in err

    # a read-only task is refused a change by the review, and a dry run changes nothing
    status, _, err = await ground.sql("run", "-t", "n1", "-c", "shop", "--read-only", "delete from t where id = 1")
    assert (status, "[read_only]" in err) == (2, True)
    status, out, err = await ground.sql("run", "-t", "n1", "-c", "shop", "--dry-run", "delete from t")
    assert (status, "3 rows would be affected, rolled back" in out) == (0, True), out + err
    assert ground.server.sql(f"select count(*) from {ground.database}.t").strip() == "3"


async def test_a_secret_is_bound_as_an_argument_and_masked_in_what_comes_back(ground: Ground) -> None:
    words = ("run", "-t", "n1", "-c", "shop", "--read-only", "--format", "json", "--arg", "{{ secret.app.pw }}")
    status, out, err = await ground.sql(*words, "select length(%s) as n")
    assert status == 0, err
    assert json.loads(out) == [{"n": len("pw-of-app")}]
    status, out, err = await ground.sql(*words, "select %s as v")
    assert status == 0, err
    assert "pw-of-app" not in out + err

    # in the text it would become SQL after the review: a second person has to agree
    status, _, err = await ground.sql("run", "-t", "n1", "-c", "shop", "--detach", "select '{{ secret.app.pw }}' as v")
    assert status == 0, err
    assert "waits for approval" in err


async def test_cancelling_the_job_ends_the_statement_in_the_database(ground: Ground) -> None:
    running = "select count(*) from information_schema.processlist where info like 'select sleep(600%'"
    status, job, err = await ground.sql(
        "run", "-t", "n1", "-c", "shop", "--statement-timeout", "10m", "--detach", "select sleep(600)"
    )
    assert status == 0, err
    async with asyncio.timeout(20):
        while ground.server.sql(running).strip() != "1":
            await asyncio.sleep(0.05)
    handle = await ground.stack.fleet.jobs.handle(job.strip())
    await handle.cancel()
    assert (await handle.wait(everyone=True)).state == "cancelled"
    assert ground.server.sql(running).strip() == "0"
