"""The kubernetes executor: the API over HTTPS and nothing between. Apply is server-side apply, so the cluster merges, not we.

Everything a manifest names is looked up before anything is changed; then objects are applied one by one, namespaces first. The first
refusal ends it, and the outcome says what was done until then. A dry run asks the API for one (dryRun=All).
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

from corral.agent.executors.contract import Failed, Request, emit, main, result
from corral.agent.executors.fitting import fitting
from corral.agent.executors.kubeapi import (
    AS_TABLE,
    MERGE_PATCH,
    SERVER_SIDE_APPLY,
    Cluster,
    Missing,
    Target,
    cluster_of,
    in_order,
    refused,
)
from corral.agent.executors.kuberollout import trouble_of
from corral.agent.executors.kubeview import as_json, as_rows
from corral.agent.executors.manifests import objects
from corral.agent.executors.websocket import Refused, WebSocket
from corral.domain.executors.kubernetes import KIND, RESTARTABLE
from corral.runtime.clock import SystemClock, iso

POLL_SECONDS: Final = 1.0
RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
"""kubectl's own word, so that both take each other's restarts for what they are."""
_NO_CHANGE: Final = ("managedFields", "resourceVersion", "generation")


def run(request: Request) -> None:
    """Raises Failed, BadParams, MissingDriver."""
    Work(request).run()


class Work:
    """One task. `rows` says what came of each object so far, also when it fails."""

    def __init__(self, request: Request) -> None:
        self._params = request.params
        self._dry = {"dryRun": "All"} if request.dry_run else {}
        self._would = "would be " if request.dry_run else ""
        self._deadline_seconds = request.deadline_seconds
        self._cluster: Cluster = cluster_of(request)
        self._clock = SystemClock()
        self.rows: list[dict[str, str]] = []
        self._more: dict[str, Any] = {}

    def run(self) -> None:
        operation = self._params["operation"]
        try:
            getattr(self, f"_{operation}")()
        except Failed:
            self._report()
            raise

    def _report(self, **more: Any) -> None:
        self._more |= more
        result(
            {
                "operation": self._params["operation"],
                "count": len(self.rows),
                "changed": sum(row["outcome"] != "unchanged" for row in self.rows if row["outcome"] != "read"),
                "objects": fitting(self.rows),
                **self._more,
            }
        )

    def _done(self, target: Target, outcome: str) -> None:
        self.rows.append(target.row(outcome))
        emit(f"{target}: {self._would}{outcome}" if outcome != "unchanged" else f"{target}: unchanged")

    def _targets(self) -> list[tuple[Target, dict[str, Any]]]:
        documents = objects(self._params)
        return [(self._cluster.target(document, self._params.get("namespace")), document) for document in documents]

    def _one(self) -> Target:
        resource = self._cluster.resource(self._params.get("kind", "Pod"), self._params.get("api_version"))
        namespace = self._params.get("namespace") or self._cluster.namespace
        return Target(resource=resource, namespace=namespace, name=self._params.get("name", ""))

    def _apply(self) -> None:
        targets = list(in_order(self._targets()))
        query = {"fieldManager": self._params["field_manager"], "force": self._params["force"], **self._dry}
        for target, document in targets:
            before = self._cluster.exists(target)
            meta = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
            if target.resource.namespaced:
                meta["namespace"] = target.namespace
            body = {**document, "metadata": meta}
            after = self._cluster.call("PATCH", target.path(), query=query, body=body, content_type=SERVER_SIDE_APPLY)
            self._done(target, "created" if before is None else "unchanged" if _same(before, after) else "configured")
        self._wait([target for target, _ in targets if target.resource.kind in RESTARTABLE])
        self._report()

    def _get(self) -> None:
        target, form = self._one(), self._params["output"]
        whole = self._params["all_namespaces"] and not target.name
        path = target.resource.path("" if whole else target.namespace, target.name)
        query = {} if target.name else {"labelSelector": self._params.get("selector"), "limit": self._params["limit"]}
        answer = self._cluster.call(
            "GET", path, query=query, accept=AS_TABLE if form == "table" else "application/json"
        )
        if form == "json":
            emit(as_json(answer, secrets=self._params["show_secrets"]))
        lines, names = as_rows(answer, with_namespace=whole)
        if form != "json":
            emit("\n".join(lines if form == "table" else names) or "no objects")
        self.rows = [
            {"kind": target.resource.kind, "name": name.rpartition("/")[2], "outcome": "read"} for name in names
        ]
        self._report()

    def _delete(self) -> None:
        if "selector" in self._params:
            one = self._one()
            listed = self._cluster.call(
                "GET", one.resource.path(one.namespace), query={"labelSelector": self._params["selector"]}
            )
            targets = [
                Target(resource=one.resource, namespace=one.namespace, name=item["metadata"]["name"])
                for item in listed.get("items", ())
            ]
        elif "kind" in self._params:
            targets = [self._one()]
        else:
            # what others need goes last
            targets = [target for target, _ in reversed(list(in_order(self._targets())))]
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        body["propagationPolicy"] = self._params["propagation"]
        if self._dry:
            # where a delete has a body the API does not read the query: without this the dry run would delete
            body["dryRun"] = ["All"]
        for target in targets:
            try:
                self._cluster.call("DELETE", target.path(), query=self._dry, body=body)
            except Missing:
                if not self._params["ignore_missing"]:
                    raise
                self._done(target, "unchanged")
            else:
                self._done(target, "deleted")
        if not targets:
            emit("nothing to delete")
        self._report()

    def _scale(self) -> None:
        target, wanted = self._one(), self._params["replicas"]
        before = self._cluster.call("GET", target.path("scale")).get("spec", {}).get("replicas", 0)
        body = {"spec": {"replicas": wanted}}
        self._cluster.call("PATCH", target.path("scale"), query=self._dry, body=body, content_type=MERGE_PATCH)
        self._done(target, "unchanged" if before == wanted else f"scaled from {before} to {wanted}")
        self._wait([target] if target.resource.kind in RESTARTABLE else [])
        self._report(replicas_before=before, replicas=wanted)

    def _rollout_restart(self) -> None:
        target = self._one()
        at = iso(self._clock.now())
        body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}}}
        query = {"fieldManager": self._params["field_manager"], **self._dry}
        self._cluster.call("PATCH", target.path(), query=query, body=body, content_type=MERGE_PATCH)
        self._done(target, "restarted")
        self._wait([target])
        self._report()

    def _logs(self) -> None:
        one = self._one()
        names = [one.name]
        if "selector" in self._params:
            listed = self._cluster.call(
                "GET", one.resource.path(one.namespace), query={"labelSelector": self._params["selector"], "limit": 50}
            )
            names = [item["metadata"]["name"] for item in listed.get("items", ())]
        query = {
            "container": self._params.get("container"),
            "tailLines": self._params["tail_lines"],
            "sinceSeconds": self._params.get("since_seconds"),
            "previous": self._params["previous"],
        }
        for name in names:
            target = Target(resource=one.resource, namespace=one.namespace, name=name)
            text = self._cluster.text(target.path("log"), query).decode("utf-8", "replace")
            prefix = f"{name}: " if len(names) > 1 else ""
            for line in text.splitlines():
                emit(prefix + line)
            self.rows.append(target.row("read"))
        if not names:
            emit("no pods")
        self._report()

    def _exec(self) -> None:
        target, service = self._one(), self._cluster.service
        if self._dry:
            emit(f"would run in {target}: {' '.join(self._params['command'])}")
            self._report()
            return
        query = {
            "command": self._params["command"],
            "container": self._params.get("container"),
            "stdout": 1,
            "stderr": 1,
        }
        status: dict[str, Any] = {}
        try:
            with WebSocket(
                self._patient(), service.url(target.path("exec"), query), service.headers, "v4.channel.k8s.io"
            ) as stream:
                for message in stream:
                    status = _channel(message) or status
        except Refused as error:
            raise refused(error.status, error.body, f"exec in {target}") from None
        code = _exit_code(status)
        self.rows.append(target.row(f"exit {code}"))
        self._report(exit_code=code)
        if code:
            raise Failed(f"cannot run the command in {target}: {status.get('message') or f'it ended with {code}'}")

    def _patient(self) -> Any:
        """A command takes as long as the task may, not as one request may."""
        from dataclasses import replace

        return replace(self._cluster.service.web, timeout_seconds=self._deadline_seconds)

    def _wait(self, targets: list[Target]) -> None:
        end = self._clock.monotonic() + self._params.get("wait_seconds", 0)
        if self._dry or not self._params.get("wait_seconds"):
            return
        for target in targets:
            while trouble := trouble_of(self._cluster.call("GET", target.path())):
                if self._clock.monotonic() >= end:
                    raise Failed(
                        f"cannot see {target} rolled out in {self._params['wait_seconds']:g} s: {trouble}",
                        hint="what was applied stays; get -p kind=Event says why it is not ready",
                    )
                # not Clock.sleep: this is no loop, and a cancel has to interrupt it
                threading.Event().wait(POLL_SECONDS)
            emit(f"{target}: rolled out")


def _same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    def bare(found: Mapping[str, Any]) -> dict[str, Any]:
        meta = {name: value for name, value in found.get("metadata", {}).items() if name not in _NO_CHANGE}
        return {**found, "metadata": meta, "status": None}

    return bare(before) == bare(after)


def _channel(message: bytes) -> dict[str, Any] | None:
    """Passes on what channel 1 or 2 brings; the Status of channel 3."""
    number, data = message[:1], message[1:]
    if number in (b"\x01", b"\x02"):
        stream = sys.stdout if number == b"\x01" else sys.stderr
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    if number != b"\x03":
        return None
    try:
        found = json.loads(data)
    except ValueError:
        found = {"status": "Failure", "message": data.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else None


def _exit_code(status: Mapping[str, Any]) -> int:
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdigit():
            return int(cause["message"])
    return 1


if __name__ == "__main__":
    main(KIND, run)
