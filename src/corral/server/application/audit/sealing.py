"""Sealing the audit record once a second, by the lease holder alone, and taking away its oldest part when that is past its keep.

What is sealed is signed at once, so the end of the chain is never more than a second ahead of what can be proved. A chain that
was cut or made anew is not gone on with: entries are still recorded, and wait unsealed until somebody has looked.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from corral.domain.audit import Checkpoint, signed_bytes
from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.runtime.crypto import ed25519_verify
from corral.server.application.ports.audit import AuditChain, Witness

log = logging.getLogger("corral.audit")

SEAL_SECONDS: Final = 1.0
SEAL_MAX: Final = 500
RETIRE_MAX: Final = 2000
_SAY_AGAIN_SECONDS: Final = 60.0


class Ring(Protocol):
    """The server's Ed25519 keys."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...

    def public(self) -> Mapping[str, bytes]: ...


class Seals:
    """Signing checkpoints and judging signatures."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def sign(self, checkpoint: Checkpoint) -> Checkpoint:
        named = replace(checkpoint, key=self._ring.key_id)
        return replace(named, signature=base64.b64encode(self._ring.sign(signed_bytes(named))).decode())

    def trust(self, checkpoint: Checkpoint) -> bool:
        return signed_by(self._ring.public(), checkpoint)

    def public(self) -> Mapping[str, bytes]:
        return self._ring.public()


def signed_by(keys: Mapping[str, bytes], checkpoint: Checkpoint) -> bool:
    """Whether one of `keys` (id → 32 bytes) signed it."""
    public = keys.get(checkpoint.key)
    try:
        signature = base64.b64decode(checkpoint.signature, validate=True)
    except ValueError:
        return False
    return public is not None and ed25519_verify(public, signature, signed_bytes(checkpoint))


class Sealer:
    """A component. `token` is the fencing token while this server leads, None otherwise."""

    name = "audit_sealer"

    def __init__(
        self,
        *,
        chain: AuditChain,
        seals: Seals,
        witness: Witness,
        clock: Clock,
        token: Callable[[], int | None],
        seconds: float = SEAL_SECONDS,
    ) -> None:
        self._chain = chain
        self._seals = seals
        self._witness = witness
        self._clock = clock
        self._token = token
        self._seconds = seconds
        self._said_at = float("-inf")
        self.sealed = 0

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            await self._clock.sleep(self._seconds)
            try:
                await self.step()
            except (CorralError, OSError) as error:
                self._say(error)

    async def step(self) -> int:
        """Seal everything that is there; how many. Does nothing on a server that does not lead."""
        count, more = 0, True
        while more and (token := self._token()) is not None:
            witness = self._witness.load()
            done = await self._chain.seal(
                token,
                sign=self._seals.sign,
                trust=self._seals.trust,
                witness=witness if witness is not None and self._seals.trust(witness) else None,
                now=self._clock.now(),
                limit=SEAL_MAX,
            )
            if done.head is not None and done.head != witness:
                self._witness.keep(done.head)
            count, more = count + done.count, done.more
        self.sealed += count
        return count

    async def retire(self, before: datetime) -> int:
        """Remove what is older, in batches; only what was sealed goes, and the last entry stays."""
        total = 0
        while (token := self._token()) is not None:
            gone = await self._chain.retire(
                token, sign=self._seals.sign, before=before, now=self._clock.now(), limit=RETIRE_MAX
            )
            total += gone
            if gone < RETIRE_MAX:
                break
        return total

    def _say(self, error: Exception) -> None:
        now = self._clock.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            log.error("Cannot seal the audit record: %s", error, extra={"action": "audit_unsealed"})
