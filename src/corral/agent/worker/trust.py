"""Who may tell this node anything: the pinned keys, the check of a signature, and a count of what was refused.

A subject proves nothing (a node can make the engine deliver foreign bytes here), so every message is checked over its exact
bytes before anything in it is believed. Refusals are counted by kind and logged at most once a minute; they are never answered.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from corral.protocol.signing import BadSignature, Verify, open_sealed
from corral.runtime.clock import Clock

log = logging.getLogger("corral.worker.trust")

_LOG_SECONDS: Final = 60.0
_KEYS_MAX: Final = 64


class Trust:
    def __init__(self, *, node_id: str, keys: Mapping[str, bytes], verify: Verify, clock: Clock) -> None:
        self._node_id = node_id
        self._verify = verify
        self._clock = clock
        self._logged_at = -_LOG_SECONDS
        self.keys = dict(keys)
        self.refused: Counter[str] = Counter()

    def open(self, wire: bytes, kind: str) -> dict[str, Any]:
        """The body of a signed message for this node. Raises BadSignature (also when it is another node's)."""
        found: list[Any] = []

        def key_id(body: bytes) -> str:
            # parsed once: these same bytes are what the signature then proves
            try:
                mapping = json.loads(body)
            except (ValueError, RecursionError):
                raise BadSignature("cannot read the message: not JSON") from None
            if not isinstance(mapping, dict):
                raise BadSignature("cannot read the message: not an object")
            found.append(mapping)
            return str(mapping.get("kid", ""))

        open_sealed(wire, kind, self.keys, key_id, self._verify)
        mapping: dict[str, Any] = found[0]
        if mapping.get("node") != self._node_id:
            raise BadSignature(f"cannot accept the message: it is for node {str(mapping.get('node'))[:64]!r}")
        return mapping

    def refuse(self, kind: str, why: object) -> None:
        """Count a message that is not to be believed."""
        self.refused[kind] += 1
        now = self._clock.monotonic()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log.warning(
                "Cannot accept a %s: %s; %d refused since start",
                kind,
                why,
                self.refused.total(),
                extra={"action": "refused", "kind": kind, "counts": dict(self.refused)},
            )

    def pin(self, announced: Mapping[str, str]) -> dict[str, bytes]:
        """Add keys that a signed answer announced; returns the new ones. What does not look like a key is left out."""
        new: dict[str, bytes] = {}
        for key_id, text in announced.items():
            try:
                public = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError, TypeError):
                continue
            # a known id never changes its key, and the set stays small whatever is announced
            if len(public) == 32 and key_id not in self.keys and len(self.keys) < _KEYS_MAX:
                self.keys[key_id] = new[key_id] = public
        return new
