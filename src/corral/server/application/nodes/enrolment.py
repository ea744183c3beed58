"""How a machine becomes a node, and how it stays one.

The node makes its own keys; no seed ever travels. It proves the join token's secret by HMAC and each key by a signature, all over
the server's nonce. The server checks, spends the token and inserts the node in one transaction (TokenStore.enrol), and signs two
credentials. Renewal needs no token: the daemon's key, signing a fresh nonce, is the proof; it works after expiry too, but not for
a revoked node.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import CorralError, Denied, Invalid, NotFound, TokenRefused, Unavailable
from corral.domain.ids import check_node_id
from corral.domain.node import Node
from corral.runtime import nkeys
from corral.runtime.clock import Clock
from corral.runtime.crypto import ed25519_verify
from corral.server.application.nodes.nonce import Nonces
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.tokens import parse_token
from corral.server.application.ports.nodes import CredentialIssuer, Credentials, JoinToken, NodeStore, TokenStore

ENROL: Final = "corral-enroll-v1"
RENEW: Final = "corral-renew-v1"

Verify = Callable[[bytes, bytes, bytes], bool]


@dataclass(frozen=True, kw_only=True)
class Application:
    """What a machine sends to join. `token` may be the whole text or its id; the secret is only ever proved."""

    token: str
    node_id: str
    nonce: str
    daemon_key: str
    worker_key: str
    proof: str
    daemon_signature: str
    worker_signature: str


@dataclass(frozen=True, kw_only=True)
class RenewalRequest:
    node_id: str
    nonce: str
    daemon_key: str
    daemon_signature: str


def enrolment_text(nonce: str, node_id: str, daemon_key: str, worker_key: str) -> bytes:
    """What proof and both signatures are made over."""
    return "\n".join((ENROL, nonce, node_id, daemon_key, worker_key)).encode()


def renewal_text(nonce: str, node_id: str) -> bytes:
    return "\n".join((RENEW, nonce, node_id)).encode()


def outgrown(nodes: int) -> bool:
    """Whether the engine has to be told again how many connections nodes may hold: at each power of two from 256."""
    return nodes >= 256 and nodes & (nodes - 1) == 0


class Enrolment:
    def __init__(
        self,
        *,
        fleet: Registry,
        stores: tuple[NodeStore, TokenStore],
        credentials: CredentialIssuer,
        nonces: Nonces,
        clock: Clock,
        verify: Verify = ed25519_verify,
    ) -> None:
        self._fleet = fleet
        self._store, self._tokens = stores
        self._credentials = credentials
        self._nonces = nonces
        self._clock = clock
        self._verify = verify

    def challenge(self, node_id: str) -> str:
        """A nonce for this node id. Asks nothing of the token, so it tells nothing about it."""
        return self._nonces.make(check_node_id(node_id))

    async def enrol(self, wish: Application) -> tuple[Node, Credentials]:
        """Raises TokenRefused (which way, in words), Conflict for a taken id, Denied for a revoked one, Invalid for bad input."""
        check_node_id(wish.node_id)
        self._nonces.check(wish.nonce, wish.node_id)
        text = enrolment_text(wish.nonce, wish.node_id, wish.daemon_key, wish.worker_key)
        self._check_signature("daemon", wish.daemon_key, wish.daemon_signature, text)
        self._check_signature("worker", wish.worker_key, wish.worker_signature, text)
        token = await self._tokens.get(_token_id(wish.token))
        self._check_token(token, wish, text)
        await self._refuse_revoked(wish.node_id)
        now = self._clock.now()
        node = Node(
            id=wish.node_id,
            labels=token.labels,
            groups=token.groups,
            enrolled_at=now,
            daemon_key=wish.daemon_key,
            worker_key=wish.worker_key,
        )
        await self._tokens.enrol(token.id, node, now=now)
        enrolled = self._fleet.upsert(await self._store.get(node.id))
        if outgrown(len(self._fleet)):
            with contextlib.suppress(Unavailable):  # an engine that is away reads the claims when it starts
                await self._credentials.apply_revocations(await self._store.revocations())
        return enrolled, self._issue(node)

    async def renew(self, wish: RenewalRequest) -> Credentials:
        """Fresh credentials for a node that proves its daemon key. Raises NotFound, Denied, TokenRefused."""
        check_node_id(wish.node_id)
        self._nonces.check(wish.nonce, wish.node_id)
        self._check_signature("daemon", wish.daemon_key, wish.daemon_signature, renewal_text(wish.nonce, wish.node_id))
        node = await self._store.get(wish.node_id)
        if node.revoked:
            raise _revoked(node)
        if not node.daemon_key or not hmac.compare_digest(node.daemon_key, wish.daemon_key):
            raise Denied(
                f"cannot renew the credential of {wish.node_id!r}: this is not the key it enrolled with",
                element="daemon_key",
                hint="enrol again with a join token: corral agent enroll --server URL --token T",
            )
        return self._issue(node)

    def _issue(self, node: Node) -> Credentials:
        return self._credentials.issue(
            node.id, daemon_key=node.daemon_key, worker_key=node.worker_key, now=self._clock.now()
        )

    def _check_signature(self, role: str, key: str, signature: str, text: bytes) -> None:
        try:
            kind, public = nkeys.decode_public(key)
        except CorralError:
            kind, public = "", b""
        if kind != "U":
            raise Invalid(
                f"cannot use the {role}'s key: expected a user nkey (U…)", element=f"{role}_key", hint="enrol again"
            )
        try:
            holds = self._verify(public, base64.b64decode(signature, validate=True), text)
        except (binascii.Error, ValueError):
            holds = False
        if not holds:
            raise TokenRefused(
                f"cannot enrol or renew: the {role}'s signature does not prove its key",
                element=f"{role}_signature",
                hint="ask for a new nonce and sign it with the node's own key",
            )

    def _check_token(self, token: JoinToken, wish: Application, text: bytes) -> None:
        """The proof first: only who knows the secret learns in which way the token is no good."""
        expected = hmac.new(token.proof_key, text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), wish.proof.lower().encode()):
            raise TokenRefused(
                f"cannot enrol with token {token.id!r}: its secret is wrong",
                element="token",
                hint="copy the whole token as 'corral token create' printed it",
            )
        again = "make a new one: corral token create"
        if token.revoked:
            raise TokenRefused(f"cannot enrol with token {token.id!r}: it was revoked", element="token", hint=again)
        if token.expires_at <= self._clock.now():
            raise TokenRefused(
                f"cannot enrol with token {token.id!r}: it expired at {token.expires_at:%Y-%m-%d %H:%M:%S} UTC",
                element="token",
                hint=again,
            )
        if token.node_id is not None and token.node_id != wish.node_id:
            raise TokenRefused(
                f"cannot enrol {wish.node_id!r} with token {token.id!r}: it is for node {token.node_id!r}",
                element="node_id",
                hint=f"enrol with --id {token.node_id}",
            )

    async def _refuse_revoked(self, node_id: str) -> None:
        try:
            node = await self._store.get(node_id)
        except NotFound:
            return
        if node.revoked:
            raise _revoked(node)


def _token_id(text: str) -> str:
    return parse_token(text).id if "." in text else text


def _revoked(node: Node) -> Denied:
    return Denied(
        f"cannot let {node.id!r} in: it was revoked ({node.revoked_reason or 'no reason given'})",
        element="node_id",
        hint=f"allow it again with: corral node reset {node.id}",
    )
