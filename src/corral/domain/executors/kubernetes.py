"""Kind kubernetes: apply, look, scale, restart, read logs and run commands in a cluster, by its API, sent by the node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.executors.contract import ExecutorKind

OPERATIONS: Final = ("apply", "get", "delete", "scale", "rollout_restart", "logs", "exec")
READS: Final = frozenset(("get", "logs"))
MANIFEST_CHARS_MAX: Final = 1 << 20
OBJECTS_MAX: Final = 500
RESTARTABLE: Final = frozenset(("Deployment", "StatefulSet", "DaemonSet"))
SCALABLE: Final = frozenset(("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"))


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Where objects of a kind lie in the API."""

    kind: str
    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """Of one object, or of all; an empty namespace means all of them."""
        head = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{head}{inside}/{self.plural}" + (f"/{name}" if name else "") + (f"/{part}" if part else "")


def _core(kind: str, plural: str, namespaced: bool = True) -> Resource:
    return Resource(kind=kind, api_version="v1", plural=plural, namespaced=namespaced)


_RBAC: Final = "rbac.authorization.k8s.io/v1"
KNOWN: Final[Mapping[str, Resource]] = {
    resource.kind: resource
    for resource in (
        *(_core(kind, kind.lower() + "s") for kind in ("Pod", "Service", "ConfigMap", "Secret", "Event")),
        _core("Namespace", "namespaces", False),
        _core("Node", "nodes", False),
        _core("PersistentVolume", "persistentvolumes", False),
        _core("PersistentVolumeClaim", "persistentvolumeclaims"),
        _core("ServiceAccount", "serviceaccounts"),
        _core("ReplicationController", "replicationcontrollers"),
        *(
            Resource(kind=kind, api_version="apps/v1", plural=kind.lower() + "s")
            for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
        ),
        Resource(kind="Job", api_version="batch/v1", plural="jobs"),
        Resource(kind="CronJob", api_version="batch/v1", plural="cronjobs"),
        Resource(kind="Ingress", api_version="networking.k8s.io/v1", plural="ingresses"),
        Resource(kind="NetworkPolicy", api_version="networking.k8s.io/v1", plural="networkpolicies"),
        Resource(kind="Role", api_version=_RBAC, plural="roles"),
        Resource(kind="RoleBinding", api_version=_RBAC, plural="rolebindings"),
        Resource(kind="ClusterRole", api_version=_RBAC, plural="clusterroles", namespaced=False),
        Resource(kind="ClusterRoleBinding", api_version=_RBAC, plural="clusterrolebindings", namespaced=False),
    )
}
"""Kinds whose place needs no question; the API is asked for every other."""
_SHORT: Final = {
    "po": "Pod",
    "svc": "Service",
    "cm": "ConfigMap",
    "ns": "Namespace",
    "no": "Node",
    "pv": "PersistentVolume",
    "pvc": "PersistentVolumeClaim",
    "sa": "ServiceAccount",
    "ev": "Event",
    "deploy": "Deployment",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "rs": "ReplicaSet",
    "cj": "CronJob",
    "ing": "Ingress",
    "netpol": "NetworkPolicy",
}

_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": r"^[a-z0-9]([a-z0-9.:_-]*[a-z0-9])?\Z"}
_RBAC_NAME: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "pattern": r"^[A-Za-z0-9]([A-Za-z0-9.:_-]*[A-Za-z0-9])?\Z",
}

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {"type": "string", "enum": list(OPERATIONS)},
        "manifest": {
            "type": "string",
            "minLength": 1,
            "maxLength": MANIFEST_CHARS_MAX,
            "format": "multiline",
            "description": "YAML (several documents) or JSON, for apply and delete",
        },
        "manifests": {
            "type": "array",
            "minItems": 1,
            "maxItems": OBJECTS_MAX,
            "items": {"type": "object"},
            "description": "the same as objects; needs no YAML library on the node",
        },
        "kind": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "pattern": r"^[A-Za-z][A-Za-z0-9]*\Z",
            "description": "Deployment, deploy, pods …",
        },
        "api_version": {
            "type": "string",
            "maxLength": 253,
            "pattern": r"^[a-z0-9./-]+\Z",
            "description": "of a kind Corral does not know: example.com/v1",
        },
        "name": {**_RBAC_NAME, "description": "of one object; of the pod for logs and exec"},
        "namespace": {**_NAME, "maxLength": 63, "description": "default: the connection's, then 'default'"},
        "all_namespaces": {"type": "boolean", "default": False},
        "selector": {"type": "string", "minLength": 1, "maxLength": 1000, "description": "labels: app=web,tier!=db"},
        "replicas": {"type": "integer", "minimum": 0, "maximum": 10000},
        "container": {**_NAME, "maxLength": 63},
        "command": {
            "type": "array",
            "minItems": 1,
            "maxItems": 200,
            "items": {"type": "string", "maxLength": 8192},
            "description": "for exec; no shell reads it",
        },
        "tail_lines": {"type": "integer", "minimum": 0, "maximum": 100000, "default": 200},
        "since_seconds": {"type": "integer", "minimum": 1},
        "previous": {
            "type": "boolean",
            "default": False,
            "description": "logs of the container before its last restart",
        },
        "field_manager": {"type": "string", "minLength": 1, "maxLength": 128, "default": "corral"},
        "force": {"type": "boolean", "default": False, "description": "apply: take over fields that others manage"},
        "propagation": {"type": "string", "enum": ["Background", "Foreground", "Orphan"], "default": "Background"},
        "ignore_missing": {"type": "boolean", "default": False, "description": "delete: what is not there is fine"},
        "wait_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": 86400,
            "default": 0,
            "description": "how long workloads may take until they are rolled out; 0: do not wait",
        },
        "output": {"type": "string", "enum": ["table", "json", "name"], "default": "table"},
        "show_secrets": {"type": "boolean", "default": False, "description": "get -o json: the data of Secrets too"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 5000, "default": 500, "description": "objects shown"},
        "timeout_seconds": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 3600,
            "default": 30,
            "description": "for each request",
        },
    },
}
_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "apply": frozenset(("manifest", "manifests", "namespace", "field_manager", "force", "wait_seconds")),
    "get": frozenset(("kind", "api_version", "name", "namespace", "all_namespaces", "selector", "output", "show_secrets", "limit")),
    "delete": frozenset(("manifest", "manifests", "kind", "api_version", "name", "namespace", "selector", "propagation", "ignore_missing")),
    "scale": frozenset(("kind", "api_version", "name", "namespace", "replicas", "wait_seconds")),
    "rollout_restart": frozenset(("kind", "name", "namespace", "wait_seconds", "field_manager")),
    "logs": frozenset(("name", "namespace", "selector", "container", "tail_lines", "since_seconds", "previous")),
    "exec": frozenset(("name", "namespace", "container", "command")),
}  # fmt: skip
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "get": ("kind",),
    "scale": ("kind", "name", "replicas"),
    "rollout_restart": ("kind", "name"),
    "exec": ("name", "command"),
}


