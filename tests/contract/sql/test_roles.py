"""Roles and grants: the same promises in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from corral.domain.errors import Conflict, NotFound
from corral.domain.ids import new_id
from corral.server.application.ports.roles import Role, RoleGrant, RoleStore, SubjectKind
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.roles import SqlRoleStore
from corral.server.infrastructure.sql.statements import Statement
from corral.testing.role_store import MemoryRoleStore

NOW = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)
ADD_USER = Statement(
    """
    insert into users (id, name, "groups", disabled, created_at) values (:id, :name, :groups, :disabled, 0)
    """
)


@dataclass
class Made:
    store: RoleStore
    user: Callable[..., Any]


@pytest.fixture
async def made(kind: str, request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Made]:
    if kind == "memory":
        disabled: set[str] = set()
        memory = MemoryRoleStore()
        memory.enabled = lambda name: name not in disabled

        async def remember(name: str, *, off: bool = False) -> None:
            if off:
                disabled.add(name)

        yield Made(memory, remember)
        return
    url = request.getfixturevalue("cluster").database() if kind == "postgres" else f"sqlite:///{tmp_path}/corral.db"
    db = Database(url)
    await migrate(db)

    async def add(name: str, *, off: bool = False, groups: str = "[]") -> None:
        async with db.write() as tx:
            await tx.run(ADD_USER, id=f"U-{name}", name=name, groups=groups, disabled=off)

    yield Made(SqlRoleStore(db), add)
    await db.close()


def role(name: str = "careful", **fields: Any) -> Role:
    base = Role(name=name, permissions=frozenset({"exec.run", "node.read"}), created_at=NOW, created_by="ada")
    return replace(base, **fields)


NUMBERS = iter(range(10**6))


def grant(subject: str = "ana", of: str = "careful", **fields: Any) -> RoleGrant:
    number = next(NUMBERS)
    base = RoleGrant(
        id=new_id("G", 1_700_000_000_000 + number, number.to_bytes(6, "big")),
        subject_kind=SubjectKind.USER,
        subject=subject,
        role=of,
        selector="all",
        created_at=NOW,
        created_by="ada",
    )
    return replace(base, **fields)


async def test_a_role_is_what_was_stored(made: Made) -> None:
    wanted = role(description="Sees; runs.", max_nodes=20)
    assert await made.store.add_role(wanted) == wanted
    assert (await made.store.book()).roles == {"careful": wanted}


async def test_two_roles_of_one_name_are_refused(made: Made) -> None:
    await made.store.add_role(role())
    with pytest.raises(Conflict, match="it exists"):
        await made.store.add_role(role(permissions=frozenset({"*"})))
    assert (await made.store.book()).roles["careful"].permissions == {"exec.run", "node.read"}


async def test_a_change_over_an_older_version_or_unseen_grants_changes_nothing(made: Made) -> None:
    await made.store.add_role(role())
    changed = await made.store.change_role(role(max_nodes=5), if_match=1, granted=frozenset())
    assert (changed.max_nodes, changed.resource_version) == (5, 2)
    with pytest.raises(Conflict):
        await made.store.change_role(role(max_nodes=9), if_match=1, granted=frozenset())
    have = await made.store.add_grant(grant(), role_version=2)
    with pytest.raises(Conflict):
        await made.store.change_role(role(max_nodes=9), if_match=2, granted=frozenset())
    assert (await made.store.book()).roles["careful"].max_nodes == 5
    await made.store.change_role(role(max_nodes=None), if_match=2, granted={have.id})
    assert (await made.store.book()).roles["careful"].max_nodes is None
    with pytest.raises(NotFound):
        await made.store.change_role(role("other"), if_match=1, granted=frozenset())


async def test_a_role_somebody_has_is_not_deleted_and_says_who(made: Made) -> None:
    await made.store.add_role(role())
    have = await made.store.add_grant(grant("ana"), role_version=1)
    with pytest.raises(Conflict, match="ana"):
        await made.store.drop_role("careful", if_match=None)
    await made.store.drop_grant(have.id, keep="admin")
    with pytest.raises(Conflict):
        await made.store.drop_role("careful", if_match=7)
    await made.store.drop_role("careful", if_match=1)
    with pytest.raises(NotFound):
        await made.store.drop_role("careful", if_match=None)


async def test_the_same_grant_again_is_the_first_one(made: Made) -> None:
    await made.store.add_role(role())
    first = await made.store.add_grant(grant(selector='labels["env"] == "dev"'), role_version=1)
    assert await made.store.add_grant(grant(selector='labels["env"] == "dev"'), role_version=1) == first
    other = await made.store.add_grant(grant(selector="web-1"), role_version=1)
    team = await made.store.add_grant(grant(subject_kind=SubjectKind.GROUP), role_version=1)
    assert list((await made.store.book()).grants) == [first, other, team]


async def test_a_role_that_changed_or_went_is_not_granted(made: Made) -> None:
    await made.store.add_role(role())
    await made.store.change_role(role(max_nodes=5), if_match=1, granted=frozenset())
    with pytest.raises(Conflict):
        await made.store.add_grant(grant(), role_version=1)
    with pytest.raises(NotFound):
        await made.store.add_grant(grant(of="gone"), role_version=1)
    assert not (await made.store.book()).grants


async def test_the_last_admin_everywhere_stays(made: Made) -> None:
    for name in ("ana", "ben"):
        await made.user(name)
    await made.user("old", off=True)
    ana, ben, dev, team, old = [
        await made.store.add_grant(wanted, role_version=None)
        for wanted in (
            grant("ana", "admin"),
            grant("ben", "admin"),
            grant("ben", "admin", selector="web-*"),
            grant("team", "admin", subject_kind=SubjectKind.GROUP),
            grant("old", "admin"),
        )
    ]
    await made.store.drop_grant(ana.id, keep="admin")
    with pytest.raises(Conflict, match="nobody else"):
        await made.store.drop_grant(ben.id, keep="admin")
    for free in (dev, team, old):
        await made.store.drop_grant(free.id, keep="admin")
    assert [have.id for have in (await made.store.book()).grants] == [ben.id]
    with pytest.raises(NotFound):
        await made.store.drop_grant(ana.id, keep="admin")


async def test_two_who_revoke_each_other_leave_one(made: Made) -> None:
    for name in ("ana", "ben"):
        await made.user(name)
    ids = [(await made.store.add_grant(grant(name, "admin"), role_version=None)).id for name in ("ana", "ben")]
    ends = await asyncio.gather(*(made.store.drop_grant(id_, keep="admin") for id_ in ids), return_exceptions=True)
    assert sorted(isinstance(end, Conflict) for end in ends) == [False, True]
    assert len((await made.store.book()).grants) == 1


async def test_granting_and_widening_at_once_never_both_succeed_unseen(made: Made) -> None:
    """Whoever widens a role has looked at who has it: a grant that slips in between makes it fail, or fails itself."""
    for turn in range(5):
        name = f"role-{turn}"
        await made.store.add_role(role(name))
        ends = await asyncio.gather(
            made.store.add_grant(grant("ana", name), role_version=1),
            made.store.change_role(role(name, permissions=frozenset({"*"})), if_match=1, granted=frozenset()),
            return_exceptions=True,
        )
        assert sum(isinstance(end, Conflict) for end in ends) == 1


async def test_groups_are_those_of_a_user_who_may_log_in(url: str) -> None:
    db = Database(url)
    await migrate(db)
    async with db.write() as tx:
        await tx.run(ADD_USER, id="U1", name="ana", groups='["dev","ops"]', disabled=False)
        await tx.run(ADD_USER, id="U2", name="old", groups='["dev"]', disabled=True)
    store = SqlRoleStore(db)
    assert await store.groups_of("ana") == ["dev", "ops"]
    assert await store.groups_of("old") is None
    assert await store.groups_of("nobody") is None
    await db.close()
