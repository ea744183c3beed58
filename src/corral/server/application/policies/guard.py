"""The early check of a submission: what the nodes would refuse is refused here, with the rule and the nodes named.

The nodes decide with authority; only rules for roles are this server's alone, since a node never learns who asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import Denied
from corral.domain.job import JobSpec
from corral.domain.policy import Policy, Verdict
from corral.domain.policy_reading import Reading
from corral.domain.policy_rules import EVERYWHERE, FleetPolicy, FleetRule
from corral.domain.policy_subject import judge_task, read_task
from corral.server.application.access.scope import named
from corral.server.application.policies.book import PolicyBook
from corral.server.application.ports.access import BACK_KIND, GATE_KIND, Caller
from corral.server.application.ports.fleet import Standing
from corral.server.application.ports.guards import Hold

HOLD: Final = "policy"
INLINE_CHARS: Final = 4096
"""A longer text is read beside the event loop: the worst of 64 KiB takes most of a second."""


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Nodes on which the same rules apply to a caller."""

    nodes: Sequence[str]
    refusing: Policy
    asking: Policy


class PolicyGuard:
    def __init__(self, *, book: PolicyBook, fleet: Standing) -> None:
        self._book = book
        self._fleet = fleet

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        policy = await self._book.current()
        parts = alike(policy, nodes, roles_of(caller, self._fleet), self._fleet)
        if not any(part.refusing or part.asking for part in parts):
            return None
        task = await reading_of(spec)
        for part in parts:
            verdict = await judged(task, part.refusing)
            if not verdict.allowed:
                raise refusal(verdict, part.nodes, len(nodes), policy.revision)
        if caller.kind in (BACK_KIND, GATE_KIND):
            # whoever started the rollout was asked; a way back must not wait
            return None
        for part in parts:
            verdict = await judged(task, part.asking)
            if not verdict.allowed:
                return Hold(kind=HOLD, why=f"policy rule {verdict.rule!r} asks for a second person")
        return None


RolesOn = Callable[[str], Collection[str]]
"""Node → the roles somebody has there."""


def roles_of(caller: Caller, fleet: Standing) -> RolesOn:
    """A caller that nothing limits counts as admin; one that belongs to nobody has no role."""
    if caller.grants is None:
        everywhere = frozenset({"admin"}) if caller.may("*") else frozenset[str]()
        return lambda node: everywhere
    on: list[tuple[str, Collection[str] | None]] = [
        (grant.role, None if grant.selector == EVERYWHERE else fleet.within((grant.selector,)))
        for grant in caller.grants
        if grant.role
    ]
    return lambda node: frozenset(role for role, nodes in on if nodes is None or node in nodes)


def alike(policy: FleetPolicy, nodes: Sequence[str], roles_on: RolesOn, fleet: Standing) -> list[Alike]:
    """`nodes` in groups on which the same rules apply. Two ways through few rules, whatever the number of nodes."""
    where: Mapping[str, Collection[str]] = {
        rule.selector: fleet.within((rule.selector,)) for rule in policy.rules if rule.selector != EVERYWHERE
    }
    with_roles = any(rule.roles for rule in policy.rules)
    if not where and not with_roles:
        return [_alike(policy, nodes, range(len(policy.rules)))]
    groups: dict[tuple[int, ...], list[str]] = {}
    for node in nodes:
        roles = roles_on(node) if with_roles else ()
        applying = tuple(
            index
            for index, rule in enumerate(policy.rules)
            if (rule.selector == EVERYWHERE or node in where[rule.selector])
            and (not rule.roles or any(role in roles for role in rule.roles))
        )
        groups.setdefault(applying, []).append(node)
    return [_alike(policy, members, applying) for applying, members in groups.items()]


def _alike(policy: FleetPolicy, nodes: Sequence[str], applying: Collection[int]) -> Alike:
    rules = {id(policy.rules[index]) for index in applying}

    def applies(rule: FleetRule) -> bool:
        return id(rule) in rules

    return Alike(nodes=nodes, refusing=policy.refusing(applies), asking=policy.asking(applies))


async def reading_of(spec: JobSpec) -> Sequence[Reading]:
    command = spec.command
    size = len(getattr(command, "shell", None) or "") + len(getattr(command, "script", None) or "")
    if size <= INLINE_CHARS:
        return read_task(command)
    return await asyncio.to_thread(read_task, command)


async def judged(task: Sequence[Reading], policy: Policy) -> Verdict:
    if not policy:
        return Verdict(True)
    if sum(len(reading.text) for reading in task) <= INLINE_CHARS:
        return judge_task(task, policy)
    return await asyncio.to_thread(judge_task, task, policy)


def refusal(verdict: Verdict, nodes: Sequence[str], total: int, revision: int) -> Denied:
    where = "" if len(nodes) == total else f" on {len(nodes)} of the {total} nodes ({named(nodes)})"
    return Denied(
        f"cannot submit this: the command policy refuses it{where}: {verdict.why}",
        element=verdict.rule,
        hint=f"'corral policy test' explains it, 'corral policy list' shows the rules (revision {revision})",
    )
