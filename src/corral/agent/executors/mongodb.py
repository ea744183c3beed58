"""The child of kind mongodb: one operation through pymongo, one line of extended JSON a document.

Cancel: every operation carries a comment of its own; SIGTERM has a second connection look for it and kill it (killOp).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from corral.agent.executors.contract import BadParams, Failed, MissingDriver, Request, emit, main, on_cancel, result
from corral.agent.executors.sqltls import tls_of
from corral.domain.executors.mongodb import KIND, changes

PORT: Final = 27017
CONNECT_SECONDS: Final = 10.0
_INSTALL: Final = "pip install 'corral[executors]'   (or: pip install pymongo)"


def run(request: Request) -> None:
    try:
        import pymongo
        from bson import json_util
        from pymongo.errors import PyMongoError
    except ImportError:
        raise MissingDriver("cannot speak to MongoDB: pymongo is not installed", hint=_INSTALL) from None
    connection = request.connection or {}
    mark = f"corral {os.getpid()} {os.urandom(6).hex()}"
    options = _options(connection, min(CONNECT_SECONDS, request.deadline_seconds))
    try:
        with pymongo.MongoClient(**options) as client:
            on_cancel(lambda: _kill(pymongo.MongoClient, options, mark))
            database = client[connection.get("database") or "test"]
            params = json_util.loads(json.dumps(dict(request.params)))
            # by itself, because the time limit below would stand in for how long a server is looked for
            client.admin.command("ping")
            # for writes too, which take no maxTimeMS of their own
            with pymongo.timeout(request.params["max_time_seconds"]):
                Operation(database, params, mark, json_util).perform(dry_run=request.dry_run)
    except PyMongoError as error:
        raise Failed(f"cannot {request.params['operation']}: {_said(error)}") from None


class Operation:
    """One operation on one database."""

    def __init__(self, database: Any, params: Mapping[str, Any], mark: str, json_util: Any) -> None:
        self._database = database
        self._params = params
        self._mark = mark
        self._json = json_util
        self._milliseconds = int(params["max_time_seconds"] * 1000)

    def perform(self, *, dry_run: bool) -> None:
        name = self._params["operation"]
        if dry_run and changes(self._params):
            self._foretell(name)
        else:
            getattr(self, f"_{name}")()

    @property
    def _collection(self) -> Any:
        return self._database[self._params["collection"]]

    def _foretell(self, name: str) -> None:
        """What a write would touch; nothing is written."""
        if name == "command" or (name == "insert" and "documents" not in self._params):
            raise BadParams(f"cannot try {name} out: only the database knows what it changes", element="dry_run")
        if name == "aggregate":
            # all but its last stage, which is the one that writes ($out, $merge)
            counted = list(
                self._collection.aggregate([*self._params["pipeline"][:-1], {"$count": "n"}], comment=self._mark)
            )
            count = counted[0]["n"] if counted else 0
        elif name == "insert":
            count = len(self._params["documents"])
        else:
            count = self._collection.count_documents(self._params.get("filter", {}), maxTimeMS=self._milliseconds)
            count = min(count, 1) if self._params["one"] else count
        emit(f"would {name} {count} document{'' if count == 1 else 's'} of {self._params['collection']}")
        result({"dry_run": True, "matched": count})

    def _find(self) -> None:
        cursor = self._collection.find(
            self._params.get("filter", {}),
            self._params.get("projection"),
            sort=[tuple(pair) for pair in self._params.get("sort", [])] or None,
            skip=self._params.get("skip", 0),
            limit=self._params["row_cap"] + 1,
            max_time_ms=self._milliseconds,
            comment=self._mark,
        )
        self._show(cursor)

    def _aggregate(self) -> None:
        cursor = self._collection.aggregate(
            self._params["pipeline"], maxTimeMS=self._milliseconds, comment=self._mark, allowDiskUse=True
        )
        self._show(cursor)

    def _distinct(self) -> None:
        values = self._collection.distinct(
            self._params["field"], self._params.get("filter", {}), maxTimeMS=self._milliseconds, comment=self._mark
        )
        self._show(values)

    def _count(self) -> None:
        count = self._collection.count_documents(
            self._params.get("filter", {}), maxTimeMS=self._milliseconds, comment=self._mark
        )
        emit(str(count))
        result({"count": count})

    def _indexes(self) -> None:
        self._show(self._collection.list_indexes())

    def _collections(self) -> None:
        self._show(self._database.list_collections())

    def _insert(self) -> None:
        done = self._collection.insert_many(self._params["documents"], comment=self._mark)
        emit(f"inserted {len(done.inserted_ids)}")
        result({"inserted": len(done.inserted_ids)})

    def _update(self) -> None:
        change = self._collection.update_one if self._params["one"] else self._collection.update_many
        done = change(
            self._params.get("filter", {}), self._params["update"], upsert=self._params["upsert"], comment=self._mark
        )
        emit(f"matched {done.matched_count}, modified {done.modified_count}")
        result(
            {"matched": done.matched_count, "modified": done.modified_count, "upserted": done.upserted_id is not None}
        )

    def _delete(self) -> None:
        remove = self._collection.delete_one if self._params["one"] else self._collection.delete_many
        done = remove(self._params.get("filter", {}), comment=self._mark)
        emit(f"deleted {done.deleted_count}")
        result({"deleted": done.deleted_count})

    def _command(self) -> None:
        self._show([self._database.command(dict(self._params["command"]))])

    def _show(self, documents: Iterable[Any]) -> None:
        cap, shown, truncated = self._params["row_cap"], 0, False
        for document in documents:
            if shown == cap:
                truncated = True
                break
            emit(self._json.dumps(document, json_options=self._json.RELAXED_JSON_OPTIONS))
            shown += 1
        if truncated:
            emit(f"… more than {cap} rows; raise row_cap to see them")
        result({"rows": shown, "truncated": truncated})


def _options(connection: Mapping[str, Any], patience_seconds: float) -> dict[str, Any]:
    """What MongoClient takes. Raises BadParams."""
    extra = dict(connection.get("options") or {})
    options: dict[str, Any] = {
        "host": connection.get("host") or "127.0.0.1",
        "port": int(connection.get("port") or PORT),
        "appname": "corral",
        "serverSelectionTimeoutMS": int(patience_seconds * 1000),
        "connectTimeoutMS": int(patience_seconds * 1000),
    }
    if connection.get("user"):
        options |= {"username": connection["user"], "password": connection.get("password") or ""}
        options["authSource"] = extra.pop("auth_source", "admin")
    if "replica_set" in extra:
        options["replicaSet"] = extra.pop("replica_set")
    else:
        options["directConnection"] = True
    if extra:
        raise BadParams(
            f"cannot use option {next(iter(extra))!r} of the connection",
            element="connection.options",
            hint="known: auth_source, replica_set",
        )
    tls = tls_of(connection)
    if connection.get("tls") and tls.mode != "off":
        options |= {"tls": True, "tlsAllowInvalidCertificates": tls.mode != "verify", "tlsCAFile": tls.ca}
        if tls.cert:
            options["tlsCertificateKeyFile"] = tls.cert if tls.key is None else _one_file(tls.cert, tls.key)
    return options


def _one_file(*paths: str) -> str:
    """Their contents one after the other, as the driver wants certificate and key; in memory, gone with this process."""
    descriptor = os.memfd_create("tls", 0)
    for path in paths:
        try:
            with open(path, "rb") as file:
                os.write(descriptor, file.read().rstrip() + b"\n")
        except OSError as error:
            raise BadParams(f"cannot read {path!r}: {error.strerror}", element="connection.tls") from None
    return f"/proc/self/fd/{descriptor}"


def _kill(client_of: Any, options: Mapping[str, Any], mark: str) -> None:
    """End what runs under our mark. Needs the privilege killop, which a user has for its own operations."""
    with client_of(**{**options, "serverSelectionTimeoutMS": 2000}) as client:
        running = client.admin.command("currentOp", {"command.comment": mark})
        for operation in running.get("inprog", ()):
            client.admin.command("killOp", op=operation["opid"])


def _said(error: Exception) -> str:
    """The first line of a driver's error, without the topology it appends."""
    return str(error).partition(", full error:")[0].partition(", Timeout:")[0].splitlines()[0][:500]


if __name__ == "__main__":
    main(KIND, run)
