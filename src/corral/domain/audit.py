"""The chain of audit entries: what is hashed of an entry, how one seal follows from the one before, and how a chain is proved.

Every sealed entry has a sequence without gaps and hash = SHA-256(prev + canonical bytes), where prev is the hash of the entry
before it. A checkpoint is the head of the chain, signed; an anchor is what retention leaves of the prefix it removed. The newest
checkpoint covers everything before it, so whoever cannot sign can neither make the chain anew nor cut its end. Pure: the caller
reads rows in order, checks signatures, and feeds a Proof.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from corral.domain.secret import references

FORMAT: Final = "corral-audit-1"
START: Final = "0" * 64
"""What the first entry of all follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An audit entry as it is stored. `at_ms` counts from the epoch; `details` is the stored JSON text, byte for byte."""

    id: int
    at_ms: int
    actor: str
    address: str
    action: str
    target: str
    outcome: str
    status: int
    request_id: str
    credential: str
    job: str
    duration_ms: int
    details: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """One seal, with the entry it is about; `row` is None when that is not there any more. Hashes are in hex."""

    sequence: int
    entry: int
    prev: str
    hash: str
    row: Entry | None


class CheckpointKind(StrEnum):
    HEAD = "head"
    ANCHOR = "anchor"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """`sequence` entries were sealed and `hash` was the last one's seal, says who holds `key`."""

    kind: CheckpointKind
    sequence: int
    entry: int
    hash: str
    at_ms: int
    key: str = ""
    signature: str = ""


def canonical(sequence: int, entry: Entry) -> bytes:
    """A JSON array in ASCII without spaces: format, sequence, then the fields in the order of Entry."""
    fields = [
        FORMAT,
        sequence,
        entry.id,
        entry.at_ms,
        entry.actor,
        entry.address,
        entry.action,
        entry.target,
        entry.outcome,
        entry.status,
        entry.request_id,
        entry.credential,
        entry.job,
        entry.duration_ms,
        entry.details,
    ]
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def seal(prev: str, sequence: int, entry: Entry) -> str:
    """The hash of `entry` behind `prev`."""
    return hashlib.sha256(bytes.fromhex(prev) + canonical(sequence, entry)).hexdigest()


def signed_bytes(checkpoint: Checkpoint) -> bytes:
    """What the signature of a checkpoint is made over."""
    fields = [
        f"{FORMAT}-checkpoint",
        checkpoint.kind.value,
        checkpoint.sequence,
        checkpoint.entry,
        checkpoint.hash,
        checkpoint.at_ms,
        checkpoint.key,
    ]
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


class Fault(StrEnum):
    ALTERED = "altered"
    MISSING = "missing"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TAIL_CUT = "tail cut"
    FORGED = "forged seal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The first thing that is wrong: where, and how it shows."""

    fault: Fault
    sequence: int
    entry: int | None
    why: str


