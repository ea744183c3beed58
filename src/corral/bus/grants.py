"""The complete list of what each account and each kind of credential may do at the engine (design section 12).

Two accounts, because inside ONE account subject permissions do not contain a JetStream client: a node could name another's
subject as the *reply* of an allowed request. CTL (the servers) owns every stream; NODES imports only the slice below, and its
default permissions deny everything. Rights of nodes live in these templates, never in a node's own token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.protocol import subjects

NODE: Final = "{{name()}}"
"""The engine puts the name of the credential here; the signer has checked it to be a node id."""

RESPONSE_THRESHOLD_NS: Final = 3_000_000_000
"""The engine forgets the reply of an `up` request after this; without it, beats that ask for a reply fill its memory."""

SUBSCRIPTIONS_MAX: Final = 64
PAYLOAD_BYTES_MAX: Final = 1 << 20
RESPONSES: Final = {"max": 64, "ttl": 120_000_000_000}

UNLIMITED: Final[Mapping[str, Any]] = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}
DENY_ALL: Final[Mapping[str, Any]] = {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}


def _up(kind: str, node: str) -> str:
    return subjects.up(node, "output.>" if kind == subjects.OUTPUT else kind)


_HEARS: Final = (f"{subjects.node_inbox(NODE)}.>", subjects.down(NODE, ">"), subjects.rpc(NODE, ">"))
_DAEMON: Final = tuple(_up(kind, NODE) for kind in subjects.DAEMON_UP)
_WORKER: Final = (*(_up(kind, NODE) for kind in subjects.WORKER_UP), subjects.OBJECT_READ)

PUBLISHES: Final[Mapping[str, tuple[str, ...]]] = {
    "daemon": _DAEMON,
    "worker": _WORKER,
    # A simulated node keeps one connection with both sets, so that 10,000 of them fit on one machine.
    "sim": (*_DAEMON, *_WORKER),
}
"""Role → everything a credential of this role may publish."""


def template(role: str, signing_key: str) -> dict[str, Any]:
    """The scoped signing key of a role: whoever it signs for gets exactly these rights."""
    return {
        "kind": "user_scope",
        "key": signing_key,
        "role": role,
        "template": {
            "pub": {"allow": list(PUBLISHES[role])},
            "sub": {"allow": list(_HEARS)},
            "resp": dict(RESPONSES),
            "subs": SUBSCRIPTIONS_MAX,
            "data": -1,
            "payload": PAYLOAD_BYTES_MAX,
            "allowed_connection_types": ["STANDARD"],
        },
    }


def _service(name: str, subject: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "subject": subject, "type": "service", **more}


CTL_EXPORTS: Final[Sequence[Mapping[str, Any]]] = (
    *(
        _service(f"up-{kind}", _up(kind, "*"), response_threshold=RESPONSE_THRESHOLD_NS)
        for kind in (*subjects.DAEMON_UP, *subjects.WORKER_UP)
    ),
    _service("object-read", subjects.OBJECT_READ, response_type="Stream"),
    {"name": "down", "subject": f"{subjects.DOWN}.>", "type": "stream"},
)
NODES_EXPORTS: Final[Sequence[Mapping[str, Any]]] = (_service("rpc", subjects.rpc("*", "*"), response_type="Stream"),)


def imports(exports: Sequence[Mapping[str, Any]], account: str) -> list[dict[str, Any]]:
    """What the other account writes to receive all of `exports`."""
    return [
        {"name": row["name"], "subject": row["subject"], "account": account, "type": row["type"]} for row in exports
    ]


def system_publishes() -> list[str]:
    """The verbs of our user in the system account: push claims, list connections, count messages. Nothing else."""
    return [
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.SERVER.PING.CONNZ",
        "$SYS.REQ.SERVER.*.CONNZ",
        "$SYS.REQ.SERVER.PING.STATSZ",
    ]


def system_hears(nodes_account: str) -> list[str]:
    return [
        f"{subjects.SYSTEM_INBOX}.>",
        f"$SYS.ACCOUNT.{nodes_account}.CONNECT",
        f"$SYS.ACCOUNT.{nodes_account}.DISCONNECT",
    ]
