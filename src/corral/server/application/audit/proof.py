"""Proving the audit record: every seal from the anchor on, in pages, and the head against what was signed. Memory stays flat."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from corral.domain.audit import Checkpoint, Fault, Finding, Link, Proof
from corral.runtime.clock import Clock
from corral.server.application.audit.sealing import Seals
from corral.server.application.ports.access import Caller
from corral.server.application.ports.audit import AuditChain, Witness

PAGE: Final = 500
EVERY: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`checked` of about `total` entries hold so far."""

    checked: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`found` is the first thing that is wrong, None when all holds. `unsealed` entries are too young to be in the chain."""

    checked: int
    first: int
    last: int
    head: str
    key: str
    signed_at_ms: int | None
    unsealed: int
    found: Finding | None


class AuditProof:
    def __init__(self, *, chain: AuditChain, seals: Seals, witness: Witness, clock: Clock) -> None:
        self._chain = chain
        self._seals = seals
        self._witness = witness
        self._clock = clock

    async def verify(self, caller: Caller) -> AsyncGenerator[Progress | Verdict, None]:
        """Progress now and then, one Verdict at the end."""
        while True:
            anchor, head, last = await self._chain.ends()
            async for said in self._verify(anchor, head, last):
                moved = isinstance(said, Verdict) and said.found is not None and (await self._chain.ends())[0] != anchor
                if moved:
                    break  # retention took the beginning away meanwhile: begin again where it begins now
                yield said
            else:
                return

    async def _verify(
        self, anchor: Checkpoint | None, head: Checkpoint | None, last: int
    ) -> AsyncGenerator[Progress | Verdict, None]:
        proof = Proof.behind(anchor)
        first = proof.sequence + 1
        proof.found = self._signatures(anchor, head)
        upto = max(last, head.sequence) if head is not None else last
        if (kept := self._kept()) is not None:
            proof.expect([kept])
        said = 0
        while proof.found is None:
            links = await self._chain.links(after=proof.sequence, upto=upto, limit=PAGE)
            if not links:
                break
            proof.expect(await self._trusted(after=proof.sequence, upto=links[-1].sequence))
            stray = await self._chain.stray(after=proof.entry, upto=max(link.entry for link in links))
            proof.feed(links, stray=stray)
            if proof.checked - said >= EVERY:
                said = proof.checked
                yield Progress(checked=said, total=max(said, upto - first + 1))
            await self._clock.sleep(0)
        if proof.found is None:
            proof.finish(self._newest(head))
        yield Verdict(
            checked=proof.checked,
            first=first,
            last=proof.sequence,
            head=proof.hash,
            key="" if head is None else head.key,
            signed_at_ms=None if head is None else head.at_ms,
            unsealed=(await self._chain.waiting())[0],
            found=proof.found,
        )

    def _signatures(self, anchor: Checkpoint | None, head: Checkpoint | None) -> Finding | None:
        for point in (anchor, head):
            if point is not None and not self._seals.trust(point):
                why = f"the {point.kind.value} at {point.sequence} is not signed by one of our keys"
                return Finding(fault=Fault.FORGED, sequence=point.sequence, entry=point.entry, why=why)
        return None

    def _newest(self, head: Checkpoint | None) -> Checkpoint | None:
        """Of the head in the database and the one this server kept outside, the later one."""
        kept = self._kept()
        return head if kept is None or (head is not None and head.sequence >= kept.sequence) else kept

    def _kept(self) -> Checkpoint | None:
        kept = self._witness.load()
        return kept if kept is not None and self._seals.trust(kept) else None

    async def _trusted(self, *, after: int, upto: int) -> list[Checkpoint]:
        return [point for point in await self._chain.heads(after=after, upto=upto) if self._seals.trust(point)]

    async def export(
        self, caller: Caller, *, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """What a third party needs to prove it: our public keys, then each sealed entry with its hashes, signed heads among them.

        It goes on behind `until` to the next signed head, so that its end can be proved.
        """
        anchor, _, last = await self._chain.ends()
        begin = 0 if anchor is None else anchor.sequence
        if since is not None:
            begin = max(begin, min(await self._chain.first_at(since) - 1, last))
        end = last if until is None else min(last, await self._chain.first_at(until) - 1)
        if end < last:
            end = min((point.sequence for point in await self._chain.heads(after=end - 1, upto=last)), default=last)
        keys = {name: base64.b64encode(key).decode() for name, key in self._seals.public().items()}
        yield {"type": "keys", "keys": keys, "first": begin + 1, "last": end}
        if anchor is not None and anchor.sequence == begin:
            yield _point(anchor)
        at = begin
        while at < end and (links := await self._chain.links(after=at, upto=end, limit=PAGE)):
            points = {point.sequence: point for point in await self._chain.heads(after=at, upto=links[-1].sequence)}
            for link in links:
                yield _line(link)
                if link.sequence in points:
                    yield _point(points[link.sequence])
            at = links[-1].sequence
            await self._clock.sleep(0)


def _point(point: Checkpoint) -> Mapping[str, Any]:
    fields = {name: getattr(point, name) for name in Checkpoint.__slots__}
    return {"type": "checkpoint", **fields, "kind": point.kind.value}


def _line(link: Link) -> Mapping[str, Any]:
    out: dict[str, Any] = {"type": "entry", "sequence": link.sequence, "prev": link.prev, "hash": link.hash}
    if link.row is None:
        return out | {"id": link.entry, "missing": True}
    return out | {name: getattr(link.row, name) for name in type(link.row).__slots__}
