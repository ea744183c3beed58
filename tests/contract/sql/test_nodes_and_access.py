"""Nodes, join tokens, API tokens, sessions, audit, answers, leases and dead letters, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from corral.domain.errors import Conflict, CorralError, Invalid, NotFound, TokenRefused
from corral.domain.node import Node, Presence, Relabelling
from corral.domain.presence_log import PresenceChange
from corral.server.application.ports.access import ApiToken, AuditEntry, Session, StoredAnswer
from corral.server.application.ports.jobs import DeadLetter
from corral.server.application.ports.nodes import JoinToken
from corral.server.infrastructure.sql.values import encode_cursor
from corral.testing.store_set import StoreSet

HOUR = timedelta(hours=1)


@pytest.fixture
def make_token(now: datetime) -> Callable[..., JoinToken]:
    token = JoinToken(
        id="T1",
        proof_key=b"\0\xffkey",
        uses_left=1,
        uses=1,
        expires_at=now + HOUR,
        created_at=now,
        created_by="ada",
        labels={"role": "web"},
        groups=frozenset({"canary"}),
    )
    return lambda **fields: replace(token, **fields)


def node(id_: str, now: datetime, key: str = "K") -> Node:
    return Node(
        id=id_,
        labels={"role": "web", "ä": "ö"},
        groups=frozenset({"a", "b"}),
        facts={"kernel": "6.1", "cpus": 4},
        enrolled_at=now,
        daemon_key=f"D-{id_}-{key}",
        worker_key=f"W-{id_}-{key}",
    )


async def test_a_node_reads_back_as_it_was_added(stores: StoreSet, now: datetime) -> None:
    both = [node("n1", now), node("n2", now)]
    await stores.nodes.add_all(both)
    await stores.nodes.add_all(both)
    assert list(await stores.nodes.all()) == both
    assert await stores.nodes.get("n1") == both[0]
    with pytest.raises(NotFound):
        await stores.nodes.get("n9\0")
    with pytest.raises(Conflict):
        await stores.nodes.add_all([node("n3", now), node("n1", now, key="other")])
    assert len(await stores.nodes.all()) == 2, "all of a batch or none"


async def test_labels_merge_and_the_version_guards_them(stores: StoreSet, now: datetime) -> None:
    await stores.nodes.add_all([node("n1", now), node("n2", now)])
    changed = await stores.nodes.set_labels(
        ["n2", "n1"], Relabelling(merge={"env": "dev", "role": "db"}, remove=frozenset({"ä", "gone"}))
    )
    assert [(had.id, had.labels, had.groups, had.resource_version) for had in changed] == [
        ("n1", {"env": "dev", "role": "db"}, frozenset({"a", "b"}), 2),
        ("n2", {"env": "dev", "role": "db"}, frozenset({"a", "b"}), 2),
    ]
    (one,) = await stores.nodes.set_labels(["n1"], Relabelling(groups=frozenset()), if_match=2)
    assert (one.groups, one.resource_version) == (frozenset(), 3)
    changed = await stores.nodes.set_labels(["n1", "n2"], Relabelling(add=frozenset({"c"}), drop=frozenset({"a", "x"})))
    assert [had.groups for had in changed] == [frozenset({"c"}), frozenset({"b", "c"})], "each from what it had"
    with pytest.raises(Conflict) as raised:
        await stores.nodes.set_labels(["n1"], Relabelling(add=frozenset({"c"})), if_match=2)
    assert raised.value.element == "resource_version"
    with pytest.raises(NotFound):
        await stores.nodes.set_labels(["n1", "n9"], Relabelling(merge={"x": "y"}))
    assert "x" not in (await stores.nodes.get("n1")).labels


async def test_facts_and_presence_are_set_for_a_whole_batch(stores: StoreSet, now: datetime) -> None:
    nodes = [node(f"n{number:03}", now) for number in range(200)]
    await stores.nodes.add_all(nodes)
    await stores.nodes.set_facts({had.id: {"os": "nul \0 \ud800", "n": 1} for had in nodes} | {"stranger": {}})
    await stores.nodes.set_presence({had.id: (Presence.ONLINE, now, "beat") for had in nodes})
    await stores.nodes.set_presence(
        {"n001": (Presence.OFFLINE, now + HOUR, "gone"), "stranger": (Presence.ONLINE, now, "")}
    )
    found = {had.id: had for had in await stores.nodes.all()}
    assert len(found) == 200
    assert found["n000"].facts["n"] == 1
    assert (found["n000"].presence, found["n000"].last_seen) == (Presence.ONLINE, now)
    gone = found["n001"]
    assert (gone.presence, gone.presence_since, gone.presence_reason) == (Presence.OFFLINE, now + HOUR, "gone")
    assert gone.last_seen == now + HOUR
    assert gone.resource_version == 1, "what nodes say of themselves is no edit"


async def test_changes_of_presence_are_read_newest_first_a_page_at_a_time(stores: StoreSet, now: datetime) -> None:
    await stores.nodes.add_all([node("n1", now), node("n2", now)])
    said = [
        PresenceChange(
            node=f"n{1 + number % 2}",
            at=now + timedelta(seconds=number // 4),  # two of a node in the same second
            presence=Presence.OFFLINE if number % 3 else Presence.ONLINE,
            reason=f"nul \0 {number}",
            worker_down=number % 5 == 0,
        )
        for number in range(40)
    ]
    await stores.presence.add(said[:25])
    await stores.presence.add([*said[25:], PresenceChange(node="stranger", at=now, presence=Presence.ONLINE)])
    await stores.presence.add([])
    found: list[PresenceChange] = []
    cursor, untils = None, []
    while True:
        page = await stores.presence.read("n1", limit=7, cursor=cursor)
        found += page.items
        untils.append(page.until)
        if (cursor := page.next) is None:
            break
    assert [change.at for change in found] == [change.at for change in said[::2]][::-1]
    assert [change.reason.split()[-1] for change in found] == [str(number) for number in range(38, -1, -2)]
    assert {change.node for change in found} == {"n1"}
    assert [change.worker_down for change in found] == [number % 5 == 0 for number in range(38, -1, -2)]
    assert untils == [None, found[6].at, found[13].at]
    assert list((await stores.presence.read("stranger", limit=7)).items) == []


@pytest.mark.parametrize("cursor", ["nonsense", encode_cursor(1), encode_cursor("a", 1)])
async def test_a_foreign_cursor_of_presence_is_refused(stores: StoreSet, cursor: str) -> None:
    with pytest.raises(Invalid):
        await stores.presence.read("n1", limit=7, cursor=cursor)


@pytest.mark.parametrize("parts", [(float("nan"), 1), (float("inf"), 1), (-1e300, -(2**70)), (1e300, 2**70)])
async def test_a_forged_cursor_of_presence_reads_nothing_or_a_page(
    stores: StoreSet, now: datetime, parts: tuple[float, int]
) -> None:
    await stores.nodes.add_all([node("n1", now)])
    await stores.presence.add([PresenceChange(node="n1", at=now, presence=Presence.ONLINE)])
    assert (await stores.presence.read("n1", limit=7, cursor=encode_cursor(*parts))).items == []


async def test_a_removed_node_takes_its_presence_with_it(stores: StoreSet, now: datetime) -> None:
    await stores.nodes.add_all([node("n1", now), node("n2", now)])
    await stores.presence.add([PresenceChange(node=name, at=now, presence=Presence.ONLINE) for name in ("n1", "n2")])
    await stores.nodes.remove("n1")
    await stores.nodes.add_all([node("n1", now)])
    assert (await stores.presence.read("n1", limit=7)).items == []
    assert len((await stores.presence.read("n2", limit=7)).items) == 1


async def test_revoked_keys_outlive_their_node(
    stores: StoreSet, now: datetime, make_token: Callable[..., JoinToken]
) -> None:
    await stores.tokens.add(make_token(uses=5, uses_left=5))
    await stores.tokens.enrol("T1", node("n1", now), now=now)
    gone = await stores.nodes.revoke("n1", reason="stolen", now=now)
    assert (gone.revoked, gone.revoked_reason, gone.resource_version) == (True, "stolen", 2)
    with pytest.raises(Conflict):
        await stores.tokens.enrol("T1", node("n1", now), now=now)
    at = int(now.timestamp()) + 1
    assert await stores.nodes.revocations() == {"D-n1-K": at, "W-n1-K": at}
    await stores.nodes.remove("n1")
    assert len(await stores.nodes.revocations()) == 2
    for ask in (stores.nodes.remove("n1"), stores.nodes.revoke("n1", reason="", now=now)):
        with pytest.raises(NotFound):
            await ask


async def test_a_reset_node_takes_new_keys_and_keeps_its_labels(
    stores: StoreSet, now: datetime, make_token: Callable[..., JoinToken]
) -> None:
    await stores.tokens.add(make_token(uses=2, uses_left=2))
    await stores.tokens.enrol("T1", node("n1", now), now=now)
    await stores.nodes.set_labels(["n1"], Relabelling(merge={"rack": "r1"}))
    emptied = await stores.nodes.reset("n1", now=now)
    assert (emptied.daemon_key, emptied.worker_key) == ("", "")
    await stores.tokens.enrol("T1", replace(node("n1", now, key="new"), labels={"env": "dev"}), now=now)
    again = await stores.nodes.get("n1")
    assert again.daemon_key == "D-n1-new"
    assert again.labels == {"role": "web", "ä": "ö", "rack": "r1", "env": "dev"}
    assert (await stores.tokens.get("T1")).uses_left == 0
    assert set(await stores.nodes.revocations()) == {"D-n1-K", "W-n1-K"}


async def test_fifty_racing_joins_on_a_one_use_token_make_one_node(
    stores: StoreSet, now: datetime, make_token: Callable[..., JoinToken]
) -> None:
    await stores.tokens.add(make_token())

    async def join(number: int) -> str:
        try:
            await stores.tokens.enrol("T1", node(f"n{number}", now), now=now)
        except TokenRefused:
            return "refused"
        return "joined"

    outcomes = await asyncio.gather(*(join(number) for number in range(50)))
    assert outcomes.count("joined") == 1
    assert len(await stores.nodes.all()) == 1
    assert (await stores.tokens.get("T1")).uses_left == 0


async def test_racing_joins_of_one_name_make_one_node(
    stores: StoreSet, now: datetime, make_token: Callable[..., JoinToken]
) -> None:
    await stores.tokens.add(make_token(uses=50, uses_left=50))

    async def join(key: str) -> str:
        try:
            await stores.tokens.enrol("T1", node("n1", now, key=key), now=now)
        except Conflict:
            return "taken"
        return "joined"

    outcomes = await asyncio.gather(*(join(f"key{number}") for number in range(10)))
    assert sorted(outcomes) == ["joined"] + ["taken"] * 9
    assert (await stores.tokens.get("T1")).uses_left == 49, "a refused join spends nothing"


async def test_the_same_keys_again_cost_no_use(
    stores: StoreSet, now: datetime, make_token: Callable[..., JoinToken]
) -> None:
    await stores.tokens.add(make_token())
    for _ in range(3):
        await stores.tokens.enrol("T1", node("n1", now), now=now)
    found = await stores.tokens.get("T1")
    assert found == make_token(uses_left=0)
    with pytest.raises(Conflict):
        await stores.tokens.enrol("T1", node("n1", now, key="other"), now=now)


@pytest.mark.parametrize(
    ("fields", "after", "why"),
    [
        ({"revoked": True}, timedelta(0), "revoked"),
        ({}, HOUR, "expired"),
        ({"node_id": "other"}, timedelta(0), "made for node"),
        ({"uses_left": 0}, timedelta(0), "used up"),
    ],
)
async def test_a_token_that_does_not_fit_says_why(
    stores: StoreSet,
    now: datetime,
    make_token: Callable[..., JoinToken],
    fields: dict[str, object],
    after: timedelta,
    why: str,
) -> None:
    await stores.tokens.add(make_token(**fields))
    with pytest.raises(TokenRefused, match=why):
        await stores.tokens.enrol("T1", node("n1", now), now=now + after)
    assert await stores.nodes.all() == []


async def test_tokens_are_listed_and_revoked(
    stores: StoreSet, now: datetime, make_token: Callable[..., JoinToken]
) -> None:
    await stores.tokens.add(make_token())
    await stores.tokens.add(make_token(id="T2", created_at=now + HOUR))
    await stores.tokens.revoke("T1")
    assert [(token.id, token.revoked) for token in await stores.tokens.list()] == [("T2", False), ("T1", True)]
    with pytest.raises(NotFound):
        await stores.tokens.revoke("T9")
    for ask in (stores.tokens.get("T9"), stores.tokens.enrol("T9\0", node("n1", now), now=now)):
        with pytest.raises(TokenRefused):
            await ask


async def test_api_tokens_are_found_by_their_hash(stores: StoreSet, now: datetime) -> None:
    token = ApiToken(
        id="A1", name="ci", hash=b"\0" * 32, permissions=frozenset({"exec.run", "exec.read"}), created_at=now
    )
    await stores.api_tokens.add(token)
    assert await stores.api_tokens.by_hash(b"\0" * 32) == token
    assert await stores.api_tokens.by_hash(b"\1" * 32) is None
    with pytest.raises(Conflict):
        await stores.api_tokens.add(replace(token, id="A2"))
    await stores.api_tokens.touch({"A1": now + HOUR, "A9": now})
    await stores.api_tokens.touch({"A1": now})
    await stores.api_tokens.touch({})
    await stores.api_tokens.revoke("A1")
    assert list(await stores.api_tokens.list()) == [replace(token, last_used_at=now + HOUR, revoked=True)]
    with pytest.raises(NotFound):
        await stores.api_tokens.revoke("A9")


async def test_of_two_refreshes_with_one_counter_one_succeeds(stores: StoreSet, now: datetime) -> None:
    session = Session(id="S1", name="ada", permissions=frozenset({"*"}), created_at=now, expires_at=now + HOUR)
    await stores.sessions.add(session)
    assert await stores.sessions.get("S1") == session
    won = await asyncio.gather(*(stores.sessions.rotate("S1", counter=1, now=now) for _ in range(5)))
    assert sorted(won) == [False] * 4 + [True]
    found = await stores.sessions.get("S1")
    assert found == replace(session, counter=2, rotated_at=now)
    await stores.sessions.revoke("S1")
    assert not await stores.sessions.rotate("S1", counter=2, now=now)
    assert await stores.sessions.drop_expired(now=now) == 0
    assert await stores.sessions.drop_expired(now=now + HOUR) == 1
    assert await stores.sessions.get("S1") is None


async def test_the_first_answer_of_a_key_stays(stores: StoreSet, now: datetime) -> None:
    first = StoredAnswer(request_hash="h1", status=201, body=b"\0one", at=now)
    await stores.answers.put("k", "ada", first)
    await stores.answers.put("k", "ada", replace(first, body=b"two"))
    await stores.answers.put("k", "bob", replace(first, body=b"bob's"))
    assert await stores.answers.get("k", "ada") == first
    found = await stores.answers.get("k", "bob")
    assert found is not None
    assert found.body == b"bob's"
    assert await stores.answers.get("k2", "ada") is None
    assert await stores.answers.drop_before(now + HOUR) == 2
    assert await stores.answers.get("k", "ada") is None


async def test_audit_pages_from_the_newest(stores: StoreSet, now: datetime) -> None:
    entry = AuditEntry(
        at=now,
        actor="ada",
        address="::1",
        action="exec.run",
        target="all",
        outcome="ok",
        status=201,
        details={"a": [1]},
    )
    await stores.audit.add(entry)
    await stores.audit.add_many([replace(entry, target=f"t{number}") for number in range(20)])
    first = await stores.audit.list(limit=15)
    rest = await stores.audit.list(limit=15, before=first[-1][0])
    assert [had.target for _, had in (*first, *rest)] == [*(f"t{number}" for number in reversed(range(20))), "all"]
    assert rest[-1][1] == entry


async def test_a_lease_has_one_holder_and_a_growing_token(stores: StoreSet, now: datetime) -> None:
    leases = stores.leases
    assert await leases.acquire("leader", "a", seconds=10, now=now) == 1
    assert await leases.acquire("leader", "b", seconds=10, now=now) is None
    assert await leases.acquire("leader", "a", seconds=10, now=now + timedelta(seconds=5)) == 1
    assert await leases.acquire("leader", "b", seconds=10, now=now + timedelta(seconds=14)) is None
    assert await leases.acquire("leader", "b", seconds=10, now=now + timedelta(seconds=15)) == 2
    assert await leases.acquire("leader", "a", seconds=10, now=now + timedelta(seconds=16)) is None
    await leases.release("leader", "a")
    assert await leases.acquire("leader", "a", seconds=10, now=now + timedelta(seconds=16)) is None
    await leases.release("leader", "b")
    assert await leases.acquire("leader", "a", seconds=10, now=now + timedelta(seconds=16)) == 3
    assert await leases.acquire("leader", "a", seconds=10, now=now + timedelta(seconds=60)) == 4, "it had run out"
    assert await leases.acquire("other", "b", seconds=10, now=now) == 1


async def test_of_many_who_want_the_lease_one_gets_it(stores: StoreSet, now: datetime) -> None:
    tokens = await asyncio.gather(*(stores.leases.acquire("x", f"s{n}", seconds=10, now=now) for n in range(20)))
    assert sorted(token for token in tokens if token is not None) == [1]


async def test_dead_letters_are_kept_a_hundred_an_hour_per_node(stores: StoreSet) -> None:
    letters = [DeadLetter(subject=f"s{n}", reason="bad \0", body=b"\0" * 9000, node="n1") for n in range(130)]
    await stores.dead_letters.add(letters[:60])
    await stores.dead_letters.add([*letters[60:], DeadLetter(subject="other", reason="r", body=b"", node="n2")])
    kept = await stores.dead_letters.list(limit=500)
    assert len(kept) == 101
    assert kept[0].subject == "other"
    assert len(kept[-1].body) == 4096


async def test_errors_are_ours(stores: StoreSet, now: datetime) -> None:
    """Whatever the database, a caller sees one tree of errors."""
    await stores.nodes.add_all([node("n1", now)])
    with pytest.raises(CorralError):
        await stores.nodes.set_labels(["n1"], Relabelling(add=frozenset({"c"})), if_match=99)
