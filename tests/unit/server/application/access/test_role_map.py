"""Roles of groups by configuration: they come and go with the file, and touch nothing that people granted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from corral.domain.errors import Invalid
from corral.server.application.access.role_map import BY, apply_role_map, parse_role_map
from corral.server.application.ports.roles import RoleGrant, SubjectKind
from corral.testing.clock import FakeClock
from corral.testing.role_store import MemoryRoleStore

NOW = datetime(2026, 11, 21, tzinfo=UTC)


async def held(store: MemoryRoleStore) -> set[tuple[str, str, str, str]]:
    return {
        (grant.subject_kind.value, grant.subject, grant.role, grant.created_by) for grant in (await store.book()).grants
    }


@pytest.fixture
async def store() -> MemoryRoleStore:
    """With a grant that somebody made by hand, to the same group."""
    made = MemoryRoleStore()
    by_hand = RoleGrant(
        id="G000000000000000001",
        subject_kind=SubjectKind.GROUP,
        subject="ops",
        role="viewer",
        selector="all",
        created_at=NOW,
        created_by="ada",
    )
    await made.add_grant(by_hand, role_version=None)
    return made


async def test_the_file_is_what_groups_have_besides_what_people_granted(store: MemoryRoleStore) -> None:
    clock = FakeClock()
    hand = ("group", "ops", "viewer", "ada")
    for lines, wanted in (
        (["ops=operator", "cn=admins,dc=example=admin"], {("ops", "operator"), ("cn=admins,dc=example", "admin")}),
        (["ops=operator", "ops=deployer"], {("ops", "operator"), ("ops", "deployer")}),
        (["ops=operator", "ops=deployer"], {("ops", "operator"), ("ops", "deployer")}),
        ([], set()),
    ):
        await apply_role_map(store, lines, clock=clock)
        assert await held(store) == {hand, *(("group", group, role, BY) for group, role in wanted)}


async def test_what_somebody_granted_already_stays_theirs(store: MemoryRoleStore) -> None:
    await apply_role_map(store, ["ops=viewer"], clock=FakeClock())
    await apply_role_map(store, [], clock=FakeClock())
    assert await held(store) == {("group", "ops", "viewer", "ada")}


async def test_a_role_that_is_not_there_changes_nothing(store: MemoryRoleStore) -> None:
    before = await held(store)
    with pytest.raises(Invalid, match="no role 'oprator'"):
        await apply_role_map(store, ["devs=viewer", "ops=oprator"], clock=FakeClock())
    assert await held(store) == before


@pytest.mark.parametrize("line", ["ops", "=operator", "ops=", " = ", "x" * 200 + "=operator"])
def test_a_line_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(Invalid, match="role_map"):
        parse_role_map([line])
