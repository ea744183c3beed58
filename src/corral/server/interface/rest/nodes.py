"""REST of the nodes room: nodes, join tokens, enrolment. Handlers decode, call one use case, encode."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from litestar.connection import Request
from litestar.response import Stream

from corral.domain.errors import Invalid
from corral.domain.node import Node, Presence
from corral.server.application.access.scope import Nodes
from corral.server.application.nodes.enrolment import Application, RenewalRequest
from corral.server.application.nodes.room import NodeRoom
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.nodes_types import (
    Challenge,
    ChallengeOrder,
    ClauseView,
    CredentialsView,
    EnrolOrder,
    Explained,
    ExplainQuestion,
    NodePatch,
    NodesPatch,
    NodeView,
    RenewOrder,
    Resolved,
    Revocation,
    SamplesView,
    SampleView,
    SelectorQuestion,
    StretchView,
    TokenOrder,
    TokenView,
    credentials_view,
    node_view,
    stretch_view,
    token_view,
)
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.sse import SseEvent, json_event, sse

PAGE: Final = 500
PAGE_MAX: Final = 1000


def _view(nodes: NodeRoom, node: Node) -> NodeView:
    return node_view(node, nodes.presence.vitals(node.id), nodes.presence.warning(node.id))


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_nodes(
    nodes: NodeRoom,
    caller: Caller,
    selector: str | None = None,
    presence: Presence | None = None,
    limit: int = PAGE,
    cursor: str | None = None,
) -> Envelope[list[NodeView]]:
    """Nodes by id, those inside the caller's grants. A selector that picks none gives an empty list; `presence` narrows to exactly that."""
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(f"cannot use {limit} as limit: expected 1 to {PAGE_MAX}", element="limit")
    page, more = nodes.sight.page(caller, selector or "all", presence=presence, after=cursor or "", limit=limit)
    return ok([_view(nodes, node) for node in page], next=page[-1].id if more else None)


async def get_node(nodes: NodeRoom, caller: Caller, node: str) -> Envelope[NodeView]:
    return ok(_view(nodes, nodes.sight.get(caller, node)))


async def patch_node(
    nodes: NodeRoom, caller: Caller, node: str, data: NodePatch, request: Request[Any, Any, Any]
) -> Envelope[NodeView]:
    """Change labels and groups. `If-Match: <resource_version>` refuses when it changed meanwhile (409)."""
    if_match = _if_match(request.headers.get("if-match"))
    changed = await nodes.labels.set_node(caller, node, data.change(), if_match=if_match)
    return ok(_view(nodes, changed))


async def patch_nodes(nodes: NodeRoom, caller: Caller, data: NodesPatch) -> Envelope[list[NodeView]]:
    """The same for every node a selector picks."""
    changed = await nodes.labels.set_selected(caller, data.selector, data.change())
    return ok([_view(nodes, node) for node in changed])


async def delete_node(nodes: NodeRoom, caller: Caller, node: str, force: bool = False) -> Envelope[None]:
    """Forget a node and cut its link. With open tasks only by force: they end as lost."""
    await nodes.removal.remove(caller, node, force=force)
    nodes.samples.forget(node)
    return ok(None)


async def revoke_node(nodes: NodeRoom, caller: Caller, node: str, data: Revocation) -> Envelope[NodeView]:
    """Cut a node off now; it stays listed, with the reason."""
    return ok(_view(nodes, await nodes.removal.revoke(caller, node, reason=data.reason)))


async def reset_node(nodes: NodeRoom, caller: Caller, node: str) -> Envelope[NodeView]:
    """Let this id enrol again with new keys."""
    return ok(_view(nodes, await nodes.removal.reset(caller, node)))


async def node_metrics(nodes: NodeRoom, caller: Caller, node: str) -> Envelope[SamplesView]:
    """The samples of the last hour, oldest first."""
    nodes.sight.get(caller, node)
    samples = [SampleView(at=sample.at, values=dict(sample.values)) for sample in nodes.samples.read(node)]
    return ok(SamplesView(samples=samples))


async def node_presence(
    nodes: NodeRoom, caller: Caller, node: str, limit: int = 200, cursor: str | None = None
) -> Envelope[list[StretchView]]:
    """When the node was there, newest first; kept as long as jobs. What is past may be up to 30 seconds behind."""
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(f"cannot use {limit} as limit: expected 1 to {PAGE_MAX}", element="limit")
    found, more = await nodes.timeline.read(caller, node, limit=limit, cursor=cursor)
    return ok([stretch_view(stretch) for stretch in found], next=more)


async def node_status(nodes: NodeRoom, caller: Caller, node: str) -> Envelope[dict[str, Any]]:
    """What the node's agent says of itself right now."""
    return ok(dict(await nodes.status(caller, node)))


async def resolve(nodes: NodeRoom, caller: Caller, data: SelectorQuestion) -> Envelope[Resolved]:
    """Whom a selector picks now, inside the caller's grants; an empty set is an error (1006)."""
    chosen, unknown = nodes.sight.resolve(caller, data.selector)
    online = nodes.fleet.online(chosen)
    return ok(
        Resolved(
            nodes=list(chosen),
            online=len(online),
            offline=[node for node in chosen if node not in online],
            unknown=list(unknown),
        )
    )


async def explain(nodes: NodeRoom, caller: Caller, data: ExplainQuestion) -> Envelope[Explained]:
    """Which clauses of a selector a node meets."""
    matches, clauses = nodes.sight.explain(caller, data.selector, data.node)
    views = [ClauseView(text=clause.text, value=clause.value, actual=clause.actual) for clause in clauses]
    return ok(Explained(matches=matches, clauses=views))


