"""`corral agent renew`: a new credential for the keys we have, before or after the old one expired.

A short-lived process of its own, started by the daemon: the HTTP client's memory never stays in the daemon. Both links read the new
credential at their next connect.
"""

from __future__ import annotations

from corral.agent.config import Identity, StateDir, load_identity
from corral.agent.credentials import NodeKey, identity_from, renew_text
from corral.agent.rest import Server


def renew(state: StateDir) -> Identity:
    """Ask the server, save and return the identity. Raises what the server refused it for."""
    identity = load_identity(state)
    server = Server(identity.server_url, identity.ca_pem if identity.server_url.startswith("https:") else "")
    daemon, worker = NodeKey(identity.daemon_seed), NodeKey(identity.worker_seed)
    renewed = renewed_by(server, identity.node_id, daemon, worker, ca_pem=identity.ca_pem)
    renewed.save(state)
    return renewed


def renewed_by(server: Server, node_id: str, daemon: NodeKey, worker: NodeKey, *, ca_pem: str) -> Identity:
    nonce = server.nonce("", node_id)
    answer = server.post(
        "/enroll/renew",
        {
            "node_id": node_id,
            "nonce": nonce,
            "daemon_key": daemon.public,
            "daemon_signature": daemon.sign(renew_text(nonce, node_id)),
        },
    )
    return identity_from(answer, server_url=server.url, ca_pem=ca_pem, daemon=daemon, worker=worker)
