"""Fetching a spec too large for a message: a sealed object whose digest and key came in the signed task.

The bucket is readable by every node, so nothing in it is believed: size and sha256 are of the sealed bytes and are checked
before they are opened, and the seal (AES-256-GCM) before a byte of the spec is read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from corral.agent.link.port import Link, LinkDown
from corral.domain.errors import CorralError
from corral.domain.job import SPEC_BYTES_MAX
from corral.protocol.subjects import OBJECT_READ
from corral.runtime import crypto

_NUID: Final = re.compile(r"[0-9A-Za-z]{1,64}\Z")
_SEALED_BYTES_MAX: Final = 2 * SPEC_BYTES_MAX
_BATCH: Final = 32


class BadObject(CorralError):
    """A sealed spec that is not what the signed task says it is."""


async def fetch_spec(link: Link, reference: Any) -> dict[str, Any]:
    """The spec behind {"nuid", "size", "sha256", "key", "nonce"}. Raises LinkDown (try again) or BadObject (never will)."""
    nuid, size, digest, key, nonce = _read_reference(reference)
    sealed = await _fetch(link, nuid, size)
    if hashlib.sha256(sealed).hexdigest() != digest:
        raise BadObject("cannot open the sealed spec: its digest is not the one the task was signed with")
    try:
        spec = json.loads(crypto.aes_gcm_open(key, nonce, sealed))
    except ValueError as error:
        raise BadObject(f"cannot open the sealed spec: {error}") from None
    if not isinstance(spec, dict):
        raise BadObject("cannot read the sealed spec: expected an object")
    return spec


def _read_reference(reference: Any) -> tuple[str, int, str, bytes, bytes]:
    try:
        nuid, size = reference["nuid"], reference["size"]
        digest = str(reference["sha256"]).lower().removeprefix("sha256:")
        key = base64.b64decode(reference["key"], validate=True)
        nonce = base64.b64decode(reference["nonce"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise BadObject("cannot read the task: its sealed spec is not fully described") from None
    if not (isinstance(nuid, str) and _NUID.match(nuid) and isinstance(size, int) and 0 < size <= _SEALED_BYTES_MAX):
        raise BadObject("cannot read the task: its sealed spec has an impossible name or size")
    return nuid, size, digest, key, nonce


async def _fetch(link: Link, nuid: str, size: int) -> bytes:
    parts: list[bytes] = []
    got, sequence = 0, 1
    while got < size:
        ask = json.dumps({"seq": sequence, "next_by_subj": f"$O.artifacts.C.{nuid}", "batch": _BATCH}).encode()
        before = got
        for message in await link.request_many(OBJECT_READ, ask):
            status = _header(message.headers, "Status")
            if status or not message.data:
                continue
            parts.append(message.data)
            got += len(message.data)
            sequence = max(sequence, int(_header(message.headers, "Nats-Sequence") or 0) + 1)
            if got > size:
                raise BadObject("cannot fetch the sealed spec: it is larger than the task says")
        if got == before:
            # not there (yet, or any more): the caller tries again until the task expires
            raise LinkDown(f"cannot fetch the sealed spec: {got} of {size} bytes are there")
    return b"".join(parts)


def _header(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "")
