"""Making roles, granting and revoking them; and that nobody gives what he does not hold where he holds it."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.errors import BadSelector, Conflict, Denied, Invalid, NotFound, WrongState
from corral.server.application.access.extent import LIMITED, NODE_WORDS, SHARED_WORDS
from corral.server.application.access.permissions import PERMISSIONS
from corral.server.application.access.ready_roles import READY, ready_role_with
from corral.server.application.ports.access import Caller

DEV = 'labels["env"] == "dev"'
ROOT = Caller(name="root")


def test_ready_roles_use_words_that_exist_and_keep_dangerous_ones_apart() -> None:
    for role in READY.values():
        assert role.ready and (role.permissions <= PERMISSIONS or role.permissions == {"*"})
    assert list(READY) == ["viewer", "operator", "deployer", "approver", "admin"]
    seen = READY["viewer"].permissions
    assert all(word.endswith(".read") for word in seen) and not seen & {"audit.read", "user.read", "secret.read"}
    for name in ("operator", "deployer", "approver"):
        assert seen < READY[name].permissions
        assert not READY[name].permissions & {"exec.host", "role.write", "user.write", "access.write", "policy.write"}
    assert not READY["deployer"].permissions & {"exec.run", "exec.shell"}
    assert not any(word.endswith((".run", ".apply")) for word in READY["approver"].permissions)
    assert ready_role_with("exec.run") == "operator" and ready_role_with("audit.read") == "admin"


def test_words_about_nodes_and_shared_things_are_words_and_power_over_people_is_not_among_them() -> None:
    assert NODE_WORDS | SHARED_WORDS <= PERMISSIONS and not NODE_WORDS & SHARED_WORDS
    for room in ("user", "role", "access", "token", "system", "audit", "secret", "policy", "connection"):
        for verb in ("write",):
            assert f"{room}.{verb}" not in LIMITED


async def test_admin_of_some_nodes_is_admin_of_nothing_else(house: Any) -> None:
    await house.grant("admin", "ana", DEV)
    ana = await house.caller("ana")
    assert ana.permissions == LIMITED
    assert not ana.may("role.write") and not ana.may("system.write") and not ana.may("*")
    with pytest.raises(Denied):
        await house.grant("admin", "ana", by=ana)


async def test_a_grant_gives_a_role_where_its_selector_is(house: Any) -> None:
    await house.grant("operator", "ana", DEV)
    await house.grant("viewer", "ana")
    ana = await house.caller("ana")
    assert ana.where("exec.run") == (DEV,)
    assert ana.where("node.read") == ("all",)
    assert ana.where("audit.read") == ()
    assert (await house.caller("nobody")).permissions == frozenset()


async def test_what_comes_through_a_group_counts_until_one_leaves_it_or_may_not_log_in(house: Any) -> None:
    await house.grant("operator", "group:ops", DEV)
    house.groups["ana"] = ["ops"]
    assert (await house.caller("ana")).where("exec.run") == (DEV,)
    assert [one.subject for one in await house.grants.list(ROOT, user="ana")] == ["ops"]
    house.groups["ana"] = []
    await house.clock.advance(1.0)
    assert (await house.caller("ana")).permissions == frozenset()
    await house.grant("operator", "ana")
    house.groups["ana"] = None
    house.book.forget()
    assert (await house.caller("ana")).permissions == frozenset()


async def test_a_revoked_grant_is_gone_at_once_and_the_book_is_read_once_a_second(house: Any) -> None:
    made = await house.grant("operator", "ana", DEV)
    await house.caller("ana")
    before = house.store.reads
    for _ in range(100):
        assert (await house.caller("ana")).may("exec.run")
    assert house.store.reads == before
    await house.grants.revoke(ROOT, made.id)
    assert not (await house.caller("ana")).may("exec.run")
    await house.store.add_grant(made, role_version=None)  # at another server
    await house.clock.advance(1.0)
    assert (await house.caller("ana")).may("exec.run")


@pytest.mark.parametrize(
    ("selector", "column"),
    [('facts["role"] == "web"', 1), ("web-* or online", 10), (DEV + ' and system["a"] == "b"', 28)],
)
async def test_a_grant_by_what_a_node_says_is_refused_at_its_column(house: Any, selector: str, column: int) -> None:
    with pytest.raises(BadSelector) as refused:
        await house.grant("operator", "ana", selector)
    assert refused.value.column == column
    assert not (await house.store.book()).grants


@pytest.mark.parametrize(
    ("role", "to", "selector", "error"),
    [
        ("operatr", "ana", "all", NotFound),
        ("operator", "", "all", Invalid),
        ("operator", "an\na", "all", Invalid),
        ("operator", "ana", "web-1," * 200 + "web-1", Invalid),
        ("operator", "ana", "web-1 and", BadSelector),
    ],
)
async def test_bad_grants_leave_nothing(house: Any, role: str, to: str, selector: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await house.grant(role, to, selector)
    assert not (await house.store.book()).grants


async def test_a_role_about_the_server_alone_cannot_be_granted_on_nodes(house: Any) -> None:
    await house.roles.create(ROOT, name="auditor", permissions=["audit.read"])
    with pytest.raises(Invalid, match="about the whole server"):
        await house.grant("auditor", "ana", DEV)
    await house.grant("auditor", "ana")


# ── nobody gives what he does not hold ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def keeper(house: Any) -> Caller:
    """May grant roles, and is operator on dev alone."""
    await house.roles.create(ROOT, name="keeper", permissions=["role.read", "role.write", "node.read"])
    await house.grant("keeper", "kim")
    await house.grant("operator", "kim", DEV)
    found: Caller = await house.caller("kim")
    return found


async def test_one_may_grant_what_one_holds_there_or_narrower(house: Any, keeper: Caller) -> None:
    await house.grant("operator", "ana", DEV, by=keeper)
    await house.grant("operator", "ana", f"{DEV} and dev-1", by=keeper)
    await house.grant("operator", "ana", 'labels["env"] in ["dev"]', by=keeper)


@pytest.mark.parametrize(
    ("role", "selector"),
    [
        ("operator", "all"),
        ("operator", 'labels["env"] == "prod"'),
        ("operator", "dev-1"),
        ("operator", f"{DEV} or prod-1"),
        ("operator", 'labels["env"] in ["dev", "prod"]'),
        ("deployer", DEV),
        ("admin", DEV),
        ("admin", "all"),
        ("viewer", "all"),
    ],
)
async def test_one_may_not_grant_more_or_elsewhere_even_if_the_nodes_are_the_same_today(
    house: Any, keeper: Caller, role: str, selector: str
) -> None:
    with pytest.raises(Denied, match="does not hold"):
        await house.grant(role, "ana", selector, by=keeper)
    assert not await house.grants.list(ROOT, user="ana")


async def test_one_may_not_widen_a_role_that_somebody_has_beyond_what_one_holds(house: Any, keeper: Caller) -> None:
    await house.roles.create(keeper, name="mine", permissions=["node.read"])
    await house.grant("mine", "kim", by=keeper)
    with pytest.raises(Denied, match=r"exec\.run"):
        await house.roles.change(keeper, "mine", permissions=["node.read", "exec.run"])
    with pytest.raises(Denied):
        await house.roles.change(keeper, "mine", permissions=["*"])
    changed = await house.roles.change(ROOT, "mine", permissions=["node.read", "exec.run"])
    assert changed.resource_version == 2
    assert (await house.caller("kim")).where("exec.run") == ("all",)


async def test_a_cap_is_passed_on(house: Any) -> None:
    await house.roles.create(ROOT, name="few", permissions=["role.write", "exec.run"], max_nodes=5)
    await house.roles.create(ROOT, name="few-more", permissions=["exec.run"], max_nodes=6)
    await house.roles.create(ROOT, name="any", permissions=["exec.run"])
    await house.roles.create(ROOT, name="fewer", permissions=["exec.run"], max_nodes=2)
    await house.grant("few", "kim")
    kim = await house.caller("kim")
    for role in ("few-more", "any"):
        with pytest.raises(Denied):
            await house.grant(role, "ana", by=kim)
    await house.grant("fewer", "ana", by=kim)
    with pytest.raises(Denied):
        await house.roles.change(kim, "fewer", uncap=True)
    with pytest.raises(Denied):
        await house.roles.change(kim, "fewer", max_nodes=6)
    assert (await house.roles.change(kim, "fewer", max_nodes=5)).max_nodes == 5


async def test_the_last_admin_stays(house: Any) -> None:
    ana, ben = await house.grant("admin", "ana"), await house.grant("admin", "ben")
    await house.grants.revoke(ROOT, ben.id)
    with pytest.raises(Conflict, match="nobody else"):
        await house.grants.revoke(ROOT, ana.id)


# ── own roles ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Bad Name"},
        {"name": "x" * 64},
        {"permissions": []},
        {"permissions": ["exec.rn"]},
        {"max_nodes": 0},
        {"description": "a\nb"},
        {"description": "a" * 501},
    ],
)
async def test_bad_roles_are_refused(house: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await house.roles.create(ROOT, **{"name": "mine", "permissions": ["node.read"], **fields})
    assert not (await house.store.book()).roles


async def test_ready_roles_stay_what_they_are(house: Any) -> None:
    with pytest.raises(Conflict):
        await house.roles.create(ROOT, name="viewer", permissions=["*"])
    with pytest.raises(WrongState, match="ready"):
        await house.roles.change(ROOT, "viewer", permissions=["*"])
    with pytest.raises(WrongState):
        await house.roles.delete(ROOT, "admin")


async def test_a_role_is_changed_over_the_version_one_read(house: Any) -> None:
    made = await house.roles.create(ROOT, name="mine", permissions=["node.read"])
    await house.roles.change(ROOT, "mine", description="Sees.", if_match=made.resource_version)
    with pytest.raises(Conflict):
        await house.roles.change(ROOT, "mine", description="No.", if_match=made.resource_version)
    with pytest.raises(Conflict):
        await house.roles.delete(ROOT, "mine", if_match=made.resource_version)
    assert (await house.roles.get(ROOT, "mine")).description == "Sees."
    await house.roles.delete(ROOT, "mine")
    with pytest.raises(NotFound):
        await house.roles.get(ROOT, "mine")


async def test_a_granted_role_is_not_deleted(house: Any) -> None:
    await house.roles.create(ROOT, name="mine", permissions=["node.read"])
    await house.grant("mine", "ana")
    with pytest.raises(Conflict, match="ana"):
        await house.roles.delete(ROOT, "mine")


async def test_changing_roles_needs_the_permission_everywhere(house: Any, limited: Any) -> None:
    some = limited((frozenset({"role.write", "node.read"}), DEV, None))
    for attempt in (
        house.roles.create(some, name="mine", permissions=["node.read"]),
        house.roles.delete(some, "mine"),
        house.grants.revoke(some, "G0000000000000000000"),
        house.grant("viewer", "ana", DEV, by=some),
    ):
        with pytest.raises(Denied):
            await attempt
