"""An export proved without a server: what it says of a whole one, and of every way to change one."""

from __future__ import annotations

import base64
import json
from dataclasses import fields, replace
from typing import Any

import pytest

from corral.domain.audit import START, Checkpoint, CheckpointKind, Entry, Fault, seal
from corral.domain.errors import Invalid
from corral.runtime.clock import SystemClock
from corral.sdk.audit import fingerprint, prove
from corral.server.application.audit.sealing import Seals
from corral.server.infrastructure.pki.signing import KeyRing

RING = KeyRing.create(SystemClock())
SEALS = Seals(RING)
NUMBER = 1200


def export(number: int = NUMBER, *, heads: tuple[int, ...] = (700, NUMBER)) -> list[dict[str, Any]]:
    keys = {name: base64.b64encode(key).decode() for name, key in RING.public().items()}
    lines: list[dict[str, Any]] = [{"type": "keys", "keys": keys, "first": 1, "last": number}]
    prev = START
    for sequence in range(1, number + 1):
        row = Entry(
            id=sequence,
            at_ms=sequence,
            actor="ada",
            address="",
            action="POST /jobs",
            target=str(sequence),
            outcome="ok",
            status=201,
            request_id="",
            credential="",
            job="",
            duration_ms=1,
            details="{}",
        )
        made = seal(prev, sequence, row)
        lines.append({"type": "entry", "sequence": sequence, "prev": prev, "hash": made, **values(row)})
        prev = made
        if sequence in heads:
            lines.append(point(sequence, made))
    return lines


def point(sequence: int, made: str, kind: CheckpointKind = CheckpointKind.HEAD, seals: Seals = SEALS) -> dict[str, Any]:
    signed = seals.sign(Checkpoint(kind=kind, sequence=sequence, entry=sequence, hash=made, at_ms=0))
    return {"type": "checkpoint", **values(signed), "kind": kind.value}


def values(of: Any) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


def proved(lines: list[dict[str, Any]], **options: Any) -> Any:
    return prove([json.dumps(line).encode() + b"\n" for line in lines], **options)


def test_a_whole_export_is_proved_and_says_who_vouches() -> None:
    verdict = proved(export())
    assert (verdict.ok, verdict.checked, verdict.first, verdict.last, verdict.signed) == (
        True,
        NUMBER,
        1,
        NUMBER,
        NUMBER,
    )
    assert verdict.keys == {RING.key_id: fingerprint(RING.public()[RING.key_id])}


def test_a_part_and_a_record_that_begins_at_an_anchor_are_proved() -> None:
    lines = export()
    part = [lines[0], *lines[301:]]
    assert (proved(part).ok, proved(part).first) == (True, 301)
    anchor = point(300, lines[300]["hash"], CheckpointKind.ANCHOR)
    assert proved([lines[0], anchor, *lines[301:]]).checked == NUMBER - 300
    wrong = proved([lines[0], anchor, *lines[302:]]).found
    assert (wrong.fault, wrong.sequence) == (Fault.MISSING, 301)


@pytest.mark.parametrize(
    ("change", "fault", "sequence"),
    [
        (lambda lines: lines[500].update(actor="eve"), Fault.ALTERED, 500),
        (lambda lines: lines.pop(500), Fault.MISSING, 500),
        (lambda lines: lines.insert(500, dict(lines[499])), Fault.MISSING, 500),
        (lambda lines: lines.__delitem__(slice(901, None)), Fault.TAIL_CUT, 900),
        (lambda lines: lines.pop(), Fault.FORGED, 701),
        (lambda lines: lines[701].update(hash=START), Fault.FORGED, 700),
        (lambda lines: lines[701].update(signature="AAAA"), Fault.FORGED, 700),
        (lambda lines: lines[500].update(hash="nonsense"), Fault.ALTERED, 500),
    ],
)
def test_a_changed_export_is_not(change: Any, fault: Fault, sequence: int) -> None:
    lines = export()
    change(lines)
    found = proved(lines).found
    assert found is not None
    assert (found.fault, found.sequence) == (fault, sequence)


def test_who_makes_a_record_of_his_own_is_told_from_us_by_the_key() -> None:
    other = KeyRing.create(SystemClock())
    lines = export(heads=())
    lines[0]["keys"] = {other.key_id: base64.b64encode(other.public()[other.key_id]).decode()}
    lines.append(point(NUMBER, lines[-1]["hash"], seals=Seals(other)))
    assert proved(lines).ok is True
    assert RING.key_id not in proved(lines).keys
    found = proved(lines, keys=RING.public()).found
    assert found is not None and found.fault is Fault.FORGED
    assert proved(export(), keys=RING.public()).ok is True


@pytest.mark.parametrize(
    "text", [b"", b"{}\n", b"[]\n", b"hello\n", b'{"type": "entry"}\n', b'{"type": "keys", "keys": 1}\n']
)
def test_what_is_no_export_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(Invalid):
        prove(text.splitlines(keepends=True))


def test_the_fields_of_an_entry_are_all_in_the_file() -> None:
    line = export(1, heads=(1,))[1]
    assert {field.name for field in fields(Entry)} <= set(line)
    assert replace(Entry(**{field.name: line[field.name] for field in fields(Entry)}), actor="eve").actor == "eve"
