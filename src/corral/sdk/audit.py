"""The audit record: who did what, whether the record is whole, and a file of it that proves itself."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from corral.domain.audit import Checkpoint, CheckpointKind, Entry, Fault, Finding, Link, Proof, signed_bytes
from corral.domain.errors import Invalid
from corral.runtime.crypto import ed25519_verify
from corral.sdk.api import Api

SILENCE_SECONDS: Final = 300.0
_BATCH: Final = 500

Row = Mapping[str, Any]


class Audit:
    """`fleet.audit`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
        node: str | None = None,
        job: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """The newest first. Times are RFC 3339; `action` is a part of it; `node` takes the jobs that ran there in."""
        query = {
            "actor": actor,
            "action": action,
            "outcome": outcome,
            "since": since,
            "until": until,
            "node": node,
            "job": job,
        }
        return await self._api.pages("/audit", query=query, limit=limit)

    async def show(self, entry: int) -> Row:
        found: Row = await self._api.call("GET", f"/audit/entries/{entry}")
        return found

    async def verify(self) -> AsyncGenerator[Row, None]:
        """{"checked", "total"} now and then; last the verdict: {"ok", "fault", "sequence", "entry", "why", …}."""
        async with aclosing(self._api.stream("/audit/verify", end="verdict")) as events:
            async for event in events:
                if event.event in ("progress", "verdict"):
                    yield json.loads(event.data)

    async def export(self, *, since: str | None = None, until: str | None = None) -> AsyncGenerator[bytes, None]:
        """JSON lines as they come. `prove` proves them without any server."""
        query = {"since": since, "until": until}
        async with aclosing(self._api.octets("/audit/export", query=query, idle_seconds=SILENCE_SECONDS)) as chunks:
            async for chunk in chunks:
                yield chunk


@dataclass(frozen=True, kw_only=True)
class FileVerdict:
    """`signed` is the sequence up to which somebody who holds one of `keys` (id → fingerprint) vouches."""

    checked: int
    first: int
    last: int
    head: str
    signed: int
    keys: Mapping[str, str]
    found: Finding | None

    @property
    def ok(self) -> bool:
        return self.found is None


def prove(lines: Iterable[bytes], *, keys: Mapping[str, bytes] | None = None) -> FileVerdict:
    """Prove an export. `keys` (id → 32 bytes): trust these alone instead of those the file names. Raises Invalid: no export."""
    reader = _Reader(keys)
    for number, line in enumerate(lines, start=1):
        if line.strip() and reader.proof.found is None:
            try:
                reader.take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Invalid(
                    f"cannot read line {number}: {type(error).__name__}: it is not of an audit export",
                    element="file",
                    hint="corral audit export > audit.jsonl",
                ) from None
    return reader.verdict()


class _Reader:
    """Line by line; at most a batch of entries is held."""

    def __init__(self, keys: Mapping[str, bytes] | None) -> None:
        self.proof = Proof()
        self._given = keys
        self._keys: dict[str, bytes] = dict(keys or {})
        self._used: set[str] = set()
        self._batch: list[Link] = []
        self._first = 0
        self._signed = 0
        self._announced: int | None = None

    def take(self, line: Row) -> None:
        if line["type"] == "keys":
            self._announced = int(line["last"])
            if self._given is None:
                self._keys |= {name: base64.b64decode(key) for name, key in line["keys"].items()}
        elif line["type"] == "checkpoint":
            self._flush()
            self._checkpoint(_checkpoint(line))
        elif line["type"] == "entry":
            self._entry(line)

    def _entry(self, line: Row) -> None:
        link = Link(
            sequence=int(line["sequence"]),
            entry=int(line["id"]),
            prev=str(line["prev"]),
            hash=str(line["hash"]),
            row=None if line.get("missing") else Entry(**{name: line[name] for name in Entry.__slots__}),
        )
        if not self._first:
            self._first = link.sequence
            if not self.proof.sequence:  # no anchor: what came before this part is not in the file
                self.proof.sequence, self.proof.hash = link.sequence - 1, link.prev
        self._batch.append(link)
        if len(self._batch) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._batch and self.proof.found is None:
            self.proof.feed(self._batch)
        self._batch.clear()

    def _checkpoint(self, point: Checkpoint) -> None:
        if self.proof.found is not None:
            return
        if not self._vouched(point):
            self._fail(point, f"the {point.kind.value} at {point.sequence} is not signed by a key that is trusted here")
        elif point.kind is CheckpointKind.ANCHOR and not self.proof.checked:
            self.proof.sequence, self.proof.hash, self.proof.entry = point.sequence, point.hash, point.entry
        elif (point.sequence, point.hash) != (self.proof.sequence, self.proof.hash):
            self._fail(point, f"what {point.key} signed at {point.sequence} is not what is here")
        else:
            self._signed = point.sequence

    def _vouched(self, point: Checkpoint) -> bool:
        public = self._keys.get(point.key)
        try:
            signature = base64.b64decode(point.signature, validate=True)
        except ValueError:
            return False
        if public is None or not ed25519_verify(public, signature, signed_bytes(point)):
            return False
        self._used.add(point.key)
        return True

    def _fail(self, point: Checkpoint, why: str) -> None:
        self.proof.found = Finding(fault=Fault.FORGED, sequence=point.sequence, entry=point.entry, why=why)

    def verdict(self) -> FileVerdict:
        self._flush()
        proof = self.proof
        if proof.found is None and self._announced is None:
            raise Invalid(
                "cannot prove this file: it is not an audit export",
                element="file",
                hint="corral audit export > audit.jsonl",
            )
        if proof.found is None and self._announced is not None and proof.sequence < self._announced:
            why = f"the file ends at {proof.sequence}, and was made up to {self._announced}"
            proof.found = Finding(fault=Fault.TAIL_CUT, sequence=proof.sequence + 1, entry=None, why=why)
        if proof.found is None and proof.checked and self._signed < proof.sequence:
            why = f"nothing signed vouches for what is behind {self._signed}"
            proof.found = Finding(fault=Fault.FORGED, sequence=self._signed + 1, entry=None, why=why)
        return FileVerdict(
            checked=proof.checked,
            first=self._first,
            last=proof.sequence,
            head=proof.hash,
            signed=self._signed,
            keys={name: fingerprint(self._keys[name]) for name in sorted(self._used)},
            found=proof.found,
        )


def fingerprint(public: bytes) -> str:
    return "sha256:" + hashlib.sha256(public).hexdigest()


def _checkpoint(line: Row) -> Checkpoint:
    fields = {name: line[name] for name in Checkpoint.__slots__}
    return Checkpoint(**fields | {"kind": CheckpointKind(line["kind"])})