async def node_events(nodes: NodeRoom, caller: Caller) -> Stream:
    """`node` with the whole node at every change, `removed` with its id. A slow reader gets the newest state, never a backlog.

    Of nodes inside the caller's grants; one that leaves them is removed for him.
    """
    return sse(changes(nodes, caller))


def changes(nodes: NodeRoom, caller: Caller) -> AsyncGenerator[SseEvent, None]:
    return _changes(nodes, caller, nodes.sight.allowed(caller))


async def _changes(nodes: NodeRoom, caller: Caller, allowed: Nodes) -> AsyncGenerator[SseEvent, None]:
    sight = nodes.sight
    with nodes.fleet.subscribe() as subscription:
        while True:
            changed = await subscription.next()
            before, allowed = allowed, sight.allowed(caller)
            for name, node in changed.items():
                if node is not None and name in allowed:
                    yield json_event("node", _view(nodes, node))
                elif name in before:
                    yield json_event("removed", {"id": name})


def _if_match(header: str | None) -> int | None:
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(
            f"cannot use {header[:40]!r} as If-Match: expected the node's resource_version",
            element="If-Match",
            hint="read the node again and send its resource_version",
        )
    return int(text)


# ── join tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def create_token(nodes: NodeRoom, caller: Caller, data: TokenOrder) -> Envelope[TokenView]:
    """A token that enrols nodes. The answer holds the secret, once."""
    token, text = await nodes.tokens.create(
        caller,
        uses=data.uses,
        ttl_seconds=data.ttl_seconds,
        labels=data.labels,
        groups=data.groups or (),
        node_id=data.node_id,
    )
    return ok(token_view(token, text, nodes.tokens.server_url))


async def list_tokens(nodes: NodeRoom, caller: Caller) -> Envelope[list[TokenView]]:
    return ok([token_view(token) for token in await nodes.tokens.list(caller)])


async def revoke_token(nodes: NodeRoom, caller: Caller, token: str) -> Envelope[None]:
    """No node enrols with it any more; those that did stay."""
    await nodes.tokens.revoke(caller, token)
    return ok(None)


# ── enrolment (public: the proof is the credential) ──────────────────────────────────────────────────────────────────


async def enroll_challenge(nodes: NodeRoom, data: ChallengeOrder) -> Envelope[Challenge]:
    """A nonce for this node id, good for two minutes."""
    return ok(Challenge(nonce=nodes.enrolment.challenge(data.node_id)))


async def enroll(nodes: NodeRoom, data: EnrolOrder) -> Envelope[CredentialsView]:
    """Join the fleet with a token's proof and two keys."""
    wish = Application(
        token=data.token,
        node_id=data.node_id,
        nonce=data.nonce,
        daemon_key=data.daemon_key,
        worker_key=data.worker_key,
        proof=data.proof,
        daemon_signature=data.daemon_signature,
        worker_signature=data.worker_signature,
    )
    node, credentials = await nodes.enrolment.enrol(wish)
    return ok(credentials_view(node.id, credentials))


async def enroll_renew(nodes: NodeRoom, data: RenewOrder) -> Envelope[CredentialsView]:
    """Fresh credentials for a node that proves its daemon key; before expiry and after."""
    wish = RenewalRequest(
        node_id=data.node_id, nonce=data.nonce, daemon_key=data.daemon_key, daemon_signature=data.daemon_signature
    )
    return ok(credentials_view(data.node_id, await nodes.enrolment.renew(wish)))


def _route(method: str, path: str, permission: str | None, handler: Any, summary: str, **more: Any) -> Route:
    tags = ("enrolment",) if "enroll" in path or "token" in path else ("nodes",)
    return Route(method=method, path=path, permission=permission, handler=handler, summary=summary, tags=tags, **more)


ROUTES: Final[tuple[Route, ...]] = (
    _route("GET", "/nodes", "node.read", list_nodes, "List nodes"),
    _route("PATCH", "/nodes", "node.write", patch_nodes, "Set labels and groups of selected nodes"),
    _route("GET", "/nodes/events", "node.read", node_events, "Follow changes of nodes", raw=True),
    _route("POST", "/nodes/resolve", "node.read", resolve, "Whom a selector picks"),
    _route("POST", "/nodes/explain", "node.read", explain, "Why a selector picks a node or not"),
    _route("GET", "/nodes/{node}", "node.read", get_node, "Show a node"),
    _route("PATCH", "/nodes/{node}", "node.write", patch_node, "Set labels and groups of a node"),
    _route("DELETE", "/nodes/{node}", "node.remove", delete_node, "Remove a node"),
    _route("POST", "/nodes/{node}/revoke", "node.write", revoke_node, "Revoke a node's credentials"),
    _route("POST", "/nodes/{node}/reset", "node.write", reset_node, "Let a node enrol with new keys"),
    _route("GET", "/nodes/{node}/metrics", "node.read", node_metrics, "Metrics of the last hour"),
    _route("GET", "/nodes/{node}/presence", "node.read", node_presence, "When a node was there"),
    _route("GET", "/nodes/{node}/status", "node.read", node_status, "Ask the live node"),
    _route("POST", "/tokens", "token.write", create_token, "Create a join token", status=201),
    _route("GET", "/tokens", "token.read", list_tokens, "List join tokens"),
    _route("DELETE", "/tokens/{token}", "token.write", revoke_token, "Revoke a join token"),
    _route("POST", "/enroll/challenge", None, enroll_challenge, "Ask for a nonce"),
    _route("POST", "/enroll", None, enroll, "Enrol a node", audit=True),
    _route("POST", "/enroll/renew", None, enroll_renew, "Renew a node's credentials", audit=True),
)