@dataclass
class Proof:
    """Feed it pages of links in order, from the anchor (or the start) on. It keeps one hash, whatever the length."""

    sequence: int = 0
    hash: str = START
    entry: int = 0
    checked: int = 0
    found: Finding | None = None
    _expected: dict[int, list[Checkpoint]] = field(default_factory=dict)

    @classmethod
    def behind(cls, anchor: Checkpoint | None) -> Proof:
        """Begin where retention ended; the caller has checked the anchor's signature."""
        return cls() if anchor is None else cls(sequence=anchor.sequence, hash=anchor.hash, entry=anchor.entry)

    def expect(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Heads whose signatures hold; each is compared when the proof comes by, wherever it was kept."""
        for point in checkpoints:
            if point.sequence > self.sequence:
                self._expected.setdefault(point.sequence, []).append(point)

    def feed(self, page: Sequence[Link], *, stray: int | None = None) -> Finding | None:
        """The first wrong link of a page, if any. `stray`: the lowest id up to the page's end that has no seal."""
        rows = {link.entry: link.row for link in page if link.row is not None}
        for link in page:
            if stray is not None and stray < link.entry:
                return self.inserted(stray)
            found = self._wrong(link, rows)
            if found is not None:
                self.found = found
                return found
            self.sequence, self.hash, self.entry = link.sequence, link.hash, link.entry
            self.checked += 1
        return None

    def inserted(self, entry: int) -> Finding:
        """An entry in the midst of sealed ones that was never sealed."""
        self.found = Finding(
            fault=Fault.INSERTED,
            sequence=self.sequence + 1,
            entry=entry,
            why=f"entry {entry} stands before entries that are sealed and has no seal itself",
        )
        return self.found

    def finish(self, newest: Checkpoint | None) -> Finding | None:
        """Compare the end with the newest head that is signed; None when there never was one."""
        if self.found is None and newest is None and self.checked:
            self.found = self._at(
                Fault.FORGED, self.sequence, self.entry, "nothing signed says that the chain goes here"
            )
        if self.found is None and newest is not None and newest.sequence > self.sequence:
            self.found = self._at(
                Fault.TAIL_CUT,
                self.sequence + 1,
                None,
                f"the chain ends at {self.sequence}, and {newest.sequence} entries were signed",
            )
        if self.found is None and newest is not None and newest.sequence < self.sequence:
            why = f"only {newest.sequence} entries were signed, and the chain goes on to {self.sequence}"
            self.found = self._at(Fault.FORGED, newest.sequence + 1, None, why)
        if self.found is None and newest is not None and newest.hash != self.hash:
            self.found = self._at(Fault.FORGED, self.sequence, self.entry, "the seal is not the one that was signed")
        return self.found

    def _wrong(self, link: Link, rows: Mapping[int, Entry]) -> Finding | None:
        here = link.sequence
        if here != self.sequence + 1:
            gone = f"{self.sequence + 1}" + (f" to {here - 1}" if here > self.sequence + 2 else "")
            return self._at(Fault.MISSING, self.sequence + 1, None, f"sequence {gone} is not there")
        if link.entry <= self.entry:
            return self._at(Fault.REORDERED, here, link.entry, f"entry {link.entry} comes after entry {self.entry}")
        if link.row is None:
            return self._at(Fault.MISSING, here, link.entry, f"entry {link.entry} was sealed and is not there")
        if _seal(link.prev, here, link.row) != link.hash:
            return self._mismatch(link, link.row, rows)
        if link.prev != self.hash:
            where = (here - 1, self.entry) if self.checked else (here, link.entry)
            return self._at(Fault.FORGED, *where, f"sequence {here} continues another seal than the one before it")
        for signed in self._expected.pop(here, ()):
            if signed.hash != link.hash:
                return self._at(Fault.FORGED, here, link.entry, f"its seal is not the one that {signed.key} signed")
        return None

    def _mismatch(self, link: Link, row: Entry, rows: Mapping[int, Entry]) -> Finding:
        """What was sealed here stands at another place nearby, or nowhere."""
        for other in rows.values():
            moved = _as_entry(other, row.id)
            if other is not row and _seal(link.prev, link.sequence, moved) == link.hash:
                why = f"what was sealed here stands at entry {other.id}"
                return self._at(Fault.REORDERED, link.sequence, link.entry, why)
        return self._at(Fault.ALTERED, link.sequence, link.entry, "the entry or its seal is not what was sealed")

    def _at(self, fault: Fault, sequence: int, entry: int | None, why: str) -> Finding:
        return Finding(fault=fault, sequence=sequence, entry=entry, why=why)


def _seal(prev: str, sequence: int, entry: Entry) -> str:
    """As `seal`; what is no hash seals nothing."""
    try:
        return seal(prev, sequence, entry)
    except ValueError:
        return ""


def _as_entry(entry: Entry, id_: int) -> Entry:
    return Entry(**{name: getattr(entry, name) for name in Entry.__slots__} | {"id": id_})


CUT: Final = "[cut]"
_SENSITIVE: Final = (
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "credential",
    "authorization",
    "cookie",
    "api_key",
    "apikey",
    "api-key",
    "private_key",
)
_NAMING: Final = frozenset({"password_secret"})
"""Names a secret, holds none."""


def redacted(value: Any, *, cut: bool = False) -> Any:
    """`value` (JSON) without what may be secret: values of env, stdin, and anything under a name such as password.

    Of such a text the names of the secrets it refers to stay, as `{{ secret.NAME }}`: they show none.
    """
    if isinstance(value, Mapping):
        return {
            str(key): inner
            if key in _NAMING
            else f"[{len(inner or '')} bytes cut]"
            if key == "stdin" and isinstance(inner, str | bytes | None)
            else redacted(inner, cut=cut or key == "env" or any(word in str(key).lower() for word in _SENSITIVE))
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(inner, cut=cut) for inner in value]
    if not cut or value is None or isinstance(value, bool):
        return value
    names = sorted(references(value)) if isinstance(value, str) else []
    return " ".join(f"{{{{ secret.{name} }}}}" for name in names) or CUT
