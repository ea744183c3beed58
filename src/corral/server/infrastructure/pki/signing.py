"""The keys that sign everything the server sends down. Nodes pin the public halves at enrolment.

One file (0600): {"version": 1, "active": kid, "keys": {kid: {"seed": base64, "made_at": epoch}}}. A rotation adds a key and keeps
the old ones announced: nodes learn the new key from an answer signed with the old one, so the new one becomes active only after
the overlap (seven days), and whoever was offline longer still pins an announced old one until it is dropped.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.domain.errors import Conflict, Invalid, WrongState
from corral.runtime.clock import Clock
from corral.runtime.files import private_dir, write_atomic

OVERLAP_SECONDS: Final = 7 * 86400.0


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    id: str
    private: Ed25519PrivateKey
    made_at: float

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()


class KeyRing:
    """Implements protocol.signing.Signer with the active key; `public` is what nodes pin."""

    def __init__(self, keys: Mapping[str, SigningKey], active: str) -> None:
        self._keys = dict(keys)
        self._active = active

    # ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def create(cls, clock: Clock) -> KeyRing:
        key = _new_key(clock)
        return cls({key.id: key}, key.id)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Raises FileNotFoundError, or Invalid for a file that is not one of ours."""
        try:
            data = json.loads(path.read_bytes())
            keys = {
                name: SigningKey(
                    id=name,
                    private=Ed25519PrivateKey.from_private_bytes(base64.b64decode(row["seed"], validate=True)),
                    made_at=float(row["made_at"]),
                )
                for name, row in data["keys"].items()
            }
            active = data["active"]
            keys[active]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Invalid(
                f"cannot read the signing keys in {str(path)!r}: {type(error).__name__}",
                element=str(path),
                hint="restore the file from a backup: nodes refuse tasks signed with other keys",
            ) from None
        return cls(keys, active)

    @classmethod
    def load_or_create(cls, path: Path, clock: Clock) -> KeyRing:
        try:
            return cls.load(path)
        except FileNotFoundError:
            ring = cls.create(clock)
            ring.save(path)
            return ring

    def save(self, path: Path) -> None:
        private_dir(path.parent)
        rows = {
            key.id: {"seed": base64.b64encode(key.private.private_bytes_raw()).decode(), "made_at": key.made_at}
            for key in self._keys.values()
        }
        write_atomic(path, json.dumps({"version": 1, "active": self._active, "keys": rows}, indent=1).encode() + b"\n")

    # ── protocol.signing.Signer ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def key_id(self) -> str:
        return self._active

    def sign(self, data: bytes) -> bytes:
        return self._keys[self._active].private.sign(data)

    # ── the set ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def public(self) -> dict[str, bytes]:
        """Key id → 32 raw bytes: what a node pins."""
        return {key.id: key.public for key in self._keys.values()}

    def announced(self) -> dict[str, str]:
        """The same in base64, as enrolment and sync answers carry it."""
        return {name: base64.b64encode(public).decode() for name, public in self.public().items()}

    def rotate(self, clock: Clock) -> str:
        """Add a key and announce it; it signs nothing before `activate`. Returns its id."""
        key = _new_key(clock, taken=self._keys)
        self._keys[key.id] = key
        return key.id

    def activate(self, key_id: str, clock: Clock, *, force: bool = False) -> None:
        """Sign with this key from now on. Raises WrongState before nodes had the overlap to learn it."""
        key = self._keys.get(key_id)
        if key is None:
            raise Invalid(f"cannot activate signing key {key_id!r}: there is none", element="key_id")
        age = clock.wall() - key.made_at
        if age < OVERLAP_SECONDS and not force:
            days = (OVERLAP_SECONDS - age) / 86400
            raise WrongState(
                f"cannot activate signing key {key_id!r}: nodes have {days:.1f} days left to learn it",
                element="key_id",
                hint="wait, or force it: nodes that did not connect meanwhile have to enrol again",
            )
        self._active = key_id

    def drop(self, key_id: str) -> None:
        """Announce an old key no more. Raises Conflict for the active one."""
        if key_id == self._active:
            raise Conflict(f"cannot drop signing key {key_id!r}: it is the active one", element="key_id")
        self._keys.pop(key_id, None)


def _new_key(clock: Clock, *, taken: Mapping[str, SigningKey] | None = None) -> SigningKey:
    while True:
        name = f"k{secrets.token_hex(4)}"
        if name not in (taken or {}):
            return SigningKey(id=name, private=Ed25519PrivateKey.generate(), made_at=clock.wall())
