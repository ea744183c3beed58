"""The elasticsearch executor: plain REST, for Elasticsearch and OpenSearch alike. Hits are printed as one line of JSON each.

Every request carries an X-Opaque-Id of its own; a cancel looks for the task that has it and cancels it there (_tasks), where there
is such a thing. A dry run of a write counts what it would touch and sends no write.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from corral.agent.executors.contract import Failed, Request, emit, main, on_cancel, result
from corral.agent.executors.fitting import fitting
from corral.agent.executors.httpwire import Answer
from corral.agent.executors.restconn import decoded, service_of
from corral.domain.executors.elasticsearch import KIND, changes

NDJSON: Final = "application/x-ndjson"
CANCEL_SECONDS: Final = 2.0
ERRORS_SHOWN: Final = 5
OUTCOME_CHARS: Final = 30_000
_HEALTH: Final = ("red", "yellow", "green")


def run(request: Request) -> None:
    """Raises Failed, BadParams."""
    Work(request).run()


class Work:
    def __init__(self, request: Request) -> None:
        self._params = request.params
        self._dry = request.dry_run
        timeout = min(request.params["timeout_seconds"], request.deadline_seconds)
        service = service_of(request.connection, timeout_seconds=timeout, port=9200, scheme="http", token="ApiKey")
        self._mark = f"corral-{secrets.token_hex(8)}"
        self._service = replace(service, headers={**service.headers, "X-Opaque-Id": self._mark})
        self._index = str(request.params.get("index") or (request.connection or {}).get("database") or "")

    def run(self) -> None:
        on_cancel(self._cancel)
        operation = self._params["operation"]
        if self._dry and changes(self._params) and operation != "delete_by_query":
            emit(f"would {operation} {self._what()}".rstrip())
            result({"operation": operation, "dry_run": True})
            return
        getattr(self, f"_do_{operation}")()

    def _call(self, method: str, path: str, *, expect: tuple[int, ...] = (), **rest: Any) -> Any:
        answer = self._service.send(method, path, **rest)
        if answer.status >= 400 and answer.status not in expect:
            raise refused(answer, f"{self._params['operation']} {self._what()}".rstrip())
        return decoded(answer, f"{method} {path}") if answer.body else {}

    def _what(self) -> str:
        if self._params["operation"] == "raw":
            return f"{self._params['method']} {self._params['path']}"
        if self._params["operation"] == "bulk":
            return f"of {len(self._params['operations'])} operations"
        return self._index

    def _at(self, api: str) -> str:
        return f"/{self._index}/{api}" if self._index else f"/{api}"

    def _query(self) -> dict[str, Any]:
        return {"query": self._params["query"]} if self._params.get("query") else {}

    def _do_search(self) -> None:
        body = dict(self._params.get("body") or self._query())
        body["size"] = min(int(body.get("size", self._params["row_cap"])), self._params["row_cap"])
        found = self._call("POST", self._at("_search"), body=_json(body))
        hits = found.get("hits", {})
        rows = hits.get("hits", [])
        for row in rows:
            emit(json.dumps({name: value for name, value in row.items() if name != "_type"}, ensure_ascii=False))
        total = hits.get("total", len(rows))
        aggregations = found.get("aggregations") or {}
        if aggregations:
            emit(json.dumps(aggregations, indent=2, ensure_ascii=False))
        self._report(
            total=total.get("value") if isinstance(total, dict) else total,
            shown=len(rows),
            took_ms=found.get("took"),
            timed_out=bool(found.get("timed_out")),
            **(
                {"aggregations": aggregations}
                if 0 < len(json.dumps(aggregations)) <= OUTCOME_CHARS and aggregations
                else {}
            ),
        )
        if found.get("timed_out") or (found.get("_shards") or {}).get("failed"):
            raise Failed(
                f"cannot search all of {self._index!r}: the answer is a part of it", hint="see its shards and timeout"
            )

    def _do_count(self) -> None:
        count = self._call("POST", self._at("_count"), body=_json(self._query()))["count"]
        emit(str(count))
        self._report(count=count)

    def _do_get(self) -> None:
        path = self._at(f"_doc/{quote(self._params['id'], safe='')}")
        # the id is one word of the path whatever it is made of; quoted here once, and the % is kept by what builds the URL
        found = self._call("GET", path, expect=(404,))
        if not found.get("found"):
            raise Failed(f"cannot get {self._params['id']!r} of {self._index!r}: there is none")
        emit(json.dumps(found.get("_source"), indent=2, ensure_ascii=False))
        self._report(version=found.get("_version"))

    def _do_indices(self) -> None:
        path = f"/_cat/indices/{self._index}" if self._index else "/_cat/indices"
        rows = self._call("GET", path, query={"format": "json", "bytes": "b", "s": "index"})
        for row in rows:
            emit(
                "  ".join(
                    str(row.get(name) or "-") for name in ("index", "health", "status", "docs.count", "store.size")
                )
            )
        self._report(count=len(rows), indices=fitting([str(row.get("index")) for row in rows]))

    def _do_health(self) -> None:
        found = self._call("GET", "/_cluster/health")
        status = str(found.get("status"))
        emit(f"{found.get('cluster_name')}: {status}, {found.get('number_of_nodes')} nodes")
        self._report(status=status, nodes=found.get("number_of_nodes"), unassigned=found.get("unassigned_shards"))
        expected = self._params.get("expect")
        if expected and (status not in _HEALTH or _HEALTH.index(status) < _HEALTH.index(expected)):
            raise Failed(f"cannot accept the health of {found.get('cluster_name')!r}: {status}, expected {expected}")

    def _do_index(self) -> None:
        name = self._params.get("id")
        method, path = ("PUT", f"_doc/{quote(name, safe='')}") if name else ("POST", "_doc")
        found = self._call(method, self._at(path), query=self._refresh(), body=_json(self._params["document"]))
        emit(f"{found.get('_index')}/{found.get('_id')}: {found.get('result')}")
        self._report(id=found.get("_id"), result=found.get("result"), changed=found.get("result") != "noop")

    def _do_bulk(self) -> None:
        lines = []
        for each in self._params["operations"]:
            where = {"_index": each.get("index", self._index), **({"_id": each["id"]} if "id" in each else {})}
            lines.append({each["action"]: where})
            if "document" in each:
                lines.append({"doc": each["document"]} if each["action"] == "update" else each["document"])
        body = b"".join(_json(line) + b"\n" for line in lines)
        found = self._call("POST", "/_bulk", query=self._refresh(), body=body, content_type=NDJSON)
        ends = [next(iter(item.values())) for item in found.get("items", ())]
        bad = [end for end in ends if end.get("error")]
        emit(f"{len(ends) - len(bad)} of {len(ends)} done")
        self._report(done=len(ends) - len(bad), failed=len(bad), changed=len(ends) > len(bad))
        if bad:
            for end in bad[:ERRORS_SHOWN]:
                emit(f"{end.get('_index')}/{end.get('_id')}: {_reason(end['error'])}")
            raise Failed(f"cannot do {len(bad)} of {len(ends)} operations: {_reason(bad[0]['error'])}")

    def _do_delete_by_query(self) -> None:
        query = self._query() or {"query": {"match_all": {}}}
        if self._dry:
            count = self._call("POST", self._at("_count"), body=_json(query))["count"]
            emit(f"would delete {count} documents of {self._index}")
            self._report(dry_run=True, matched=count)
            return
        found = self._call("POST", self._at("_delete_by_query"), query=self._refresh(), body=_json(query))
        failures = found.get("failures") or ()
        emit(f"deleted {found.get('deleted')} of {found.get('total')} documents")
        self._report(deleted=found.get("deleted"), matched=found.get("total"), changed=bool(found.get("deleted")))
        if failures:
            raise Failed(f"cannot delete {len(failures)} documents: {str(failures[0])[:300]}")

    def _do_raw(self) -> None:
        params = self._params
        body, kind = None, "application/json"
        if isinstance(params.get("body"), list):
            body, kind = b"".join(_json(line) + b"\n" for line in params["body"]), NDJSON
        elif "body" in params:
            body = _json(params["body"])
        answer = self._service.send(
            params["method"], params["path"], query=params.get("parameters"), body=body, content_type=kind, accept="*/*"
        )
        try:
            emit(json.dumps(json.loads(answer.body), indent=2, ensure_ascii=False))
        except (ValueError, RecursionError):
            emit(answer.body.decode("utf-8", "replace").rstrip("\n"))
        self._report(status=answer.status)
        if answer.status >= 400:
            raise refused(answer, f"{params['method']} {params['path']}")

    def _refresh(self) -> dict[str, Any]:
        return {"refresh": True} if self._params["refresh"] else {}

    def _report(self, **found: Any) -> None:
        result({"operation": self._params["operation"], "index": self._index, **found})

    def _cancel(self) -> None:
        """Ask the server to end what we began; searches it ends by itself when we hang up, the others not."""
        quick = replace(self._service, web=replace(self._service.web, timeout_seconds=CANCEL_SECONDS))
        found = decoded(quick.send("GET", "/_tasks", query={"detailed": True, "group_by": "none"}), "_tasks")
        listed: Any = found.get("tasks") or ()
        for task in listed.values() if isinstance(listed, dict) else listed:
            if (task.get("headers") or {}).get("X-Opaque-Id") == self._mark and task.get("cancellable", True):
                quick.send("POST", f"/_tasks/{task['node']}:{task['id']}/_cancel")


def refused(answer: Answer, what: str) -> Failed:
    """What an error object says."""
    try:
        said = _reason(json.loads(answer.body).get("error"))
    except (ValueError, AttributeError, RecursionError):
        said = answer.body[:200].decode("utf-8", "replace").strip()
    hint = {401: "are the connection's user and password right?", 403: "the connection's user lacks a right"}
    return Failed(f"cannot {what}: {said or 'no reason given'} (status {answer.status})", hint=hint.get(answer.status))


def _reason(error: Any) -> str:
    if isinstance(error, Mapping):
        causes = error.get("root_cause") or [error]
        first = causes[0] if isinstance(causes[0], Mapping) else error
        return f"{first.get('type')}: {first.get('reason')}"[:500]
    return str(error)[:500]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


if __name__ == "__main__":
    main(KIND, run)
