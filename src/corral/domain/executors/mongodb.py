"""Kind mongodb: reads and writes on a MongoDB (or what speaks its protocol), sent by the node. Values are extended JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.executors.contract import ExecutorKind

ROW_CAP: Final = 1000
ROW_CAP_MAX: Final = 100_000
READS: Final = frozenset({"find", "aggregate", "count", "distinct", "indexes", "collections"})
WRITES: Final = frozenset({"insert", "update", "delete"})
READ_COMMANDS: Final = frozenset(
    {"buildInfo", "collStats", "connectionStatus", "dbStats", "explain", "getParameter", "hello", "hostInfo", "ping"}
    | {"listCollections", "listDatabases", "listIndexes", "replSetGetStatus", "serverStatus", "top"}
)
"""Commands of the database that change nothing."""
_WRITING_STAGES: Final = frozenset({"$out", "$merge"})
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "find": ("collection",),
    "aggregate": ("collection", "pipeline"),
    "count": ("collection",),
    "distinct": ("collection", "field"),
    "insert": ("collection", "documents"),
    "update": ("collection", "update"),
    "delete": ("collection",),
    "command": ("command",),
    "indexes": ("collection",),
    "collections": (),
}
_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "find": frozenset({"filter", "projection", "sort", "skip", "row_cap"}),
    "aggregate": frozenset({"row_cap"}),
    "count": frozenset({"filter"}),
    "distinct": frozenset({"filter", "row_cap"}),
    "update": frozenset({"filter", "one", "all", "upsert"}),
    "delete": frozenset({"filter", "one", "all"}),
}
_ALWAYS: Final = frozenset({"operation", "read_only", "max_time_seconds"})
_ANY_OBJECT: Final = {"type": "object"}

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["operation"],
    "properties": {
        "operation": {"type": "string", "enum": list(_NEEDS), "description": "what to do"},
        "collection": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^$\x00]+$"},
        "filter": {**_ANY_OBJECT, "format": "json", "description": "which documents; extended JSON"},
        "projection": {**_ANY_OBJECT, "format": "json", "description": "which fields"},
        "sort": {
            "type": "array",
            "items": {"type": "array", "minItems": 2, "maxItems": 2},
            "description": '[["at", -1]]',
        },
        "skip": {"type": "integer", "minimum": 0},
        "field": {"type": "string", "minLength": 1, "description": "of distinct"},
        "pipeline": {"type": "array", "items": _ANY_OBJECT, "maxItems": 100, "format": "json"},
        "documents": {"type": "array", "items": _ANY_OBJECT, "minItems": 1, "maxItems": 10_000, "format": "json"},
        "update": {
            "type": ["object", "array"],
            "format": "json",
            "description": "operators such as $set, or a pipeline",
        },
        "one": {"type": "boolean", "default": False, "description": "the first match only"},
        "all": {
            "type": "boolean",
            "default": False,
            "description": "yes, every document: the filter is empty on purpose",
        },
        "upsert": {"type": "boolean", "default": False},
        "command": {**_ANY_OBJECT, "format": "json", "description": "a database command, its name first"},
        "read_only": {"type": "boolean", "default": False, "description": "refuse what could change something"},
        "row_cap": {"type": "integer", "minimum": 1, "maximum": ROW_CAP_MAX, "default": ROW_CAP},
        "max_time_seconds": {"type": "number", "minimum": 0.1, "maximum": 86400, "default": 60.0},
    },
}


def more(params: Mapping[str, Any]) -> None:
    """Raise Invalid for what the schema cannot say."""
    operation = params["operation"]
    for name in _NEEDS[operation]:
        if name not in params:
            raise Invalid(f"cannot {operation}: {name!r} is missing", element=f"params.{name}")
    known = _ALWAYS | set(_NEEDS[operation]) | _TAKES.get(operation, frozenset())
    for name in params:
        part = SCHEMA["properties"][name]
        if name not in known and params[name] != part.get("default", params):
            raise Invalid(
                f"cannot {operation}: {name!r} does not belong to it",
                element=f"params.{name}",
                hint=f"it takes {', '.join(sorted(known - _ALWAYS))}",
            )
    if operation in ("update", "delete") and not params.get("filter") and not params.get("all"):
        raise Invalid(
            f"cannot {operation} without a filter: that is every document of {params['collection']!r}",
            element="params.filter",
            hint='name a filter, or say "all": true when you mean it',
        )
    if operation == "update":
        _check_update(params["update"])
    if operation == "command" and not params["command"]:
        raise Invalid("cannot run an empty command: expected its name as the first key", element="params.command")
    if params.get("read_only") and changes({**params, "read_only": False}):
        raise Invalid(
            f"cannot {operation} in a read-only task: it may change something",
            element="params.read_only",
            hint="leave read_only away, and have it approved if your rules ask for that",
        )


def _check_update(update: Any) -> None:
    if isinstance(update, Mapping) and not (update and all(str(key).startswith("$") for key in update)):
        raise Invalid(
            "cannot update: without operators the document would be replaced as a whole",
            element="params.update",
            hint='example: {"$set": {"state": "done"}}',
        )


def changes(params: Mapping[str, Any]) -> bool:
    operation = params["operation"]
    if params.get("read_only"):
        return False
    if operation == "command":
        return next(iter(params.get("command", {})), "") not in READ_COMMANDS
    if operation == "aggregate":
        return any(stage in _WRITING_STAGES for part in params.get("pipeline", ()) for stage in part)
    return operation in WRITES


def line(params: Mapping[str, Any]) -> str:
    name = params.get("collection") or next(iter(params.get("command", {})), "")
    return f"{params['operation']} {name}".strip() + (" (read only)" if params.get("read_only") else "")


KIND: Final = ExecutorKind(
    name="mongodb",
    summary="Reads and writes on a MongoDB database",
    module="corral.agent.executors.mongodb",
    permission="document.run",
    schema=SCHEMA,
    line=line,
    engines=("mongodb",),
    changes=changes,
    more=more,
)
