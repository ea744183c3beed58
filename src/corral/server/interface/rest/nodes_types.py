"""What the nodes part of REST takes and gives. Times are RFC 3339 in UTC unless a name says `at` in epoch seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from corral.domain.node import Node, Presence, Relabelling, relabelling
from corral.domain.presence_log import Stretch
from corral.runtime.clock import iso
from corral.server.application.nodes.presence import Vitals
from corral.server.application.ports.nodes import Credentials, JoinToken


class NodeView(msgspec.Struct, kw_only=True):
    """A node. `worker`: up, down, or unknown while the node is not online. Facts are the node's own claim."""

    id: str
    presence: str
    presence_since: str | None
    presence_reason: str
    worker: str
    labels: dict[str, str]
    groups: list[str]
    facts: dict[str, Any]
    last_seen: str | None
    enrolled_at: str | None
    version: str
    revoked: bool
    revoked_reason: str
    resource_version: int
    vitals: dict[str, Any] | None = None
    """What its last beat said: tasks running and queued, slots, spool, clock skew."""
    warning: str = ""
    """What somebody should look into, such as a credential in use twice."""


class NodePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Labels merge, null removes one. `groups` replaces them all; `add_groups` and `remove_groups` leave the others as they are."""

    labels: dict[str, str | None] | None = None
    groups: list[str] | None = None
    add_groups: list[str] | None = None
    remove_groups: list[str] | None = None

    def change(self) -> Relabelling:
        """Raises Invalid when nothing is said."""
        return relabelling(
            labels=self.labels,
            groups=self.groups,
            add_groups=self.add_groups,
            remove_groups=self.remove_groups,
        )


class NodesPatch(NodePatch, kw_only=True, forbid_unknown_fields=True):
    selector: str


class Revocation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`reason` is shown with the node."""

    reason: str


class SampleView(msgspec.Struct, kw_only=True):
    """`at` in epoch seconds by the server's clock."""

    at: float
    values: dict[str, float]


class SamplesView(msgspec.Struct, kw_only=True):
    samples: list[SampleView]


class StretchView(msgspec.Struct, kw_only=True):
    """A time in which the node's presence did not change; `until` null is still going on."""

    presence: str
    worker: str
    since: str | None
    until: str | None
    reason: str


def stretch_view(stretch: Stretch) -> StretchView:
    return StretchView(
        presence=stretch.presence.value,
        worker="unknown" if stretch.presence is not Presence.ONLINE else "down" if stretch.worker_down else "up",
        since=iso(stretch.since),
        until=iso(stretch.until),
        reason=stretch.reason,
    )


class SelectorQuestion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    selector: str


class Resolved(msgspec.Struct, kw_only=True):
    """Whom a selector picks. `unknown`: ids it names that no node has."""

    nodes: list[str]
    online: int
    offline: list[str]
    unknown: list[str]


class ExplainQuestion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    selector: str
    node: str


class ClauseView(msgspec.Struct, kw_only=True):
    """One clause, whether the node meets it, and what the node has."""

    text: str
    value: bool
    actual: str


class Explained(msgspec.Struct, kw_only=True):
    matches: bool
    clauses: list[ClauseView]


class TokenOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    uses: int = 1
    ttl_seconds: float = 3600.0
    labels: dict[str, str] | None = None
    groups: list[str] | None = None
    node_id: str | None = None


class TokenView(msgspec.Struct, kw_only=True):
    """`token` is the secret itself and `server_url` where nodes use it: only in the answer that made it."""

    id: str
    uses: int
    used: int
    uses_left: int
    expires_at: str | None
    created_at: str | None
    created_by: str
    labels: dict[str, str]
    groups: list[str]
    node_id: str | None
    revoked: bool
    token: str | None = None
    server_url: str | None = None


class ChallengeOrder(msgspec.Struct, kw_only=True):
    """`token` is its id only (empty for a renewal); nothing is looked up by it."""

    node_id: str
    token: str = ""


class Challenge(msgspec.Struct, kw_only=True):
    nonce: str


class EnrolOrder(msgspec.Struct, kw_only=True):
    """`proof`: hex HMAC-SHA256 of the text under sha256(secret); signatures: base64 Ed25519 of the same text."""

    token: str
    node_id: str
    nonce: str
    daemon_key: str
    worker_key: str
    proof: str
    daemon_signature: str
    worker_signature: str


class RenewOrder(msgspec.Struct, kw_only=True):
    node_id: str
    nonce: str
    daemon_key: str
    daemon_signature: str


class CredentialsView(msgspec.Struct, kw_only=True):
    """What a node lives on. `expires_at` in epoch seconds."""

    node_id: str
    daemon_jwt: str
    worker_jwt: str
    expires_at: float
    signing_keys: dict[str, str]
    engine_urls: list[str]
    engine_ca: str


def node_view(node: Node, vitals: Vitals | None = None, warning: str = "") -> NodeView:
    worker = "unknown"
    if node.presence is Presence.ONLINE:
        worker = "down" if node.worker_down else "up"
    return NodeView(
        id=node.id,
        presence=node.presence.value,
        presence_since=iso(node.presence_since),
        presence_reason=node.presence_reason,
        worker=worker,
        labels=dict(node.labels),
        groups=sorted(node.groups),
        facts=dict(node.facts),
        last_seen=iso(node.last_seen),
        enrolled_at=iso(node.enrolled_at),
        version=(vitals.version if vitals else "") or str(node.facts.get("agent_version", "")),
        revoked=node.revoked,
        revoked_reason=node.revoked_reason,
        resource_version=node.resource_version,
        vitals=None if vitals is None else msgspec.to_builtins(vitals),
        warning=warning,
    )


def token_view(token: JoinToken, text: str | None = None, server_url: str = "") -> TokenView:
    return TokenView(
        id=token.id,
        uses=token.uses,
        used=token.uses - token.uses_left,
        uses_left=token.uses_left,
        expires_at=iso(token.expires_at),
        created_at=iso(token.created_at),
        created_by=token.created_by,
        labels=dict(token.labels),
        groups=sorted(token.groups),
        node_id=token.node_id,
        revoked=token.revoked,
        token=text,
        server_url=server_url or None,
    )


def credentials_view(node_id: str, credentials: Credentials) -> CredentialsView:
    return CredentialsView(
        node_id=node_id,
        daemon_jwt=credentials.daemon_jwt,
        worker_jwt=credentials.worker_jwt,
        expires_at=credentials.expires_at.timestamp(),
        signing_keys=dict(credentials.signing_keys),
        engine_urls=list(credentials.engine_urls),
        engine_ca=credentials.engine_ca,
    )
