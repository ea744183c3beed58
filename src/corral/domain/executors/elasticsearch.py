"""Kind elasticsearch: searches and writes on Elasticsearch or OpenSearch by their REST API, sent by the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.executors.contract import ExecutorKind

ROW_CAP: Final = 100
ROW_CAP_MAX: Final = 10_000
"""The server's own window (index.max_result_window)."""
READS: Final = frozenset(("search", "count", "get", "indices", "health"))
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "search": (),
    "count": (),
    "get": ("index", "id"),
    "indices": (),
    "health": (),
    "index": ("index", "document"),
    "bulk": ("operations",),
    "delete_by_query": ("index",),
    "raw": ("path",),
}
_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "search": frozenset(("index", "query", "body", "row_cap")),
    "count": frozenset(("index", "query")),
    "indices": frozenset(("index",)),
    "health": frozenset(("expect",)),
    "index": frozenset(("id", "refresh")),
    "bulk": frozenset(("index", "refresh")),
    "delete_by_query": frozenset(("query", "all", "allow_dangerous", "refresh")),
    "raw": frozenset(("method", "body", "parameters", "allow_dangerous")),
}
_ALWAYS: Final = frozenset(("operation", "read_only", "timeout_seconds"))
READ_APIS: Final = frozenset(
    (
        "_search",
        "_count",
        "_msearch",
        "_mget",
        "_analyze",
        "_explain",
        "_validate",
        "_field_caps",
        "_termvectors",
        "_sql",
    )
)
"""Asked with POST because a GET has no body; they change nothing."""
SAFE_APIS: Final = frozenset(("_doc", "_create", "_update", "_bulk", "_refresh", "_flush", "_mapping"))
"""What a raw request may write to without allow_dangerous, in one index."""
_PLAIN_INDEX: Final = r"^[a-z0-9.][a-z0-9._+-]*\Z"

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {"type": "string", "enum": list(_NEEDS), "description": "what to do"},
        "index": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1000,
            "pattern": r"^[a-z0-9.*][a-z0-9._+*,-]*\Z",
            "description": "an index or alias; for reads also logs-*,other",
        },
        "query": {"type": "object", "format": "json", "description": 'the query alone: {"term": {"state": "open"}}'},
        "body": {"type": ["object", "array"], "format": "json", "description": "of search: the whole request (aggs, sort, _source …)"},
        "id": {"type": "string", "minLength": 1, "maxLength": 512},
        "document": {"type": "object", "format": "json"},
        "operations": {
            "type": "array",
            "minItems": 1,
            "maxItems": 10_000,
            "description": "of bulk",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["action"],
                "properties": {
                    "action": {"type": "string", "enum": ["index", "create", "update", "delete"]},
                    "index": {"type": "string", "maxLength": 255, "pattern": _PLAIN_INDEX},
                    "id": {"type": "string", "minLength": 1, "maxLength": 512},
                    "document": {"type": "object", "description": "of update: what changes"},
                },
            },
        },
        "row_cap": {"type": "integer", "minimum": 0, "maximum": ROW_CAP_MAX, "default": ROW_CAP, "description": "hits shown"},
        "all": {"type": "boolean", "default": False, "description": "delete_by_query: yes, every document"},
        "refresh": {"type": "boolean", "default": False, "description": "make the change visible to searches at once"},
        "expect": {"type": "string", "enum": ["green", "yellow"], "description": "health: fail when it is worse"},
        "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "DELETE"], "default": "GET"},
        "path": {"type": "string", "maxLength": 1000, "pattern": r"^/[A-Za-z0-9._+*,/-]*\Z", "description": "of raw: /logs/_settings"},
        "parameters": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "description": "of raw: what stands behind the ?",
        },
        "allow_dangerous": {"type": "boolean", "default": False, "description": "indices, settings, users, scripts: yes, I mean it"},
        "read_only": {"type": "boolean", "default": False, "description": "refuse what could change something"},
        "timeout_seconds": {"type": "number", "minimum": 0.1, "maximum": 86400, "default": 60.0},
    },
}  # fmt: skip


