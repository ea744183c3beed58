"""Ports of the secrets room: values nobody reads back, sealed before they are stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class SecretEntry:
    """What may be seen of a secret. `version` grows with every value it had; `selector` says which nodes may get it."""

    name: str
    version: int
    selector: str
    description: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, kw_only=True)
class SealedSecret:
    """The value under a key of its own, and that key under the master key. Both are bound to name and version."""

    name: str
    version: int
    value: bytes
    key: bytes


class SecretStore(Protocol):
    async def put(self, entry: SecretEntry, sealed: SealedSecret, *, after: int) -> bool:
        """Store version `after` + 1 (0 = it is new); False when somebody else stored one meanwhile."""
        ...

    async def describe(self, entry: SecretEntry) -> bool:
        """Change selector and description only; False when there is no such secret."""
        ...

    async def entries(self, names: Collection[str] | None = None) -> Sequence[SecretEntry]:
        """By name; all, or those of `names` that exist."""
        ...

    async def sealed(self, names: Collection[str] | None = None) -> Sequence[SealedSecret]: ...

    async def delete(self, name: str) -> bool: ...

    async def rewrap(self, keys: Mapping[tuple[str, int], bytes]) -> int:
        """(name, version) → its key under another master key, in one transaction; a version that is gone is left out."""
        ...


class MasterKey(Protocol):
    """What seals the keys of secrets. It may know older keys, to open what they sealed."""

    @property
    def current(self) -> str:
        """A short name of the key that seals now; tells nothing of it."""
        ...

    def seal(self, plain: bytes, *, context: str) -> bytes: ...

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Raises Unavailable naming the master key that is missing."""
        ...

    def made_by_current(self, sealed: bytes) -> bool: ...

    def begin_rotation(self) -> None:
        """Seal with a new key from now on; the old one still opens. Raises WrongState where the key is not ours to change."""
        ...

    def end_rotation(self) -> None:
        """Forget the older keys: nothing is sealed with them any more."""
        ...


class Cipher(Protocol):
    """Seals a value under a fresh key."""

    def seal(self, plain: bytes, *, context: str) -> tuple[bytes, bytes]:
        """(sealed value, its key)"""
        ...

    def open(self, sealed: bytes, key: bytes, *, context: str) -> bytes: ...
