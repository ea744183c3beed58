"""The early check of a submission: what the nodes would refuse is refused here, with the rule and the nodes named.

The nodes decide with authority; only rules for roles are this server's alone, since a node never learns who asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
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
ADMIN: Final = "admin"
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


RoleNodes = Callable[[str], Collection[str] | None]
"""Role → the nodes somebody has it on; None: on every node."""


def roles_of(caller: Caller, fleet: Standing) -> RoleNodes:
    """A caller that nothing limits counts as admin; one that belongs to nobody has no role."""
    if caller.grants is None:
        is_admin = caller.may("*")
        return lambda role: None if is_admin and role == ADMIN else frozenset()
    grants = caller.grants

    def nodes(role: str) -> Collection[str] | None:
        selectors = tuple(dict.fromkeys(grant.selector for grant in grants if grant.role == role))
        return None if EVERYWHERE in selectors else fleet.within(selectors) if selectors else frozenset()

    return nodes


def alike(policy: FleetPolicy, nodes: Sequence[str], role_nodes: RoleNodes, fleet: Standing) -> list[Alike]:
    """`nodes` in groups on which the same rules apply; each rule that is not for all splits them once."""
    groups: list[tuple[list[int], Sequence[str]]] = [([], nodes)]
    for index, rule in enumerate(policy.rules):
        where = _nodes_of(rule, role_nodes, fleet)
        if where is None:
            for applying, _ in groups:
                applying.append(index)
            continue
        split: list[tuple[list[int], Sequence[str]]] = []
        for applying, members in groups:
            within = [node for node in members if node in where]
            if within:
                split.append(([*applying, index], within))
            if len(within) < len(members):
                split.append((applying, [node for node in members if node not in where]))
        groups = split
    return [_alike(policy, members, applying) for applying, members in groups]


def _nodes_of(rule: FleetRule, role_nodes: RoleNodes, fleet: Standing) -> Collection[str] | None:
    """The nodes on which a rule applies to somebody; None: all."""
    where = None if rule.selector == EVERYWHERE else frozenset(fleet.within((rule.selector,)))
    if not rule.roles:
        return where
    held: set[str] = set()
    for role in rule.roles:
        nodes = role_nodes(role)
        if nodes is None:
            return where
        held.update(nodes)
    return held if where is None else held & where


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
