"""The command policy in memory, SQLite and PostgreSQL: one row, no lost change, nothing half read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from corral.domain.errors import Internal, NotFound
from corral.domain.policy import Mode
from corral.domain.policy_rules import FleetPolicy, parse_fleet_rules
from corral.domain.policy_shipped import SHIPPED
from corral.server.application.ports.policies import PolicyStore, StoredPolicy
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.policies import SqlPolicyStore
from corral.server.infrastructure.sql.statements import Statement
from corral.testing.policy_store import MemoryPolicyStore

AT = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)
FIRST = StoredPolicy(
    policy=FleetPolicy(revision=1, rules=parse_fleet_rules(list(SHIPPED))), changed_at=AT, changed_by="corral"
)
RULES = parse_fleet_rules(
    [
        {"id": "a", "effect": "deny", "match": {"program": ["x"]}, "roles": ["operator"], "selector": "web-*"},
        {"id": "b", "effect": "allow", "match": {"argv": ["touch", "**"]}, "comment": "für später"},
        {"id": "c", "effect": "approval", "match": {"text": ["*drop*"]}},
    ]
)


@dataclass
class Stores:
    policies: PolicyStore
    db: Database | None


@pytest.fixture
async def stores(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if kind == "memory":
        yield Stores(MemoryPolicyStore(), None)
        return
    on_disk = f"sqlite:///{tmp_path}/corral.db"
    db = Database(request.getfixturevalue("cluster").database() if kind == "postgres" else on_disk)
    try:
        await migrate(db)
        yield Stores(SqlPolicyStore(db), db)
    finally:
        await db.close()


async def test_what_a_new_installation_begins_with_is_stored_once(stores: Stores) -> None:
    assert await stores.policies.revision() == 0
    with pytest.raises(NotFound):
        await stores.policies.load()
    await stores.policies.begin(FIRST)
    await stores.policies.begin(replace(FIRST, changed_by="second"))
    assert await stores.policies.load() == FIRST
    assert await stores.policies.revision() == 1


async def test_everything_of_a_policy_comes_back(stores: Stores) -> None:
    await stores.policies.begin(FIRST)
    second = StoredPolicy(
        policy=FleetPolicy(revision=2, rules=RULES, mode=Mode.ALLOW_LIST), changed_at=AT, changed_by="ana"
    )
    assert await stores.policies.replace(second, after=1)
    assert await stores.policies.load() == second


async def test_of_two_changes_of_one_revision_one_is_told_to_look_again(stores: Stores) -> None:
    await stores.policies.begin(FIRST)
    changes = [replace(FIRST, policy=replace(FIRST.policy, revision=2), changed_by=name) for name in ("ana", "ben")]
    won = await asyncio.gather(*(stores.policies.replace(change, after=1) for change in changes))
    assert sorted(won) == [False, True]
    assert (await stores.policies.load()).changed_by == ("ana", "ben")[won.index(True)]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("rules", ["{", "[{}]", '[{"id":"a","effect":"deny","match":{"unknown":["x"]}}]'])
async def test_a_stored_policy_that_cannot_be_read_is_an_error_and_no_empty_policy(stores: Stores, rules: str) -> None:
    await stores.policies.begin(FIRST)
    assert stores.db is not None
    async with stores.db.write() as tx:
        await tx.run(Statement("update policy set rules = :rules where id = 1"), rules=rules)
    with pytest.raises(Internal, match="cannot read the stored command policy"):
        await stores.policies.load()
