"""What somebody without a signing key of the server can make: messages that look right in everything but the signature.

Each forger takes a genuine message and gives bytes that a careless node would believe. All of them would run `command`, withdraw
real work, or replace what the node trusts.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from corral.protocol.signing import seal
from corral.runtime import crypto

Forger = Callable[["Attacker", bytes], bytes]


@dataclass(frozen=True)
class OwnKey:
    """A key of the attacker's under any name it likes."""

    key_id: str
    seed: bytes

    @property
    def public(self) -> str:
        return base64.b64encode(crypto.ed25519_public(self.seed)).decode()

    def sign(self, data: bytes) -> bytes:
        return crypto.ed25519_sign(self.seed, data)


class Attacker:
    """`command` is the shell text that must never run."""

    def __init__(self, rng: random.Random, command: str) -> None:
        self.rng = rng
        self.command = command
        self.seed = os.urandom(32)

    def body(self, wire: bytes, **changes: Any) -> dict[str, Any]:
        """The genuine body with our command in it, and whatever else is to be changed."""
        body: dict[str, Any] = json.loads(wire.partition(b"\n")[2])
        if "spec" in body:
            body["spec"] = {"shell": self.command, "timeout_seconds": 30.0}
        return {**body, **changes}

    def job(self) -> str:
        """A job id nobody has seen."""
        return "J" + "".join(self.rng.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(18))

    def forge(self, wire: bytes) -> tuple[str, bytes]:
        """(name of the trick, bytes)"""
        trick = self.rng.choice(list(TRICKS))
        return trick, TRICKS[trick](self, wire)


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def altered(attacker: Attacker, wire: bytes) -> bytes:
    """The genuine signature over another command."""
    return wire.partition(b"\n")[0] + b"\n" + _encode(attacker.body(wire))


def altered_new_job(attacker: Attacker, wire: bytes) -> bytes:
    return wire.partition(b"\n")[0] + b"\n" + _encode(attacker.body(wire, job=attacker.job()))


def next_attempt(attacker: Attacker, wire: bytes) -> bytes:
    body = attacker.body(wire)
    return wire.partition(b"\n")[0] + b"\n" + _encode({**body, "attempt": int(body.get("attempt", 1)) + 1})


def unsigned(attacker: Attacker, wire: bytes) -> bytes:
    return _encode(attacker.body(wire, job=attacker.job()))


def zero_signature(attacker: Attacker, wire: bytes) -> bytes:
    return base64.b64encode(bytes(64)) + b"\n" + _encode(attacker.body(wire, job=attacker.job()))


def own_key_same_name(attacker: Attacker, wire: bytes) -> bytes:
    body = attacker.body(wire, job=attacker.job())
    return seal(OwnKey(str(body["kid"]), attacker.seed), "task", _encode(body))


def own_key_new_name(attacker: Attacker, wire: bytes) -> bytes:
    return seal(OwnKey("k9", attacker.seed), "task", _encode(attacker.body(wire, job=attacker.job(), kid="k9")))


def announced_key(attacker: Attacker, wire: bytes) -> bytes:
    """A sync answer that announces our key, signed with it."""
    key = OwnKey("k9", attacker.seed)
    body = attacker.body(wire)
    answer = {**body, "kid": "k9", "nonce": "00" * 16, "keys": {"k9": key.public}, "tasks": [], "v": 1}
    return seal(key, "sync", _encode(answer))


def wrapped_in_sync(attacker: Attacker, wire: bytes) -> bytes:
    """A sync answer of the real signature's owner, with a task of ours inside."""
    body = attacker.body(wire, nonce="00" * 16)
    return wire.partition(b"\n")[0] + b"\n" + _encode({**body, "tasks": [own_key_new_name(attacker, wire).decode()]})


def doubled_body(attacker: Attacker, wire: bytes) -> bytes:
    """The genuine message followed by ours: a parser that reads twice sees two different ones."""
    return wire + b"\n" + _encode(attacker.body(wire, job=attacker.job()))


def doubled_keys(attacker: Attacker, wire: bytes) -> bytes:
    """JSON with a key twice: which one counts depends on the parser, so the signature must cover both."""
    signature, _, body = wire.partition(b"\n")
    return signature + b"\n" + body[:-1] + b',"spec":' + _encode({"shell": attacker.command}) + b"}"


def truncated_signature(attacker: Attacker, wire: bytes) -> bytes:
    return wire.partition(b"\n")[0][:-4] + b"\n" + _encode(attacker.body(wire, job=attacker.job()))


def no_key_id(attacker: Attacker, wire: bytes) -> bytes:
    return wire.partition(b"\n")[0] + b"\n" + _encode(attacker.body(wire, job=attacker.job(), kid=""))


TRICKS: Mapping[str, Forger] = {
    forger.__name__: forger
    for forger in (
        altered,
        altered_new_job,
        next_attempt,
        unsigned,
        zero_signature,
        own_key_same_name,
        own_key_new_name,
        announced_key,
        wrapped_in_sync,
        doubled_body,
        doubled_keys,
        truncated_signature,
        no_key_id,
    )
}
