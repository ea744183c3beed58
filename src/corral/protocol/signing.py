"""Signed messages from server to node, and their checks.

Everything DOWN but the receipt is signed, and every rpc: a node can make the engine deliver foreign bytes on another node's
subjects by naming them as a reply, so the subject proves nothing. Ed25519 over the exact bytes `corral-v1\\n<kind>\\n` + body;
on the wire: base64 signature, newline, body. The body holds the key id, the node, issued and not-after.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Protocol

from corral.domain.errors import CorralError


class BadSignature(CorralError):
    """A message that is unsigned, altered, signed by a key this node does not pin, or not made for its kind."""

    code, http_status = 1003, 401


class Signer(Protocol):
    """Holds one Ed25519 private key. `key_id` is what bodies name."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...


Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key of 32 bytes, signature of 64 bytes, data) → whether it holds. runtime.crypto.ed25519_verify is one."""


def signed_bytes(kind: str, body: bytes) -> bytes:
    return b"corral-v1\n" + kind.encode() + b"\n" + body


def seal(signer: Signer, kind: str, body: bytes) -> bytes:
    """The wire form of `body` as a `kind`."""
    return base64.b64encode(signer.sign(signed_bytes(kind, body))) + b"\n" + body


def split(wire: bytes) -> tuple[bytes, bytes]:
    """(signature, body) of a wire form; raises BadSignature when it is not one."""
    text, newline, body = wire.partition(b"\n")
    if not newline or len(text) != 88:
        raise BadSignature("cannot read the message: it carries no signature")
    try:
        return base64.b64decode(text, validate=True), body
    except binascii.Error:
        raise BadSignature("cannot read the message: its signature is not base64") from None


def open_sealed(
    wire: bytes, kind: str, keys: Mapping[str, bytes], key_id: Callable[[bytes], str], verify: Verify
) -> bytes:
    """The body of `wire` if a pinned key signed it as a `kind`.

    `key_id` reads the key id out of the (not yet trusted) body; the signature over these exact bytes then decides.
    Raises BadSignature.
    """
    signature, body = split(wire)
    name = key_id(body)
    public = keys.get(name)
    if public is None:
        raise BadSignature(f"cannot trust the message: key {name!r} is not pinned here", element="kid")
    if not verify(public, signature, signed_bytes(kind, body)):
        raise BadSignature(f"cannot trust the message: its signature as {kind!r} does not hold", element="signature")
    return body
