"""The chain, on generated records: whatever is done to any link of it is found at or before the place; and what entries hide."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corral.domain.audit import (
    START,
    Checkpoint,
    CheckpointKind,
    Entry,
    Link,
    Proof,
    canonical,
    redacted,
    seal,
    signed_bytes,
)

TEXT = st.text(max_size=8)
ENTRIES = st.lists(
    st.builds(
        Entry,
        id=st.just(0),
        at_ms=st.integers(0, 2**42),
        actor=TEXT,
        address=TEXT,
        action=TEXT,
        target=TEXT,
        outcome=TEXT,
        status=st.integers(100, 599),
        request_id=TEXT,
        credential=TEXT,
        job=TEXT,
        duration_ms=st.integers(0, 2**31 - 1),
        details=TEXT,
    ),
    min_size=2,
    max_size=8,
    unique_by=lambda entry: canonical(0, entry),
)


def chained(entries: list[Entry]) -> list[Link]:
    links, prev = [], START
    for place, entry in enumerate(entries, start=1):
        row = replace(entry, id=place * 2)
        made = seal(prev, place, row)
        links.append(Link(sequence=place, entry=row.id, prev=prev, hash=made, row=row))
        prev = made
    return links


def head_of(links: list[Link]) -> Checkpoint:
    last = links[-1]
    return Checkpoint(kind=CheckpointKind.HEAD, sequence=last.sequence, entry=last.entry, hash=last.hash, at_ms=0)


def proved(links: list[Link], head: Checkpoint, *, page: int = 3) -> Proof:
    proof = Proof()
    for start in range(0, len(links), page):
        if proof.feed(links[start : start + page]) is not None:
            return proof
    proof.finish(head)
    return proof


@given(ENTRIES, st.integers(1, 9))
def test_what_nobody_touched_holds_whatever_the_pages(entries: list[Entry], page: int) -> None:
    links = chained(entries)
    proof = proved(links, head_of(links), page=page)
    assert (proof.found, proof.checked) == (None, len(links))


@given(ENTRIES, st.data())
def test_any_change_of_any_field_is_found_there(entries: list[Entry], data: st.DataObject) -> None:
    links = chained(entries)
    at = data.draw(st.integers(0, len(links) - 1))
    row = links[at].row
    assert row is not None
    name = data.draw(st.sampled_from([field.name for field in fields(Entry)]))
    was = getattr(row, name)
    change: dict[str, Any] = {name: was + 1 if isinstance(was, int) else was + "x"}
    made = replace(row, **change)
    proof = proved([*links[:at], replace(links[at], row=made), *links[at + 1 :]], head_of(links))
    assert proof.found is not None and proof.found.sequence == at + 1


@given(ENTRIES, st.data())
def test_any_removal_swap_or_repetition_of_links_is_found(entries: list[Entry], data: st.DataObject) -> None:
    links, head = chained(entries), head_of(chained(entries))
    at = data.draw(st.integers(0, len(links) - 1))
    other = data.draw(st.integers(0, len(links) - 1).filter(lambda n: n != at))
    swapped = list(links)
    swapped[at], swapped[other] = swapped[other], swapped[at]
    renumbered = [replace(link, sequence=n) for n, link in enumerate(swapped, start=1)]
    moved = list(links)
    moved[at], moved[other] = replace(links[at], row=links[other].row), replace(links[other], row=links[at].row)
    for broken in (
        [*links[:at], *links[at + 1 :]],
        [*links[: at + 1], links[at], *links[at + 1 :]],
        swapped,
        renumbered,
        moved,
        [replace(link, row=None) if n == at else link for n, link in enumerate(links)],
        links[:-1],
    ):
        found = proved(broken, head).found
        assert found is not None
        assert found.sequence <= max(at, other, len(broken)) + 1


@given(ENTRIES, st.data())
def test_a_chain_made_anew_from_any_place_on_is_not_the_one_that_was_signed(
    entries: list[Entry], data: st.DataObject
) -> None:
    links = chained(entries)
    at = data.draw(st.integers(0, len(links) - 1))
    forged = chained([replace(entry, actor=entry.actor + "x") if n == at else entry for n, entry in enumerate(entries)])
    found = proved(forged, head_of(links)).found
    assert found is not None and found.fault.value == "forged seal"


def test_a_proof_behind_an_anchor_needs_nothing_of_what_came_before() -> None:
    links = chained([_entry(n) for n in range(9)])
    anchor = replace(head_of(links[:4]), kind=CheckpointKind.ANCHOR)
    proof = Proof.behind(anchor)
    assert proof.feed(links[4:]) is None
    assert (proof.finish(head_of(links)), proof.checked) == (None, 5)
    assert Proof.behind(anchor).feed(links[5:]) is not None
    assert Proof().feed(links[4:]) is not None


def test_every_field_of_a_checkpoint_is_signed_but_the_signature() -> None:
    point = head_of(chained([_entry(1), _entry(2)]))
    changes: dict[str, Any] = {
        "kind": CheckpointKind.ANCHOR,
        "sequence": 9,
        "entry": 9,
        "hash": START,
        "at_ms": 9,
        "key": "k",
    }
    for name, value in changes.items():
        other: dict[str, Any] = {name: value}
        assert signed_bytes(replace(point, **other)) != signed_bytes(point), name
    assert set(changes) | {"signature"} == {field.name for field in fields(Checkpoint)}


def test_a_finding_keeps_nothing_but_the_place(capsys: Any) -> None:
    links = chained([_entry(n) for n in range(3)])
    bad = replace(links[1], hash="nonsense")
    proof = proved([links[0], bad, links[2]], head_of(links))
    assert proof.found is not None and "actor" not in proof.found.why


def _entry(number: int) -> Entry:
    texts = {field.name: f"{field.name}{number}" for field in fields(Entry)}
    return Entry(**texts | {"id": number, "at_ms": number, "status": 200, "duration_ms": 1})  # type: ignore[arg-type]  # texts where they belong


def test_secrets_are_cut_and_their_names_are_not() -> None:
    told = redacted(
        {
            "argv": ["mysql", "--verbose"],
            "env": {
                "A": "hunter2",
                "B": "{{ secret.db.password }}",
                "C": "x={{ secret.one }};{{ secret.two }}",
                "N": 5,
            },
            "stdin": "aHVudGVyMg==",
            "params": {
                "headers": {"Authorization": "Bearer hunter2", "Accept": "text/plain"},
                "api_key": ["hunter2", {"deep": "hunter2"}],
                "Password": "hunter2",
                "verify": True,
            },
            "password_secret": "db.password",
            "user": "app",
        }
    )
    assert "hunter2" not in json.dumps(told) and "aHVudGVyMg" not in json.dumps(told)
    assert told["env"] == {
        "A": "[cut]",
        "B": "{{ secret.db.password }}",
        "C": "{{ secret.one }} {{ secret.two }}",
        "N": "[cut]",
    }
    assert told["params"]["headers"] == {"Authorization": "[cut]", "Accept": "text/plain"}
    assert (told["password_secret"], told["user"], told["argv"]) == ("db.password", "app", ["mysql", "--verbose"])
