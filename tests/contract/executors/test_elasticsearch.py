"""Kind elasticsearch against a server that speaks OpenSearch's API (osmem-server), and against canned answers where it has none."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from corral.domain.errors import Invalid
from corral.domain.executors.contract import check_executor
from corral.domain.executors.elasticsearch import KIND, changes, danger
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.schema import check_schema
from corral.testing import opensearch

pytestmark = pytest.mark.opensearch
ORDERS = [{"n": n, "state": "open" if n % 2 else "done", "who": f"user-{n}"} for n in range(1, 11)]


@pytest.fixture(scope="module")
def server():
    try:
        with opensearch.running() as made:
            yield made
    except FileNotFoundError as error:
        pytest.skip(str(error))


def child_of(tmp_path):
    outcome = tmp_path / "result"
    outcome.unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "corral.agent.executors.elasticsearch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "CORRAL_RESULT": str(outcome)},
    )


def document(connection, params, dry_run=False):
    task = {
        "v": 1,
        "kind": "elasticsearch",
        "params": params,
        "connection": connection,
        "deadline_seconds": 60.0,
        "dry_run": dry_run,
    }
    return json.dumps(task).encode()


@pytest.fixture
def task(server, tmp_path):
    def run(operation, *, dry_run=False, connection=None, **params):
        process = child_of(tmp_path)
        params = {"operation": operation, **params}
        out, err = process.communicate(document(connection or server.connection(), params, dry_run), timeout=60)
        path = tmp_path / "result"
        result = json.loads(path.read_bytes()) if path.exists() else None
        return SimpleNamespace(code=process.returncode, out=out.decode(), err=err.decode(), result=result)

    return run


@pytest.fixture
def orders(task, request):
    """An index of its own with ten documents."""
    name = "orders-" + request.node.name.lower().replace("[", "-").replace("]", "")[:60].rstrip("-")
    operations = [{"action": "index", "id": str(order["n"]), "document": order} for order in ORDERS]
    done = task("bulk", index=name, operations=operations, refresh=True)
    assert (done.code, done.out) == (0, "10 of 10 done\n")
    return name


def test_a_search_prints_a_line_for_each_hit_and_says_how_many_there_are(task, orders):
    body = {"query": {"term": {"state.keyword": "open"}}, "sort": [{"n": "desc"}]}
    done = task("search", index=orders, body=body, row_cap=3)
    assert (done.code, done.err) == (0, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["_source"]["n"] for row in rows] == [9, 7, 5]
    assert (done.result["total"], done.result["shown"]) == (5, 3)


def test_the_row_cap_holds_whatever_the_body_asks_for(task, orders):
    assert task("search", index=orders, body={"size": 10_000}, row_cap=2).result["shown"] == 2
    assert task("search", index=orders, body={"size": 1}, row_cap=2).result["shown"] == 1


def test_aggregations_are_printed_and_kept(task, orders):
    body = {"size": 0, "aggs": {"states": {"terms": {"field": "state.keyword"}}}}
    done = task("search", index=orders, body=body)
    buckets = done.result["aggregations"]["states"]["buckets"]
    assert {each["key"]: each["doc_count"] for each in buckets} == {"open": 5, "done": 5}
    assert '"doc_count": 5' in done.out


def test_count_takes_a_query_or_none(task, orders):
    assert task("count", index=orders).result["count"] == 10
    assert task("count", index=orders, query={"range": {"n": {"lte": 3}}}).out == "3\n"


def test_one_document_goes_in_and_comes_out(task, orders):
    assert task("index", index=orders, id="a/b c%?", document={"n": 99}, refresh=True).result["result"] == "created"
    done = task("get", index=orders, id="a/b c%?")
    assert (done.code, json.loads(done.out)) == (0, {"n": 99})
    done = task("get", index=orders, id="none")
    assert (done.code, "cannot get 'none'" in done.err) == (1, True)


def test_the_database_of_the_connection_is_the_index_by_default(task, orders, server):
    assert task("count", connection=server.connection(database=orders)).result["count"] == 10


def test_a_bulk_says_what_went_wrong_with_which(task, orders):
    operations = [
        {"action": "create", "id": "1", "document": {"n": 1}},
        {"action": "update", "id": "2", "document": {"state": "late"}},
        {"action": "delete", "id": "3"},
    ]
    done = task("bulk", index=orders, operations=operations, refresh=True)
    assert done.code == 1
    assert (done.result["done"], done.result["failed"]) == (2, 1)
    assert "version_conflict_engine_exception" in done.err
    assert task("count", index=orders).result["count"] == 9


def test_delete_by_query_deletes_what_it_matches(task, orders):
    query = {"term": {"state.keyword": "done"}}
    done = task("delete_by_query", index=orders, query=query, dry_run=True)
    assert (done.out, done.result["matched"]) == (f"would delete 5 documents of {orders}\n", 5)
    assert task("count", index=orders).result["count"] == 10
    done = task("delete_by_query", index=orders, query=query, refresh=True)
    assert (done.code, done.result["deleted"]) == (0, 5)
    assert task("count", index=orders).result["count"] == 5
    assert task("delete_by_query", index=orders, all=True, refresh=True).result["deleted"] == 5


def test_a_dry_run_of_a_write_writes_nothing(task, orders):
    assert task("index", index=orders, document={"n": 1}, dry_run=True).out == f"would index {orders}\n"
    assert task("raw", method="DELETE", path=f"/{orders}", allow_dangerous=True, dry_run=True).code == 0
    assert task("count", index=orders).result["count"] == 10


def test_indices_and_health(task, orders):
    assert orders in task("indices").result["indices"]
    assert task("indices", index="orders-*").result["count"] >= 1
    done = task("health", expect="yellow")
    assert (done.code, done.result["status"] in ("green", "yellow")) == (0, True)


def test_a_raw_request_is_answered_as_it_is(task, orders):
    done = task("raw", path=f"/{orders}/_mapping")
    assert json.loads(done.out)[orders]["mappings"]["properties"]["n"]
    assert task("raw", method="DELETE", path=f"/{orders}", allow_dangerous=True).code == 0
    done = task("raw", path=f"/{orders}/_mapping")
    assert (done.code, done.result["status"]) == (1, 404)
    assert "index_not_found_exception" in done.err


def test_an_index_that_is_not_there_is_said_in_the_servers_words(task):
    done = task("search", index="nothing-here")
    assert done.code == 1
    assert (
        "cannot search nothing-here: index_not_found_exception: no such index [nothing-here] (status 404)" in done.err
    )


@pytest.fixture
def canned():
    """A server of ours: `answer(method, path, headers, body)` says status and JSON."""
    made = SimpleNamespace(seen=[], answer=lambda *request: (200, {}))

    class Handler(BaseHTTPRequestHandler):
        def _serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.seen.append((self.command, self.path, dict(self.headers), body))
            status, answer = made.answer(self.command, self.path, self.headers, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *request: None  # a client that was cancelled hangs up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.connection = lambda **more: {
        "name": "c",
        "engine": "elasticsearch",
        "host": "127.0.0.1",
        "port": server.server_address[1],
        **more,
    }
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_user_and_password_or_a_key_go_along(task, canned):
    canned.answer = lambda *request: (200, {"count": 1})
    task("count", connection=canned.connection(user="elastic", password="pass:word"))
    task("count", connection=canned.connection(password="a2V5"))
    task("count", connection=canned.connection(options={"path": "/search/"}))
    sent = [headers.get("Authorization") for _, _, headers, _ in canned.seen]
    assert sent == ["Basic " + base64.b64encode(b"elastic:pass:word").decode(), "ApiKey a2V5", None]
    assert canned.seen[2][1] == "/search/_count"


def test_a_partial_answer_is_no_answer(task, canned):
    canned.answer = lambda *request: (200, {"hits": {"total": 7, "hits": []}, "timed_out": True})
    done = task("search", index="a", connection=canned.connection())
    assert (done.code, done.result["total"]) == (1, 7)
    assert "the answer is a part of it" in done.err


def test_worse_health_than_expected_fails(task, canned):
    canned.answer = lambda *request: (200, {"cluster_name": "c", "status": "yellow", "number_of_nodes": 1})
    assert task("health", expect="yellow", connection=canned.connection()).code == 0
    done = task("health", expect="green", connection=canned.connection())
    assert (done.code, done.result["status"]) == (1, "yellow")


def test_no_right_and_no_login_are_told_apart(task, canned):
    error = {"error": {"root_cause": [{"type": "security_exception", "reason": "no permissions"}]}}
    for status, hint in ((401, "user and password"), (403, "lacks a right")):
        canned.answer = lambda *request, status=status: (status, error)
        done = task("count", connection=canned.connection())
        assert "security_exception: no permissions" in done.err
        assert hint in done.err


def test_cancel_ends_what_the_server_does_for_us_and_nothing_else(canned, tmp_path):
    hanging = threading.Event()
    over = threading.Event()

    def answer(method, path, headers, body):
        if "_search" in path:
            canned.mark = headers["X-Opaque-Id"]
            hanging.set()
            over.wait(30)
        if path.startswith("/_tasks?"):
            mine = {"node": "n1", "id": 7, "cancellable": True, "headers": {"X-Opaque-Id": canned.mark}}
            other = {"node": "n1", "id": 8, "cancellable": True, "headers": {"X-Opaque-Id": "somebody"}}
            return 200, {"tasks": [other, mine]}
        return 200, {}

    canned.answer = answer
    process = child_of(tmp_path)
    process.stdin.write(document(canned.connection(), {"operation": "search", "index": "a"}))
    process.stdin.close()
    assert hanging.wait(30)
    process.send_signal(signal.SIGTERM)
    try:
        assert process.wait(30) == 143
    finally:
        over.set()
        process.stdout.close()
        process.stderr.close()
    assert [path for _, path, _, _ in canned.seen if "_cancel" in path] == ["/_tasks/n1:7/_cancel"]


@pytest.mark.parametrize(
    ("params", "element"),
    [
        ({"operation": "get", "index": "a"}, "params.id"),
        ({"operation": "get", "index": "a*", "id": "1"}, "params.index"),
        ({"operation": "index", "index": "a,b", "document": {}}, "params.index"),
        ({"operation": "search", "query": {}, "body": {}}, "params.body"),
        ({"operation": "search", "body": []}, "params.body"),
        ({"operation": "count", "row_cap": 5}, "params.row_cap"),
        ({"operation": "delete_by_query", "index": "a"}, "params.query"),
        ({"operation": "delete_by_query", "index": "a*", "all": True}, "params.allow_dangerous"),
        ({"operation": "bulk", "operations": [{"action": "index", "document": {}}]}, "params.operations[0].index"),
        ({"operation": "bulk", "index": "a", "operations": [{"action": "delete"}]}, "params.operations[0].id"),
        ({"operation": "bulk", "index": "a", "operations": [{"action": "index"}]}, "params.operations[0].document"),
        (
            {"operation": "bulk", "index": "a", "operations": [{"action": "delete", "id": "1", "document": {}}]},
            "params.operations[0].document",
        ),
        ({"operation": "raw", "path": "/a/../_cluster/settings"}, "params.path"),
        ({"operation": "raw", "path": "/a%2f_all"}, "params.path"),
        ({"operation": "raw", "path": "a"}, "params.path"),
        ({"operation": "raw", "method": "DELETE", "path": "/a"}, "params.allow_dangerous"),
        ({"operation": "index", "index": "a", "document": {}, "read_only": True}, "params.read_only"),
        ({"operation": "raw", "method": "PUT", "path": "/a/_doc/1", "read_only": True}, "params.read_only"),
        ({"operation": "search", "index": "../a"}, "params.index"),
    ],
)
def test_params_that_cannot_be_meant_name_their_field(params, element):
    with pytest.raises(Invalid) as refused:
        check_executor(KIND, ExecutorSpec(kind="elasticsearch", params=params, connection="c"))
    assert refused.value.element == element


@pytest.mark.parametrize(
    ("method", "path", "changing", "dangerous"),
    [
        ("GET", "/", False, False),
        ("GET", "/_cluster/settings", False, False),
        ("POST", "/a/_search", False, False),
        ("POST", "/_msearch", False, False),
        ("POST", "/_plugins/_sql", True, True),
        ("POST", "/a/_doc", True, False),
        ("PUT", "/a/_doc/1", True, False),
        ("DELETE", "/a/_doc/1", True, False),
        ("PUT", "/a", True, False),
        ("POST", "/_bulk", True, False),
        ("PUT", "/a/_mapping", True, False),
        ("POST", "/*/_refresh", True, True),
        ("DELETE", "/a", True, True),
        ("DELETE", "/_all", True, True),
        ("DELETE", "/a,b/_doc/1", True, True),
        ("PUT", "/a/_settings", True, True),
        ("PUT", "/_cluster/settings", True, True),
        ("POST", "/a/_delete_by_query", True, True),
        ("POST", "/a/_update_by_query", True, True),
        ("POST", "/a/_close", True, True),
        ("PUT", "/_scripts/x", True, True),
        ("PUT", "/_security/user/x", True, True),
        ("POST", "/_reindex", True, True),
        ("POST", "/_search/_delete_by_query", True, True),
    ],
)
def test_a_raw_request_is_judged_by_what_it_may_do(method, path, changing, dangerous):
    params = {"operation": "raw", "method": method, "path": path}
    assert (changes(params), bool(danger(params))) == (changing, dangerous)


def test_what_it_says_of_itself():
    check_schema(KIND.schema)
    assert KIND.line({"operation": "raw", "method": "PUT", "path": "/a"}) == "raw PUT /a"
    assert KIND.line({"operation": "search", "index": "logs-*"}) == "search logs-*"
    assert not changes({"operation": "search"})
    assert changes({"operation": "bulk"})
