"""The spec of a job in its wire form, made once per job: inline JSON, or a sealed object when it is too large for a message.

1,000 tasks of one job differ only in node and attempt, so the JSON of the spec is text to be put between two others. A sealed
spec's key, nonce and name are derived from the signing key and the job, so that another server, or this one after a restart,
arrives at the same object: nothing is stored twice and no table has to remember keys. Nobody without the signing key can derive
them, and the name tells nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from corral.bus.port import Objects
from corral.domain.artifact import Blob, FileOp, FileSpec
from corral.domain.job import INLINE_BYTES_MAX, TaskSpec
from corral.domain.kinds import as_mapping, secret_names
from corral.protocol.signing import Signer, signed_bytes
from corral.protocol.subjects import ARTIFACTS
from corral.runtime.clock import Clock, SystemClock

CACHED_JOBS: Final = 1024
CACHED_BYTES: Final = 64 << 20
PIECE_BYTES: Final = 128 << 10
PLACED_SECONDS: Final = 10.0
"""How long the place of a blob is taken for granted: after a loss and another upload it is a new one."""

Place = Callable[[str, int], Awaitable[Blob]]
"""(digest, size) → where the sealed bytes lie, and their key."""


@dataclass(frozen=True, slots=True)
class WireSpec:
    """JSON text of `spec` and `must`, ready to be put into a TaskMessage.

    `labels`: the node's labels go with it; `private`: so do values that no cache keeps.
    """

    spec: str
    must: str
    labels: bool = False
    private: bool = False
    until: float | None = None


@dataclass(frozen=True, slots=True)
class _Seal:
    name: str
    key: bytes
    nonce: bytes


class WireSpecs:
    """Job → WireSpec, kept for the jobs that were used last. `place` says where the bytes of an artifact are."""

    def __init__(
        self, *, objects: Objects, signer: Signer, place: Place | None = None, clock: Clock | None = None
    ) -> None:
        self._objects = objects
        self._signer = signer
        self._place = place
        self._clock = clock or SystemClock()
        self._cache: OrderedDict[str, WireSpec] = OrderedDict()
        self._bytes = 0

    def cached(self, job: str) -> WireSpec | None:
        """Without waiting, or None: then `get` has to make it."""
        found = self._cache.get(job)
        if found is None or (found.until is not None and found.until <= self._clock.monotonic()):
            return None
        self._cache.move_to_end(job)
        return found

    async def get(self, job: str, spec: TaskSpec) -> WireSpec:
        """Raises BusError when a large spec could not be stored at the engine."""
        found = self.cached(job)
        if found is not None:
            return found
        labels, until = False, None
        if isinstance(spec, FileSpec):
            labels = spec.wants_labels
            if spec.op is FileOp.APPLY and self._place is not None:
                spec = replace(spec, blob=await self._place(spec.digest, spec.size))
                until = self._clock.monotonic() + PLACED_SECONDS
        mapping = as_mapping(spec)
        text = json.dumps(mapping, separators=(",", ":"))
        names = [f"spec.{name}" for name in mapping]
        private = bool(secret_names(spec)) or "connection" in mapping
        names += [name for name, wanted in (("labels", labels), ("private", private)) if wanted]
        must = json.dumps(names, separators=(",", ":"))
        if len(text) > INLINE_BYTES_MAX:
            text = await self._seal(job, text.encode())
        made = WireSpec(text, must, labels, private, until)
        self._keep(job, made)
        return made

    async def drop(self, job: str) -> None:
        """Forget a job that is over; its sealed object, if it had one, is removed."""
        kept = self._cache.pop(job, None)
        if kept is not None:
            self._bytes -= len(kept.spec)
        await self._objects.delete(ARTIFACTS, _seal_of(self._signer, job).name)

    async def _seal(self, job: str, plain: bytes) -> str:
        seal = _seal_of(self._signer, job)
        sealed = AESGCM(seal.key).encrypt(seal.nonce, plain, None)
        # Stored by another server, or by this one before a restart: nodes may be reading it, so it must not be replaced.
        nuid = await self._objects.nuid(ARTIFACTS, seal.name)
        if nuid is None:
            nuid = await self._objects.put(ARTIFACTS, seal.name, _pieces(sealed))
        described = {
            "nuid": nuid,
            "size": len(sealed),
            "sha256": hashlib.sha256(sealed).hexdigest(),
            "key": base64.b64encode(seal.key).decode(),
            "nonce": base64.b64encode(seal.nonce).decode(),
        }
        return json.dumps({"sealed": described}, separators=(",", ":"))

    def _keep(self, job: str, made: WireSpec) -> None:
        old = self._cache.pop(job, None)
        self._bytes += len(made.spec) - (0 if old is None else len(old.spec))
        self._cache[job] = made
        while len(self._cache) > CACHED_JOBS or (self._bytes > CACHED_BYTES and len(self._cache) > 1):
            _, old = self._cache.popitem(last=False)
            self._bytes -= len(old.spec)


def _seal_of(signer: Signer, job: str) -> _Seal:
    # Ed25519 signatures are deterministic, and no message of kind "seal" is ever sent: only the holder of the key gets here.
    material = hashlib.sha512(signer.sign(signed_bytes("seal", job.encode()))).digest()
    return _Seal(name=material[44:64].hex(), key=material[:32], nonce=material[32:44])


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
