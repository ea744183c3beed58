"""When a second person is asked, and how seldom the rules are read for that."""

import pytest

from corral.domain.approval import ApprovalRule
from corral.domain.artifact import FileOp, FileSpec
from corral.domain.errors import Invalid
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, JobSpec
from corral.server.application.approvals.book import ApprovalRuleBook
from corral.server.application.approvals.guard import ApprovalGuard
from corral.server.application.approvals.kept import KEPT_SECONDS, KeptRules
from corral.server.application.ports.access import BACK_KIND, GATE_KIND, STAGE_KIND, Caller

NODES = ["db-1", "web-1", "web-2"]


class Clock:
    def __init__(self):
        self.now_ = 0.0

    def monotonic(self):
        return self.now_

    def now(self):
        return None


class Store:
    def __init__(self):
        self.rules = {}
        self.read = 0

    async def list(self):
        self.read += 1
        return list(self.rules.values())

    async def put(self, rule):
        self.rules[rule.name] = rule

    async def delete(self, name):
        del self.rules[name]


class Fleet:
    def within(self, selectors):
        return frozenset(n for n in NODES if n.startswith(selectors[0].rstrip("*")))


@pytest.fixture
def world():
    class World:
        clock, store = Clock(), Store()
        kept = KeptRules(store, clock)
        guard = ApprovalGuard(rules=kept, fleet=Fleet())
        book = ApprovalRuleBook(store=kept, clock=clock)

        async def ask(self, command, nodes=NODES, kind="user"):
            spec = JobSpec(target="all", command=command, kind="exec")
            hold = await self.guard.check(Caller(name="ana", kind=kind), spec, nodes)
            return None if hold is None else hold.why

    return World()


RUN = CommandSpec(argv=("true",))


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        (ApprovalRule(name="all"), True),
        (ApprovalRule(name="web", selector="web-*"), True),
        (ApprovalRule(name="web", selector="web-*", min_nodes=3), False),
        (ApprovalRule(name="many", min_nodes=3), True),
        (ApprovalRule(name="more", min_nodes=4), False),
        (ApprovalRule(name="other", selector="mail-*"), False),
        (ApprovalRule(name="files", kinds=("file",)), False),
        (ApprovalRule(name="both", kinds=("file", "exec")), True),
    ],
)
async def test_a_rule_asks_by_kind_nodes_and_their_number(world, rule, asks):
    await world.book.set(Caller(name="ann"), rule)
    why = await world.ask(RUN)
    assert (why is not None) == asks
    if asks:
        assert repr(rule.name) in why


@pytest.mark.parametrize(
    "command",
    [
        FileSpec(op=FileOp.FETCH, dest="/etc/hosts"),
        FileSpec(op=FileOp.APPLY, dest="/etc/hosts", source="hosts", dry_run=True),
        ExecutorSpec(kind="mongodb", params={"operation": "find", "collection": "a"}),
        ExecutorSpec(kind="mongodb", params={"operation": "delete", "collection": "a"}, dry_run=True),
        ExecutorSpec(kind="postgres", params={"sql": "select 1", "read_only": True}),
        ExecutorSpec(kind="service", params={"action": "status", "unit": "ssh"}),
    ],
    ids=lambda command: getattr(command, "kind", "file"),
)
async def test_what_only_reads_is_asked_about_only_when_the_rule_says_so(world, command):
    await world.book.set(Caller(name="ann"), ApprovalRule(name="prod"))
    assert await world.ask(command) is None
    await world.book.set(Caller(name="ann"), ApprovalRule(name="prod", reading=True))
    assert await world.ask(command) is not None


@pytest.mark.parametrize(("kind", "asks"), [(STAGE_KIND, True), (BACK_KIND, False), (GATE_KIND, False)])
async def test_what_rolls_back_or_only_checks_waits_for_nobody(world, kind, asks):
    await world.book.set(Caller(name="ann"), ApprovalRule(name="prod"))
    assert (await world.ask(RUN, kind=kind) is not None) == asks


async def test_rules_are_read_once_a_second_and_a_change_counts_at_once(world):
    for _ in range(5):
        assert await world.ask(RUN) is None
    assert world.store.read == 1
    await world.book.set(Caller(name="ann"), ApprovalRule(name="prod"))
    assert await world.ask(RUN) is not None
    world.store.rules.clear()  # as another server would
    assert await world.ask(RUN) is not None
    world.clock.now_ += KEPT_SECONDS
    assert await world.ask(RUN) is None


@pytest.mark.parametrize(
    ("rule", "element"),
    [
        (ApprovalRule(name=""), "name"),
        (ApprovalRule(name="a b"), "name"),
        (ApprovalRule(name="x", kinds=("teleport",)), "kinds"),
        (ApprovalRule(name="x", min_nodes=0), "min_nodes"),
        (ApprovalRule(name="x", selector='facts["kernel"] == "6"'), "selector"),
    ],
)
async def test_a_rule_that_cannot_be_meant_names_its_field(world, rule, element):
    with pytest.raises(Invalid) as caught:
        await world.book.set(Caller(name="ann"), rule)
    assert caught.value.element == element
    assert world.store.rules == {}