def known_kind(text: str) -> Resource | None:
    """The resource that `Deployment`, `deployment`, `deployments` or `deploy` means; None when Corral does not know it."""
    word = text.lower()
    if word in _SHORT:
        return KNOWN[_SHORT[word]]
    return next((each for each in KNOWN.values() if word in (each.kind.lower(), each.plural)), None)


def more(params: Mapping[str, Any]) -> None:
    """Raise Invalid for what the schema cannot say."""
    operation = params["operation"]
    for name, value in params.items():
        part = SCHEMA["properties"][name]
        if name not in ("operation", "timeout_seconds", *_TAKES[operation]) and value != part.get("default", params):
            raise Invalid(
                f"cannot {operation}: {name!r} does not belong to it",
                element=f"params.{name}",
                hint=f"it takes {', '.join(sorted(_TAKES[operation]))}",
            )
    for name in _NEEDS.get(operation, ()):
        if name not in params:
            raise Invalid(f"cannot {operation}: {name!r} is missing", element=f"params.{name}")
    _check_manifests(params)
    kind = params.get("kind")
    if kind is not None:
        resource = known_kind(kind)
        if resource is None and "api_version" not in params:
            raise Invalid(
                f"cannot tell where objects of kind {kind!r} lie",
                element="params.kind",
                hint="name their api_version too, for example example.com/v1",
            )
        for wanted, those in (("rollout_restart", RESTARTABLE), ("scale", SCALABLE)):
            if operation == wanted and resource is not None and resource.kind not in those:
                raise Invalid(
                    f"cannot {operation} a {resource.kind}",
                    element="params.kind",
                    hint=f"one of {', '.join(sorted(those))}",
                )
        if operation == "delete" and not ({"name", "selector"} & set(params)):
            raise Invalid(f"cannot delete every {kind}: expected a name or a selector", element="params.name")
    if "name" in params and "selector" in params:
        raise Invalid(f"cannot {operation} by name and by selector at once", element="params.selector")
    if operation == "logs" and not ({"name", "selector"} & set(params)):
        raise Invalid("cannot read logs: expected the name of a pod or a selector", element="params.name")


def changes(params: Mapping[str, Any]) -> bool:
    return params.get("operation") not in READS


def line(params: Mapping[str, Any]) -> str:
    operation: str = params["operation"]
    where = (
        f" in {params['namespace']}"
        if "namespace" in params
        else " in all namespaces"
        if params.get("all_namespaces")
        else ""
    )
    if "manifest" in params or "manifests" in params:
        count = (
            len(params["manifests"])
            if "manifests" in params
            else sum(1 for line in ("\n" + params["manifest"]).split("\n---") if line.strip())
        )
        return f"{operation} {count} object{'' if count == 1 else 's'}{where}"
    what = params.get("kind", "pod")
    name = params.get("name") or params.get("selector") or ""
    text = f"{operation} {what}" + (f" {name}" if name else "") + where
    if operation == "scale":
        return f"{text} to {params.get('replicas')}"
    return f"{text}: {' '.join(params.get('command', ()))}" if operation == "exec" else text


def _check_manifests(params: Mapping[str, Any]) -> None:
    operation = params["operation"]
    given = [name for name in ("manifest", "manifests") if name in params]
    if len(given) > 1 or (given and "kind" in params):
        raise Invalid(
            f"cannot {operation}: expected one of manifest, manifests and kind", element=f"params.{given[-1]}"
        )
    if operation == "apply" and not given:
        raise Invalid("cannot apply nothing: expected manifest or manifests", element="params.manifest")
    if operation == "delete" and not given and "kind" not in params:
        raise Invalid("cannot delete: expected a manifest, or a kind and a name or a selector", element="params.kind")


KIND: Final = ExecutorKind(
    name="kubernetes",
    summary="Apply, look, scale, restart, logs and exec in a Kubernetes cluster",
    module="corral.agent.executors.kubernetes",
    permission="cluster.run",
    schema=SCHEMA,
    line=line,
    engines=("kubernetes",),
    changes=changes,
    more=more,
)
