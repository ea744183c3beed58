"""The command policy in SQL: one row, replaced as a whole under its next revision."""

from __future__ import annotations

import json
from typing import Any, Final

from corral.domain.errors import CorralError, Internal, NotFound
from corral.domain.policy import parse_mode
from corral.domain.policy_rules import FleetPolicy, parse_fleet_rules
from corral.server.application.ports.policies import StoredPolicy
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, seconds

_ONLY: Final = 1
_BEGIN: Final = Statement(
    """
    insert into policy (id, revision, mode, rules, changed_at, changed_by)
    values (:id, :revision, :mode, :rules, :changed_at, :changed_by)
    on conflict (id) do nothing
    """
)
_REVISION: Final = Statement("select revision from policy where id = :id")
_LOAD: Final = Statement("select revision, mode, rules, changed_at, changed_by from policy where id = :id")
_REPLACE: Final = Statement(
    """
    update policy set revision = :revision, mode = :mode, rules = :rules, changed_at = :changed_at, changed_by = :changed_by
    where id = :id and revision = :after
    """
)


class SqlPolicyStore:
    """PolicyStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(self, first: StoredPolicy) -> None:
        async with self._db.write() as tx:
            await tx.run(_BEGIN, **_values(first))

    async def revision(self) -> int:
        async with self._db.read() as tx:
            row = await tx.row(_REVISION, id=_ONLY)
        return 0 if row is None else int(row[0])

    async def load(self) -> StoredPolicy:
        async with self._db.read() as tx:
            row = await tx.row(_LOAD, id=_ONLY)
        if row is None:
            raise NotFound("cannot find the command policy: this installation has none yet", element="policy")
        try:
            policy = FleetPolicy(revision=row[0], mode=parse_mode(row[1]), rules=parse_fleet_rules(json.loads(row[2])))
        except (CorralError, ValueError) as error:
            # guessing would let pass what somebody forbade
            raise Internal(f"cannot read the stored command policy: {error}", element="policy") from None
        return StoredPolicy(policy=policy, changed_at=at(row[3]), changed_by=row[4])

    async def replace(self, policy: StoredPolicy, *, after: int) -> bool:
        async with self._db.write() as tx:
            return await tx.run(_REPLACE, **_values(policy), after=after) == 1


def _values(stored: StoredPolicy) -> dict[str, Any]:
    policy = stored.policy
    return {
        "id": _ONLY,
        "revision": policy.revision,
        "mode": policy.mode.value,
        "rules": clean(json.dumps([rule.as_mapping() for rule in policy.rules])),
        "changed_at": seconds(stored.changed_at),
        "changed_by": clean(stored.changed_by)[:128],
    }
