"""`corral policy test`: what would be decided about a task, by which rule, on which nodes, and what was seen of it. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.domain.job import CommandSpec, JobSpec
from corral.domain.kinds import check_job
from corral.domain.lookthrough import Command
from corral.domain.policy import Verdict
from corral.domain.policy_reading import Reading
from corral.server.application.access.scope import Scope
from corral.server.application.policies.book import PolicyBook
from corral.server.application.policies.guard import RoleNodes, alike, judged, reading_of, roles_of
from corral.server.application.ports.access import Caller
from corral.server.application.ports.fleet import Fleet, Standing

SHOWN_MAX: Final = 50


@dataclass(frozen=True, kw_only=True)
class Judged:
    """`asks`: the rule that wants a second person; '' when none does."""

    nodes: Sequence[str]
    verdict: Verdict
    asks: str = ""


@dataclass(frozen=True, kw_only=True)
class Trial:
    revision: int
    mode: str
    judged: Sequence[Judged]
    commands: Sequence[Command]
    readable: bool
    unseen: Sequence[str]
    """What no rule could look at."""

    @property
    def allowed(self) -> bool:
        return all(part.verdict.allowed for part in self.judged)


class Trials:
    """Use case. Without a target the rules for every node decide."""

    def __init__(self, *, book: PolicyBook, fleet: Fleet, standing: Standing) -> None:
        self._book = book
        self._fleet = fleet
        self._standing = standing

    async def test(
        self, caller: Caller, spec: CommandSpec, *, target: str | None = None, role: str | None = None
    ) -> Trial:
        """Raises Invalid, TooLarge, BadSelector, NothingMatched."""
        job = JobSpec(target=target or "all", command=spec)
        check_job(job)
        nodes: Sequence[str] = ("",)
        if target is not None:
            found = Scope(self._standing).visible(caller, self._fleet.resolve(target), "node.read", "exec.run")
            nodes = found or ("",)
        roles = roles_of(caller, self._standing) if role is None else _only(role)
        policy = await self._book.current()
        task = await reading_of(job)
        parts = []
        for part in alike(policy, nodes, roles, self._standing):
            asking = await judged(task, part.asking)
            parts.append(
                Judged(
                    nodes=[node for node in part.nodes if node],
                    verdict=await judged(task, part.refusing),
                    asks=asking.rule,
                )
            )
        return Trial(
            revision=policy.revision,
            mode=policy.mode.value,
            judged=parts,
            commands=[command for reading in task for command in reading.commands][:SHOWN_MAX],
            readable=all(reading.readable for reading in task),
            unseen=unseen(task, spec),
        )


def _only(role: str) -> RoleNodes:
    """As if this role were held everywhere and no other."""
    return lambda asked: None if asked == role else frozenset()


def unseen(task: Sequence[Reading], spec: CommandSpec) -> list[str]:
    out = []
    if any(not reading.readable and not reading.too_long for reading in task):
        if spec.script is not None and spec.interpreter.value not in ("sh", "bash"):
            out.append(f"what the {spec.interpreter.value} script does besides handing texts to a shell")
        else:
            out.append("the text could not be followed as a shell would; only its pieces were looked at")
    if any(not command.literal for reading in task for command in reading.commands):
        out.append("words that are only known when it runs (variables, output of other commands)")
    out.append("what the programs it starts do themselves, and files they read")
    return out
