"""The Kubernetes API as far as the executor needs it: requests, what a refusal says, and where objects of a kind lie."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corral.agent.executors.contract import BadParams, Failed, Request
from corral.agent.executors.httpwire import Answer
from corral.agent.executors.restconn import Service, decoded, service_of
from corral.domain.executors.kubernetes import KNOWN, Resource, known_kind

IN_CLUSTER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER_SIDE_APPLY: Final = "application/apply-patch+yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
AS_TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MAKES_SENSE_FIRST: Final = ("Namespace", "CustomResourceDefinition", "ServiceAccount")
"""What others need is applied before them; the rest keeps its order."""


class Missing(Failed):
    """There is no such object."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One object, by where it lies."""

    resource: Resource
    namespace: str
    name: str

    def path(self, part: str = "") -> str:
        return self.resource.path(self.namespace, self.name, part)

    def __str__(self) -> str:
        inside = f" in {self.namespace}" if self.resource.namespaced and self.namespace else ""
        return f"{self.resource.kind}/{self.name}{inside}"

    def row(self, outcome: str) -> dict[str, str]:
        inside = {"namespace": self.namespace} if self.resource.namespaced else {}
        return {"kind": self.resource.kind, **inside, "name": self.name, "outcome": outcome}


class Cluster:
    """Raises Failed with what the API says, Missing for what is not there."""

    def __init__(self, service: Service, namespace: str) -> None:
        self.service = service
        self.namespace = namespace
        self._found: dict[tuple[str, str], Resource] = {}

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        answer = self.service.send(method, path, query=query, body=data, content_type=content_type, accept=accept)
        if answer.status >= 400:
            raise refused(answer.status, answer.body, f"{method} {path}")
        return decoded(answer, f"{method} {path}")

    def text(self, path: str, query: Mapping[str, Any]) -> bytes:
        answer: Answer = self.service.send("GET", path, query=query, accept="text/plain, */*")
        if answer.status >= 400:
            raise refused(answer.status, answer.body, f"GET {path}")
        return answer.body

    def resource(self, kind: str, api_version: str | None) -> Resource:
        """Where objects of the kind lie; the API is asked for what Corral does not know."""
        known = known_kind(kind)
        if known is not None and api_version in (None, known.api_version):
            return known
        if api_version is None:
            raise BadParams(f"cannot tell where objects of kind {kind!r} lie", element="params.api_version")
        if (api_version, kind) not in self._found:
            self._discover(api_version)
        word = kind.lower()
        for (version, name), resource in self._found.items():
            if version == api_version and word in (name.lower(), resource.plural):
                return resource
        raise Failed(
            f"cannot find kind {kind!r} in {api_version!r}: this cluster has none", hint="is its definition installed?"
        )

    def target(self, document: Mapping[str, Any], namespace: str | None) -> Target:
        """Where an object of a manifest goes: its own namespace, then the task's, then the connection's. Raises BadParams."""
        meta = document.get("metadata")
        kind, version = document.get("kind"), document.get("apiVersion")
        name = meta.get("name") if isinstance(meta, dict) else None
        if not (isinstance(kind, str) and isinstance(version, str) and isinstance(name, str) and name):
            raise BadParams(
                "cannot use a manifest: every object needs apiVersion, kind and metadata.name",
                element="params.manifest",
            )
        if not all(c.isalnum() or c in "-._:" for c in name):
            raise BadParams(f"cannot use {name[:80]!r} as the name of a {kind}", element="params.manifest")
        own = meta.get("namespace") if isinstance(meta, dict) else None
        resource = KNOWN[kind] if kind in KNOWN and KNOWN[kind].api_version == version else self.resource(kind, version)
        if own and namespace and resource.namespaced and own != namespace:
            raise BadParams(
                f"cannot put {kind}/{name} into {namespace!r}: its manifest says {own!r}", element="params.namespace"
            )
        return Target(resource=resource, namespace=str(own or namespace or self.namespace), name=name)

    def exists(self, target: Target) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.call("GET", target.path())
        except Missing:
            return None
        return found

    def _discover(self, api_version: str) -> None:
        head = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
        try:
            answer = self.call("GET", head)
        except Missing:
            return
        for each in answer.get("resources", ()):
            if "/" not in each["name"]:
                self._found[(api_version, each["kind"])] = Resource(
                    kind=each["kind"], api_version=api_version, plural=each["name"], namespaced=bool(each["namespaced"])
                )


def refused(status: int, body: bytes, what: str) -> Failed:
    """What a Status object says."""
    try:
        said = json.loads(body)
        message, reason = str(said.get("message") or ""), str(said.get("reason") or "")
    except (ValueError, AttributeError, RecursionError):
        message, reason = body[:200].decode("utf-8", "replace").strip(), ""
    text = f"cannot {what}: {message or 'no reason given'} (status {status})"
    if status == 404 and reason in ("NotFound", ""):
        return Missing(text)
    hints = {
        401: "is the connection's token still valid?",
        403: "the connection's account lacks a right; deploy/kubernetes has a role to begin with",
        409: "others manage some of these fields; 'force: true' takes them over",
    }
    return Failed(text, hint=hints.get(status))


def cluster_of(request: Request) -> Cluster:
    """The cluster of the connection; host `in-cluster` means the one this node is a pod of. Raises BadParams."""
    connection = dict(request.connection or {})
    options = connection.get("options") or {}
    namespace = str(connection.get("database") or options.get("namespace") or "")
    if connection.get("host") == "in-cluster":
        try:
            connection["password"] = (IN_CLUSTER / "token").read_text()
            connection["tls"] = {"mode": "verify", "ca_file": str(IN_CLUSTER / "ca.crt")}
            namespace = namespace or (IN_CLUSTER / "namespace").read_text().strip()
        except OSError as error:
            raise BadParams(
                f"cannot use the cluster this node is in: {error.strerror}: {error.filename}",
                element="connection.host",
                hint="it has to be a pod with a service account",
            ) from None
        connection |= {"host": "kubernetes.default.svc", "port": 443}
    timeout = min(request.params["timeout_seconds"], request.deadline_seconds)
    service = service_of(connection, timeout_seconds=timeout, port=6443, scheme="https", token="Bearer")
    return Cluster(service, namespace or "default")


def in_order(targets: list[tuple[Target, dict[str, Any]]]) -> Iterator[tuple[Target, dict[str, Any]]]:
    def rank(pair: tuple[Target, dict[str, Any]]) -> int:
        kind = pair[0].resource.kind
        return MAKES_SENSE_FIRST.index(kind) if kind in MAKES_SENSE_FIRST else len(MAKES_SENSE_FIRST)

    yield from sorted(targets, key=rank)
