"""The command policy: read, changed, and known to this server as it is now.

Any change replaces the whole list under the next revision, and only when it is still the list that was read: two people who edit at
once cannot lose each other's rules. `changed` is told, so that nodes hear of it without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from corral.domain.errors import Conflict, Invalid
from corral.domain.policy import Mode
from corral.domain.policy_rules import (
    Effect,
    FleetPolicy,
    FleetRule,
    moved,
    parse_again,
    with_rule,
    without,
)
from corral.runtime.clock import Clock
from corral.server.application.access.scope import require_everywhere
from corral.server.application.ports.access import Caller
from corral.server.application.ports.policies import PolicyStore, StoredPolicy

WRITE = "policy.write"
_TRIES = 5
Edit = Callable[[FleetPolicy], FleetPolicy]


class PolicyBook:
    def __init__(
        self,
        *,
        store: PolicyStore,
        clock: Clock,
        shipped: Sequence[FleetRule] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._shipped = tuple(shipped)
        self._known: StoredPolicy | None = None
        self._looked_at = float("-inf")
        self.changed: Callable[[], None] = lambda: None

    # --- reading ------------------------------------------------------------------------------------------------------

    async def stored(self, *, max_age_seconds: float = 0.0) -> StoredPolicy:
        """As it is now, or was within `max_age_seconds`. An installation that never had one begins with the shipped list."""
        now = self._clock.monotonic()
        if self._known is not None and now - self._looked_at < max_age_seconds:
            return self._known
        revision = await self._store.revision()
        if revision == 0:
            first = FleetPolicy(revision=1, rules=self._shipped)
            await self._store.begin(StoredPolicy(policy=first, changed_at=self._clock.now(), changed_by="corral"))
        if self._known is None or self._known.policy.revision != revision:
            self._known = await self._store.load()
        self._looked_at = now
        return self._known

    async def current(self, *, max_age_seconds: float = 0.0) -> FleetPolicy:
        return (await self.stored(max_age_seconds=max_age_seconds)).policy

    async def selectors(self) -> Sequence[str]:
        """Those its rules stand on: changing the labels in them changes who is guarded."""
        return [rule.selector for rule in (await self.current()).rules]

    async def get(self, caller: Caller) -> StoredPolicy:
        return await self.stored()

    # --- changing -----------------------------------------------------------------------------------------------------

    async def replace(
        self, caller: Caller, rules: Sequence[FleetRule], *, mode: Mode | None = None, if_match: int | None = None
    ) -> StoredPolicy:
        """The whole list. Raises Conflict when it is not at revision `if_match`."""
        checked = parse_again(rules)
        return await self._edit(
            caller, lambda p: replace(p, rules=checked, mode=p.mode if mode is None else mode), if_match
        )

    async def put(
        self, caller: Caller, rule: FleetRule, *, position: int | None = None, if_match: int | None = None
    ) -> StoredPolicy:
        """Add a rule, or replace the one of its id; at `position` (from 1), or where it was, or last."""
        return await self._edit(caller, lambda p: replace(p, rules=with_rule(p.rules, rule, position)), if_match)

    async def move(self, caller: Caller, name: str, position: int, *, if_match: int | None = None) -> StoredPolicy:
        return await self._edit(caller, lambda p: replace(p, rules=moved(p.rules, name, position)), if_match)

    async def remove(self, caller: Caller, name: str, *, if_match: int | None = None) -> StoredPolicy:
        return await self._edit(caller, lambda p: replace(p, rules=without(p.rules, name)), if_match)

    async def set_mode(self, caller: Caller, mode: Mode, *, if_match: int | None = None) -> StoredPolicy:
        """Raises Invalid for an allow list that allows nothing: every task would be refused."""
        return await self._edit(caller, lambda p: _with_mode(p, mode), if_match)

    async def ship(self, caller: Caller, *, if_match: int | None = None) -> StoredPolicy:
        """Begin again with the list this release ships."""
        return await self._edit(caller, lambda p: replace(p, rules=self._shipped, mode=Mode.DENY_LIST), if_match)

    async def outgrow(self, revision: int) -> None:
        """Give the same rules a revision above `revision`: some node holds a newer one than a restored database has."""
        stored = await self.stored()
        if stored.policy.revision <= revision:
            again = replace(stored, policy=replace(stored.policy, revision=revision + 1))
            await self._store.replace(again, after=stored.policy.revision)
            self.changed()

    async def _edit(self, caller: Caller, edit: Edit, if_match: int | None) -> StoredPolicy:
        require_everywhere(caller, WRITE, "change the policy")
        for _ in range(_TRIES):
            before = (await self.stored()).policy
            if if_match is not None and if_match != before.revision:
                raise Conflict(
                    f"cannot change the policy: it is at revision {before.revision}, not {if_match}",
                    element="revision",
                    hint="look at it again: corral policy list",
                )
            after = StoredPolicy(
                policy=replace(edit(before), revision=before.revision + 1),
                changed_at=self._clock.now(),
                changed_by=caller.name,
            )
            if await self._store.replace(after, after=before.revision):
                self._known = after
                self._looked_at = self._clock.monotonic()
                self.changed()
                return after
        raise Conflict("cannot change the policy: others change it all the time", element="revision", retryable=True)


def _with_mode(policy: FleetPolicy, mode: Mode) -> FleetPolicy:
    if mode is Mode.ALLOW_LIST and not any(rule.effect is Effect.ALLOW for rule in policy.rules):
        raise Invalid(
            "cannot switch to an allow list: no rule allows anything, so every task would be refused",
            element="mode",
            hint="first: corral policy set ID --allow --argv 'systemctl restart nginx'",
        )
    return replace(policy, mode=mode)
