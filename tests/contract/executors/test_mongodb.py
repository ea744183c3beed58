"""Kind mongodb against a server that speaks its protocol (nx-27017: SQLite behind the wire protocol of MongoDB 7).

What that server cannot show is said here: it has no users, no currentOp, and its own error texts.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corral.domain.errors import Invalid
from corral.domain.executors.contract import check_executor
from corral.domain.executors.mongodb import KIND, changes
from corral.domain.executors.spec import ExecutorSpec

pytest.importorskip("pymongo", reason="pymongo is not installed: uv pip install 'corral[executors]'")
pytest.importorskip("nx_27017", reason="nx-27017 is not installed: uv pip install nx-27017")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("mongodb")
    words = [str(Path(sys.executable).with_name("nx-27017")), "--db", "memory", "--host", "127.0.0.1", "-p", str(port)]
    log = (folder / "log").open("wb")
    process = subprocess.Popen([*words, "--pid-file", str(folder / "pid")], cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        log.close()


class Ended:
    def __init__(self, code, out, err, outcome):
        self.code, self.err, self.outcome = code, err, outcome
        self.lines = out.splitlines()

    @property
    def rows(self):
        return [json.loads(line) for line in self.lines if line.startswith("{")]


@pytest.fixture
def mongo(server, tmp_path):
    """Run the child as the worker does."""

    async def run(*, dry_run=False, connection=None, deadline=30.0, **params):
        document = {
            "v": 1,
            "kind": "mongodb",
            "params": params,
            "connection": {"host": "127.0.0.1", "port": server, "database": "shop"}
            if connection is None
            else connection,
            "deadline_seconds": deadline,
            "dry_run": dry_run,
        }
        outcome = tmp_path / "result"
        outcome.unlink(missing_ok=True)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "corral.agent.executors", "mongodb"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "CORRAL_RESULT": str(outcome)},
        )
        out, err = await child.communicate(json.dumps(document).encode())
        return Ended(
            child.returncode, out.decode(), err.decode(), json.loads(outcome.read_text()) if outcome.exists() else None
        )

    return run


@pytest.fixture
async def orders(mongo, request):
    """A collection of the test's own with three orders."""
    name = request.node.name[:60].replace("[", "_").replace("]", "_")
    documents = [{"n": n, "state": "open", "at": {"$date": f"2026-11-0{n}T00:00:00Z"}} for n in (1, 2, 3)]
    done = await mongo(operation="insert", collection=name, documents=documents)
    assert (done.code, done.outcome) == (0, {"inserted": 3}), done.err
    return name


async def test_documents_come_back_as_extended_json_sorted_and_cut_at_the_cap(mongo, orders):
    found = await mongo(
        operation="find",
        collection=orders,
        filter={"n": {"$gte": 2}},
        projection={"_id": 0},
        sort=[["n", -1]],
        row_cap=1,
    )
    assert found.rows == [{"n": 3, "state": "open", "at": {"$date": "2026-11-03T00:00:00Z"}}]
    assert found.outcome == {"rows": 1, "truncated": True}
    assert "more than 1 rows" in found.lines[-1]


async def test_update_delete_count_and_aggregate_do_what_they_say(mongo, orders):
    done = await mongo(
        operation="update", collection=orders, filter={"n": {"$lt": 3}}, update={"$set": {"state": "done"}}
    )
    assert done.outcome == {"matched": 2, "modified": 2, "upserted": False}
    summed = await mongo(
        operation="aggregate",
        collection=orders,
        pipeline=[{"$group": {"_id": "$state", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}],
    )
    assert summed.rows == [{"_id": "done", "n": 2}, {"_id": "open", "n": 1}]
    gone = await mongo(operation="delete", collection=orders, filter={"state": "done"}, one=True)
    assert gone.outcome == {"deleted": 1}
    assert (await mongo(operation="count", collection=orders)).lines == ["2"]


async def test_a_dry_run_says_how_many_it_would_touch_and_touches_none(mongo, orders):
    tried = await mongo(operation="delete", collection=orders, filter={"n": {"$gt": 1}}, dry_run=True)
    assert (tried.code, tried.outcome) == (0, {"dry_run": True, "matched": 2})
    assert tried.lines[0].startswith("would delete 2 documents")
    assert (await mongo(operation="count", collection=orders)).lines == ["3"]


async def test_a_command_that_only_reads_runs_in_a_read_only_task(mongo):
    assert (await mongo(operation="command", command={"ping": 1}, read_only=True)).rows[0]["ok"] == 1


async def test_a_server_that_is_not_there_fails_in_one_line(mongo):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = await mongo(
            deadline=1.0,
            operation="count",
            collection="x",
            connection={"host": "127.0.0.1", "port": closed.getsockname()[1]},
        )
    assert done.code == 1
    assert done.err.startswith("cannot count: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("params", "element"),
    [
        ({"operation": "delete", "collection": "a"}, "params.filter"),
        ({"operation": "update", "collection": "a", "update": {"$set": {"b": 1}}}, "params.filter"),
        ({"operation": "update", "collection": "a", "filter": {"b": 1}, "update": {"b": 2}}, "params.update"),
        ({"operation": "find"}, "params.collection"),
        ({"operation": "find", "collection": "a", "documents": [{}]}, "params.documents"),
        ({"operation": "insert", "collection": "a", "documents": [{}], "read_only": True}, "params.read_only"),
        (
            {"operation": "aggregate", "collection": "a", "pipeline": [{"$out": "b"}], "read_only": True},
            "params.read_only",
        ),
        ({"operation": "command", "command": {"dropDatabase": 1}, "read_only": True}, "params.read_only"),
        ({"operation": "command", "command": {}}, "params.command"),
        ({"operation": "find", "collection": "a$b"}, "params.collection"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_job_exists(params, element):
    with pytest.raises(Invalid) as caught:
        check_executor(KIND, ExecutorSpec(kind="mongodb", params=params, connection="shop"))
    assert caught.value.element == element


def test_what_changes_something_is_told_from_what_does_not():
    assert changes({"operation": "delete"})
    assert changes({"operation": "aggregate", "pipeline": [{"$match": {}}, {"$merge": "x"}]})
    assert changes({"operation": "command", "command": {"drop": "x"}})
    assert not changes({"operation": "aggregate", "pipeline": [{"$match": {}}]})
    assert not changes({"operation": "command", "command": {"dbStats": 1}})


async def test_a_dry_run_of_an_aggregation_that_writes_counts_and_writes_nothing(mongo, orders):
    pipeline = [{"$match": {"n": {"$gte": 2}}}, {"$out": f"{orders}_copy"}]
    tried = await mongo(operation="aggregate", collection=orders, pipeline=pipeline, dry_run=True)
    assert (tried.code, tried.outcome) == (0, {"dry_run": True, "matched": 2}), tried.err
    assert tried.lines == [f"would aggregate 2 documents of {orders}"]
    copied = await mongo(operation="count", collection=f"{orders}_copy")
    assert copied.outcome == {"count": 0}


def test_cancel_kills_what_runs_under_its_own_mark_and_nothing_else(monkeypatch):
    """No server here has currentOp: what would be sent is recorded instead."""
    from corral.agent.executors import mongodb

    sent = []

    class Client:
        def __init__(self, **options):
            self.admin = self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def command(self, name, *filters, **more):
            sent.append((name, *filters, more))
            return {"inprog": [{"opid": 7}]}

    mongodb._kill(Client, {"host": "x"}, "corral 1 ab")
    assert sent == [("currentOp", {"command.comment": "corral 1 ab"}, {}), ("killOp", {"op": 7})]