def more(params: Mapping[str, Any]) -> None:
    """Raise Invalid for what the schema cannot say."""
    operation = params["operation"]
    known = _ALWAYS | set(_NEEDS[operation]) | _TAKES.get(operation, frozenset())
    for name, value in params.items():
        if name not in known and value != SCHEMA["properties"][name].get("default", params):
            raise Invalid(
                f"cannot {operation}: {name!r} does not belong to it",
                element=f"params.{name}",
                hint=f"it takes {', '.join(sorted(known - _ALWAYS)) or 'nothing'}",
            )
    for name in _NEEDS[operation]:
        if name not in params:
            raise Invalid(f"cannot {operation}: {name!r} is missing", element=f"params.{name}")
    if "query" in params and "body" in params:
        raise Invalid("cannot search by query and by body at once", element="params.body")
    if operation == "search" and not isinstance(params.get("body", {}), Mapping):
        raise Invalid("cannot search: expected an object as body", element="params.body")
    index = params.get("index", "")
    if operation in ("index", "get", "bulk") and any(c in index for c in "*,"):
        raise Invalid(f"cannot {operation} in {index!r}: expected one index", element="params.index")
    if operation == "bulk":
        _check_bulk(params)
    if operation == "delete_by_query" and not params.get("query") and not params.get("all"):
        raise Invalid(
            f"cannot delete_by_query without a query: that is every document of {index!r}",
            element="params.query",
            hint='name a query, or say "all": true when you mean it',
        )
    why = danger(params)
    if why and not params.get("allow_dangerous"):
        raise Invalid(
            f"cannot {operation}: {why}", element="params.allow_dangerous", hint="say allow_dangerous when you mean it"
        )
    if params.get("read_only") and changes({**params, "read_only": False}):
        raise Invalid(f"cannot {operation} in a read-only task: it may change something", element="params.read_only")


def changes(params: Mapping[str, Any]) -> bool:
    operation = params["operation"]
    if params.get("read_only") or operation in READS:
        return False
    return operation != "raw" or not _reads(params)


def danger(params: Mapping[str, Any]) -> str:
    """Why this needs allow_dangerous; empty when it does not."""
    if params["operation"] == "delete_by_query" and any(c in params.get("index", "") for c in "*,"):
        return f"{params['index']!r} may be more indices than you think of"
    if params["operation"] != "raw" or _reads(params):
        return ""
    method, words = params.get("method", "GET"), _words(params)
    apis = [word for word in words if word.startswith("_")]
    one = bool(words) and not words[0].startswith("_") and not any(c in words[0] for c in "*,")
    safe = (method != "DELETE" and (words == ["_bulk"] or (one and len(apis) == 1 and apis[0] in SAFE_APIS))) or (
        method == "PUT" and one and len(words) == 1
    )
    if safe or (method == "DELETE" and one and len(words) == 3 and words[1] == "_doc"):
        return ""
    return f"{method} {params['path']} changes more than documents of one index"


def line(params: Mapping[str, Any]) -> str:
    if params["operation"] == "raw":
        return f"raw {params.get('method', 'GET')} {params['path']}"
    if params["operation"] == "bulk":
        return f"bulk of {len(params.get('operations', ()))} {params.get('index', '')}".strip()
    return f"{params['operation']} {params.get('index', '')}".strip()


def _reads(params: Mapping[str, Any]) -> bool:
    method, words = params.get("method", "GET"), _words(params)
    if method in ("GET", "HEAD"):
        return True
    apis = [word for word in words if word.startswith("_")]
    return method == "POST" and len(apis) == 1 and apis[0] in READ_APIS and words[0] != "_scripts"


def _words(params: Mapping[str, Any]) -> list[str]:
    path = str(params.get("path", ""))
    if ".." in path or "//" in path:
        raise Invalid(f"cannot ask for {path[:80]!r}: expected a plain path", element="params.path")
    return [word for word in path.split("/") if word]


def _check_bulk(params: Mapping[str, Any]) -> None:
    for number, each in enumerate(params["operations"]):
        element = f"params.operations[{number}]"
        if "index" not in each and "index" not in params:
            raise Invalid("cannot bulk: neither the task nor the operation names an index", element=f"{element}.index")
        if (each["action"] == "delete") == ("document" in each):
            expected = "no document" if each["action"] == "delete" else "a document"
            raise Invalid(f"cannot {each['action']}: expected {expected}", element=f"{element}.document")
        if each["action"] in ("update", "delete") and "id" not in each:
            raise Invalid(f"cannot {each['action']}: expected an id", element=f"{element}.id")


KIND: Final = ExecutorKind(
    name="elasticsearch",
    summary="Searches and writes on Elasticsearch or OpenSearch",
    module="corral.agent.executors.elasticsearch",
    permission="search.run",
    schema=SCHEMA,
    line=line,
    engines=("elasticsearch", "opensearch"),
    changes=changes,
    more=more,
)
