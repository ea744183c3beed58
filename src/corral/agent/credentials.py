"""What both enrolling and renewing do with keys: make them, prove them, and turn the server's answer into an identity."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corral.agent.config import Identity
from corral.domain.errors import Unavailable
from corral.domain.ids import check_node_id
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.runtime.nkeys import decode_seed, encode_public, encode_seed


@dataclass(frozen=True)
class NodeKey:
    """One nkey of the user kind. The seed never leaves this machine."""

    seed: str = field(repr=False)

    @classmethod
    def new(cls) -> NodeKey:
        return cls(encode_seed("U", os.urandom(32)))

    @property
    def public(self) -> str:
        return encode_public("U", ed25519_public(decode_seed(self.seed)[1]))

    def sign(self, text: str) -> str:
        return base64.b64encode(ed25519_sign(decode_seed(self.seed)[1], text.encode())).decode()


def enrol_text(nonce: str, node_id: str, daemon_key: str, worker_key: str) -> str:
    return f"corral-enroll-v1\n{nonce}\n{node_id}\n{daemon_key}\n{worker_key}"


def renew_text(nonce: str, node_id: str) -> str:
    return f"corral-renew-v1\n{nonce}\n{node_id}"


def proof(secret: str, text: str) -> str:
    """Shows that we know the token's secret without saying it; the server keeps only its digest."""
    return hmac.new(hashlib.sha256(secret.encode()).digest(), text.encode(), hashlib.sha256).hexdigest()


def identity_from(
    answer: Mapping[str, Any], *, server_url: str, ca_pem: str, daemon: NodeKey, worker: NodeKey
) -> Identity:
    """Raises Unavailable when the answer is not one of a Corral server."""
    try:
        engine_ca = str(answer.get("engine_ca") or "")
        return Identity(
            node_id=check_node_id(answer["node_id"]),
            server_url=server_url,
            engine_urls=[str(url) for url in answer["engine_urls"]],
            daemon_seed=daemon.seed,
            worker_seed=worker.seed,
            daemon_jwt=str(answer["daemon_jwt"]),
            worker_jwt=str(answer["worker_jwt"]),
            expires_at=float(answer["expires_at"]),
            signing_keys={str(name): str(key) for name, key in answer["signing_keys"].items()},
            # One file of trust: the CA pinned for https, and the engine's when it has another.
            ca_pem=ca_pem if not engine_ca or engine_ca in ca_pem else ca_pem + engine_ca,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(
            f"cannot understand the server: its answer lacks {error}", element="server", hint="is this a Corral server?"
        ) from None
