"""`corral agent enroll`: make this machine a node.

The token is `cj1.<id>.<secret>.<fingerprint of the CA>`. In order: the address is checked (http only to this machine), the CA is
found by its fingerprint, two keys are made and saved, and the server's nonce is answered with a proof of the secret and a signature
of each key. Neither the secret nor a seed is ever sent. If the answer is lost on the way, the next run asks with the same keys.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from corral.agent.config import DEFAULT_STATE, Identity, StateDir, load_identity
from corral.agent.credentials import NodeKey, enrol_text, identity_from, proof
from corral.agent.renew import renew, renewed_by
from corral.agent.rest import Server, parse_url
from corral.domain.errors import Conflict, CorralError, Invalid, NotFound, TokenRefused, Unavailable
from corral.domain.ids import check_node_id, node_id_from_host
from corral.runtime.clock import Clock
from corral.runtime.files import private_dir, write_atomic

_PENDING: Final = "enrolling.json"


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """What was asked for. `node_id` empty = from the host name."""

    server: str
    token: str = field(repr=False)
    state_dir: Path = DEFAULT_STATE
    node_id: str = ""
    reset: bool = False


@dataclass(frozen=True, kw_only=True)
class JoinToken:
    """A join token taken apart."""

    id: str
    secret: str = field(repr=False)
    pin: str


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """`fresh` False = this machine already was that server's node, and nothing changed but perhaps its credential."""

    identity: Identity
    fresh: bool


def parse_token(text: str) -> JoinToken:
    parts = text.strip().split(".")
    if len(parts) != 4 or parts[0] != "cj1" or not all(parts):
        raise Invalid(
            "cannot read the token: expected cj1.<id>.<secret>.<fingerprint>",
            element="token",
            hint="copy all of it, as corral token create printed it",
        )
    return JoinToken(id=parts[1], secret=parts[2], pin=parts[3])


def enroll(asked: Enrolment, clock: Clock) -> Enrolled:
    """Enrol, or find that it is done. Every refusal is an error with its remedy."""
    token = parse_token(asked.token)
    url = parse_url(asked.server)[0]
    state = StateDir(asked.state_dir)
    if not asked.reset and (there := _already(state, url, asked.node_id, clock)) is not None:
        return Enrolled(identity=there, fresh=False)
    node_id = check_node_id(asked.node_id or node_id_from_host(socket.gethostname()), element="--node-id")
    server = Server.pinned(url, token.pin)
    private_dir(state.root)
    daemon, worker, known = _keys(state, url, node_id, fresh=asked.reset)
    try:
        identity = _join(server, token, node_id, daemon, worker)
    except (TokenRefused, Conflict, Unavailable) as error:
        # The server may have taken an earlier request whose answer was lost: then it knows these very keys.
        again = _recover(server, node_id, daemon, worker) if known or isinstance(error, Unavailable) else None
        if again is None:
            raise
        identity = again
    identity.save(state)
    (state.root / _PENDING).unlink(missing_ok=True)
    return Enrolled(identity=identity, fresh=True)


def _already(state: StateDir, url: str, node_id: str, clock: Clock) -> Identity | None:
    """The identity in `state` when it is this server's; renewed when it has expired."""
    try:
        identity = load_identity(state)
    except NotFound:
        return None
    if identity.server_url != url or (node_id and identity.node_id != node_id):
        raise Conflict(
            f"cannot enrol: {str(state.root)!r} already is node {identity.node_id!r} of {identity.server_url}",
            element=str(state.root),
            hint="use another --state, or --reset to give that identity up",
        )
    return identity if identity.expires_at > clock.wall() else renew(state)


def _keys(state: StateDir, url: str, node_id: str, *, fresh: bool) -> tuple[NodeKey, NodeKey, bool]:
    """(daemon key, worker key, whether an earlier run may have sent them); on disk before the server hears of them."""
    pending = state.root / _PENDING
    if not fresh:
        try:
            saved = json.loads(pending.read_bytes())
            if saved["server"] == url and saved["node_id"] == node_id:
                return NodeKey(saved["daemon_seed"]), NodeKey(saved["worker_seed"]), True
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none, or of another attempt: new keys
    daemon, worker = NodeKey.new(), NodeKey.new()
    text = {"server": url, "node_id": node_id, "daemon_seed": daemon.seed, "worker_seed": worker.seed}
    write_atomic(pending, json.dumps(text).encode())
    return daemon, worker, False


def _join(server: Server, token: JoinToken, node_id: str, daemon: NodeKey, worker: NodeKey) -> Identity:
    nonce = server.nonce(token.id, node_id)
    text = enrol_text(nonce, node_id, daemon.public, worker.public)
    answer = server.post(
        "/enroll",
        {
            "token": token.id,
            "node_id": node_id,
            "nonce": nonce,
            "daemon_key": daemon.public,
            "worker_key": worker.public,
            "proof": proof(token.secret, text),
            "daemon_signature": daemon.sign(text),
            "worker_signature": worker.sign(text),
        },
    )
    return identity_from(answer, server_url=server.url, ca_pem=server.ca_pem, daemon=daemon, worker=worker)


def _recover(server: Server, node_id: str, daemon: NodeKey, worker: NodeKey) -> Identity | None:
    try:
        return renewed_by(server, node_id, daemon, worker, ca_pem=server.ca_pem)
    except CorralError:
        return None  # it does not know them; the first refusal is the one to show
