"""Any task as a policy sees it: a command as it is, an executor's task as the command it stands for, a file task as `corral-file`."""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain.artifact import FileOp
from corral.domain.executors.contract import ExecutorKind
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, TaskSpec
from corral.domain.kinds import KINDS
from corral.domain.lookthrough import Command
from corral.domain.policy import FILE_PROGRAM, Policy, Verdict, judge
from corral.domain.policy_reading import Reading, readings

EXECUTOR_PROGRAM = "corral-task"


def read_task(spec: TaskSpec) -> list[Reading]:
    """What is judged; every one of them has to pass."""
    if isinstance(spec, CommandSpec):
        return readings(spec)
    if isinstance(spec, ExecutorSpec):
        found = KINDS.get(spec.kind)
        return readings(CommandSpec(argv=tuple(_words(spec, None if found is None else found.executor))))
    if "{{" in spec.dest:
        # what it becomes is only known on the node, which judges it by its real path
        return []
    reads = spec.op in (FileOp.FETCH, FileOp.PREVIEW)
    removes = (spec.dest,) if spec.op is FileOp.DELETE else ()
    writes = () if reads or removes else (spec.dest,)
    words = (FILE_PROGRAM, spec.op.value, *writes, *removes)
    return [Reading(commands=[Command(words, True, removes=removes, writes=writes)], text=" ".join(words))]


def _words(spec: ExecutorSpec, kind: ExecutorKind | None) -> Sequence[str]:
    own = () if kind is None else kind.words(spec.params)
    return own or (EXECUTOR_PROGRAM, spec.kind)


def judge_task(task: Sequence[Reading], policy: Policy) -> Verdict:
    for reading in task:
        verdict = judge(reading, policy)
        if not verdict.allowed:
            return verdict
    return Verdict(True)
