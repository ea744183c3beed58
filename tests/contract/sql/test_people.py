"""Users and failed logins: in memory, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Conflict, NotFound, TooMany, Unauthenticated
from corral.runtime.clock import SystemClock
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.lockout import Lockout, Patience
from corral.server.application.access.sessions import Sessions
from corral.server.application.access.standing import Standing
from corral.server.application.ports.access import ApiToken, ApiTokenStore, Session, SessionStore
from corral.server.application.ports.people import Attempts, AttemptStore, User, UserSource, UserStore
from corral.server.application.ports.roles import RoleGrant, RoleStore, SubjectKind
from corral.server.infrastructure.auth.jwt import JwtMint
from corral.server.infrastructure.auth.signer import HmacSigner
from corral.server.infrastructure.sql.access import SqlApiTokenStore
from corral.server.infrastructure.sql.attempts import SqlAttemptStore
from corral.server.infrastructure.sql.roles import SqlRoleStore
from corral.server.infrastructure.sql.sessions import SqlSessionStore
from corral.server.infrastructure.sql.users import SqlUserStore
from corral.testing.access_bench import KEY
from corral.testing.clock import FakeClock
from corral.testing.people_stores import MemoryAttemptStore, MemoryUserStore
from corral.testing.role_store import MemoryRoleStore
from corral.testing.store_set import sql_stores
from corral.testing.stores import MemoryApiTokenStore, MemoryDatabase, MemorySessionStore

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class People:
    users: UserStore
    attempts: AttemptStore
    roles: RoleStore
    sessions: SessionStore
    tokens: ApiTokenStore

    async def admin(self, name: str, number: int) -> User:
        await self.roles.add_grant(
            RoleGrant(
                id=f"G{number:018}",
                subject_kind=SubjectKind.USER,
                subject=name,
                role="admin",
                selector=EVERYWHERE,
                created_at=NOW,
                created_by="test",
            ),
            role_version=None,
        )
        return await self.user(name, number)

    async def user(self, name: str, number: int) -> User:
        user = User(id=f"U{number:018}", name=name, created_at=NOW)
        await self.users.add(user)
        return user


@pytest.fixture
async def people(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[People]:
    if kind == "memory":
        db, roles = MemoryDatabase(), MemoryRoleStore()
        yield People(
            MemoryUserStore(db, roles), MemoryAttemptStore(), roles, MemorySessionStore(db), MemoryApiTokenStore(db)
        )
        return
    url = request.getfixturevalue("cluster").database() if kind == "postgres" else f"sqlite:///{tmp_path}/corral.db"
    async with sql_stores(url, SystemClock()) as made:
        sql = made.db
        assert sql is not None
        yield People(
            SqlUserStore(sql), SqlAttemptStore(sql), SqlRoleStore(sql), SqlSessionStore(sql), SqlApiTokenStore(sql)
        )


async def test_a_user_is_read_as_it_was_written(people: People) -> None:
    user = User(
        id="U000000000000000001",
        name="ada",
        display_name="Ada Løvelace",
        email="ada@example.org",
        password_hash="$argon2id$x",
        must_change=True,
        source=UserSource.OIDC,
        subject="https://id.example.org#42",
        groups=frozenset({"ops", "dev"}),
        version=3,
        invite_hash=b"\x00\xff",
        invite_expires_at=NOW + timedelta(hours=1),
        created_at=NOW,
        last_login_at=NOW,
    )
    await people.users.add(user)
    assert await people.users.get(user.id) == user
    assert await people.users.by_name("ada") == user
    assert await people.users.by_subject("https://id.example.org#42") == user
    assert await people.users.by_invite(b"\x00\xff") == user
    assert await people.users.by_name("Ada") is None
    for other in (replace(user, id="U000000000000000002"), replace(user, id="U000000000000000003", name="eve")):
        with pytest.raises(Conflict):
            await people.users.add(other)


async def test_users_are_listed_by_name_a_page_at_a_time(people: People) -> None:
    for number, name in enumerate(["cleo", "ada", "bob"]):
        await people.user(name, number)
    assert [user.name for user in await people.users.list(limit=2)] == ["ada", "bob"]
    assert [user.name for user in await people.users.list(limit=2, after="bob")] == ["cleo"]


async def test_changes_of_one_user_never_overwrite_each_other(people: People) -> None:
    user = await people.user("ada", 1)
    await asyncio.gather(
        *(people.users.change(user.id, lambda have: replace(have, version=have.version + 1)) for _ in range(8))
    )
    after = await people.users.get(user.id)
    assert after is not None
    assert (after.version, after.resource_version) == (9, 9)
    with pytest.raises(NotFound):
        await people.users.change("U999999999999999999", lambda have: have)


async def test_what_a_change_raises_leaves_the_user_as_it_was(people: People) -> None:
    user = await people.user("ada", 1)

    def no(have: User) -> User:
        raise Conflict("cannot do this")

    with pytest.raises(Conflict):
        await people.users.change(user.id, no)
    assert await people.users.get(user.id) == user


async def test_the_last_admin_is_neither_disabled_nor_removed_even_by_two_at_once(people: People) -> None:
    ada, bob = await people.admin("ada", 1), await people.admin("bob", 2)
    await people.user("cleo", 3)

    async def disable(user: User) -> bool:
        try:
            await people.users.change(user.id, lambda have: replace(have, disabled=True), keep="admin")
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(disable(ada), disable(bob))) == [False, True]
    left = next(user for user in await people.users.list(limit=9) if not user.disabled and user.name != "cleo")
    with pytest.raises(Conflict):
        await people.users.remove(left.id, keep="admin")
    gone = ada if left.id == bob.id else bob
    assert (await people.users.remove(gone.id, keep="admin")).disabled


async def test_removing_a_user_takes_grants_sessions_and_tokens_with_it(people: People) -> None:
    await people.admin("ada", 1)
    bob = await people.admin("bob", 2)
    session = Session(
        id="S000000000000000001",
        name="bob",
        permissions=frozenset({"*"}),
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
        user=bob.id,
        user_version=1,
        method="password",
        address="192.0.2.1",
    )
    await people.sessions.add(session)
    assert await people.sessions.get(session.id) == session
    await people.tokens.add(
        ApiToken(id="K1", name="ci", hash=b"h", permissions=frozenset({"*"}), created_at=NOW, owner=bob.id)
    )
    await people.users.remove(bob.id, keep="admin")
    assert {grant.subject for grant in (await people.roles.book()).grants} == {"ada"}
    assert (await people.sessions.get(session.id)) == replace(session, revoked=True)
    assert [(token.owner, token.revoked) for token in await people.tokens.list()] == [(bob.id, True)]


async def test_lasting_sessions_are_listed_newest_first(people: People) -> None:
    for number, user in enumerate(["U1", "U2", "U1"]):
        await people.sessions.add(
            Session(
                id=f"S{number}",
                name="x",
                permissions=frozenset({"*"}),
                created_at=NOW + timedelta(seconds=number),
                expires_at=NOW + timedelta(hours=number),
                user=user,
            )
        )
    assert [s.id for s in await people.sessions.list(user=None, now=NOW, limit=9)] == ["S2", "S1"]
    assert [s.id for s in await people.sessions.list(user="U1", now=NOW, limit=9)] == ["S2"]
    await people.sessions.revoke("S2")
    assert [s.id for s in await people.sessions.list(user=None, now=NOW, limit=1)] == ["S1"]


async def test_failed_logins_are_counted_one_after_the_other(people: People) -> None:
    def count(known: Mapping[str, Attempts]) -> Mapping[str, Attempts]:
        return {key: replace(row, count=row.count + 1, last_at=5.0) for key, row in known.items()}

    await asyncio.gather(
        *(people.attempts.update(["b", "a"] if number % 2 else ["a", "b"], count) for number in range(10))
    )
    seen: dict[str, Attempts] = {}
    await people.attempts.update(["a", "b"], lambda known: seen.update(known) or known)
    assert {key: row.count for key, row in seen.items()} == {"a": 10, "b": 10}
    assert await people.attempts.drop_before(datetime.fromtimestamp(6, UTC)) == 2


async def test_two_servers_count_a_burst_of_guesses_together(people: People) -> None:
    servers = [
        Lockout(store=people.attempts, clock=SystemClock(), patience=Patience(attempts=5, lockout_seconds=30))
        for _ in range(2)
    ]

    async def guess(number: int) -> bool:
        try:
            await servers[number % 2].begin(address=f"192.0.2.{number}", name="ada")
        except TooMany:
            return False
        return True

    assert sum(await asyncio.gather(*(guess(number) for number in range(40)))) == 5


class Server:
    """What one server remembers of sessions and people, over stores that it shares."""

    def __init__(self, people: People, clock: FakeClock) -> None:
        self.sessions = Sessions(store=people.sessions, signer=HmacSigner(KEY), mint=JwtMint(KEY), clock=clock)
        self.book = GrantBook(store=people.roles, clock=clock, groups_of=self.no_groups)
        self.standing = Standing(users=people.users, grants=self.book, clock=clock)

    async def no_groups(self, user: str) -> list[str]:
        return []

    async def lets_in(self, token: str) -> frozenset[str] | None:
        """The permissions of whoever shows this access token; None for a 401."""
        session = await self.sessions.read(token)
        holding = None if session is None else await self.standing.of_session(session)
        return None if holding is None else holding.permissions


async def test_what_one_server_ends_another_lets_in_for_a_second_at_most(people: People) -> None:
    clock = FakeClock()
    here, there = Server(people, clock), Server(people, clock)
    ada, bob = await people.admin("ada", 1), await people.admin("bob", 2)
    tokens = {}
    for user in (ada, bob):
        issued = await here.sessions.begin(name=user.name, permissions=frozenset({"*"}), method="password", user=user)
        tokens[user.name] = issued
        assert await there.lets_in(issued.access_token) == {"*"}
    await here.sessions.end(tokens["ada"].session)
    disabled = await people.users.change(bob.id, lambda have: replace(have, disabled=True, version=2), keep="admin")
    here.standing.forget(disabled)
    assert await here.lets_in(tokens["ada"].access_token) is None
    assert await here.lets_in(tokens["bob"].access_token) is None
    await clock.advance(1.0)
    assert await there.lets_in(tokens["ada"].access_token) is None
    assert await there.lets_in(tokens["bob"].access_token) is None


async def test_a_refresh_token_used_at_two_servers_at_once_is_spent_once(people: People) -> None:
    clock = FakeClock()
    servers = [Server(people, clock) for _ in range(2)]
    ada = await people.user("ada", 1)
    issued = await servers[0].sessions.begin(name="ada", permissions=frozenset({"*"}), method="password", user=ada)

    async def refresh(number: int) -> bool:
        sessions = servers[number % 2].sessions
        try:
            await sessions.refresh(*await sessions.current(issued.refresh_token))
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(refresh(number) for number in range(8)))) == 1
    await clock.advance(11.0)  # no race any more: a copy
    with pytest.raises(Unauthenticated):
        await servers[1].sessions.current(issued.refresh_token)
    kept = await people.sessions.get(issued.session)
    assert kept is not None
    assert kept.revoked
