"""The early check: which rule refuses what on which nodes, for whom, and what waits."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.access import Grant
from corral.domain.errors import Denied
from corral.domain.job import CommandSpec, JobSpec
from corral.domain.policy import Mode
from corral.domain.policy_rules import parse_fleet_rule
from corral.server.application.ports.access import BACK_KIND, Caller

WEB = 'labels["role"] == "web"'
ROOT = Caller(name="root")
ALL = ("db-1", "web-1", "web-2")


def job(*argv: str, **spec: Any) -> JobSpec:
    return JobSpec(target="all", command=CommandSpec(argv=argv, **spec))


def somebody(*grants: tuple[str, str]) -> Caller:
    held = tuple(Grant(permissions=frozenset({"exec.run"}), role=role, selector=where) for role, where in grants)
    return Caller(name="ana", permissions=frozenset({"exec.run"}), grants=held)


async def test_what_no_rule_names_passes(room: Any) -> None:
    assert await room.guard.check(ROOT, job("uptime"), ALL) is None


async def test_the_shipped_list_is_in_force_before_anybody_wrote_a_rule(room: Any) -> None:
    with pytest.raises(Denied, match="no-reboot") as refused:
        await room.guard.check(ROOT, job("sudo", "reboot"), ALL)
    assert refused.value.element == "no-reboot"
    assert "revision 1" in str(refused.value.hint)


async def test_one_node_that_a_rule_is_for_refuses_the_whole_job_and_is_named(room: Any) -> None:
    await room.put("no-make", program="make", selector="db-1")
    with pytest.raises(Denied, match=r"on 1 of the 3 nodes \(db-1\)"):
        await room.guard.check(ROOT, job("make"), ALL)
    assert await room.guard.check(ROOT, job("make"), ("web-1", "web-2")) is None


async def test_a_rule_for_a_role_holds_only_where_somebody_has_it(room: Any) -> None:
    await room.put("operators-no-make", program="make", roles=["operator"])
    ana = somebody(("operator", WEB), ("deployer", "all"))
    with pytest.raises(Denied, match=r"on 2 of the 3 nodes \(web-1, web-2\)"):
        await room.guard.check(ana, job("make"), ALL)
    assert await room.guard.check(ana, job("make"), ("db-1",)) is None
    assert await room.guard.check(ROOT, job("make"), ALL) is None, "who is limited by nothing is admin"


async def test_an_exception_stands_before_what_it_is_an_exception_from(room: Any) -> None:
    await room.put("but-admins", "allow", program="reboot", roles=["admin"], position=1)
    assert await room.guard.check(ROOT, job("reboot"), ALL) is None
    with pytest.raises(Denied, match="no-reboot"):
        await room.guard.check(somebody(("operator", "all")), job("reboot"), ALL)
    await room.book.move(ROOT, "but-admins", 2)
    with pytest.raises(Denied, match="no-reboot"):
        await room.guard.check(ROOT, job("reboot"), ALL)


async def test_a_token_that_belongs_to_nobody_has_no_role(room: Any) -> None:
    await room.put("but-admins", "allow", program="reboot", roles=["admin"], position=1)
    token = Caller(name="ci", permissions=frozenset({"exec.run"}))
    with pytest.raises(Denied):
        await room.guard.check(token, job("reboot"), ALL)


async def test_a_rule_that_asks_makes_it_wait_and_a_refusal_wins(room: Any) -> None:
    await room.put("ask-make", "approval", program="make", selector=WEB)
    hold = await room.guard.check(ROOT, job("make"), ALL)
    assert hold is not None and (hold.kind, "ask-make" in hold.why) == ("policy", True)
    assert await room.guard.check(ROOT, job("make"), ("db-1",)) is None
    await room.put("no-make", program="make", selector="db-1")
    with pytest.raises(Denied, match="no-make"):
        await room.guard.check(ROOT, job("make"), ALL)


async def test_a_way_back_is_not_held_up(room: Any) -> None:
    await room.put("ask-make", "approval", program="make")
    assert await room.guard.check(Caller(name="rollout", kind=BACK_KIND), job("make"), ALL) is None


async def test_an_allow_list_takes_words_and_no_text(room: Any) -> None:
    nginx = parse_fleet_rule({"id": "nginx", "effect": "allow", "match": {"argv": ["systemctl", "restart", "nginx"]}})
    await room.book.replace(ROOT, [nginx], mode=Mode.ALLOW_LIST)
    assert await room.guard.check(ROOT, job("systemctl", "restart", "nginx"), ALL) is None
    for other in (job("systemctl", "stop", "nginx"), job(shell="systemctl restart nginx"), job("uptime")):
        with pytest.raises(Denied) as refused:
            await room.guard.check(ROOT, other, ALL)
        assert refused.value.element == "allow-list"


async def test_a_long_text_is_refused_and_a_long_one_below_it_is_read(room: Any) -> None:
    with pytest.raises(Denied, match="64 KiB"):
        await room.guard.check(ROOT, job(shell="# " + "x" * (64 << 10)), ALL)
    with pytest.raises(Denied, match="no-reboot"):
        await room.guard.check(ROOT, job(shell="true\n" * 5000 + "reboot"), ALL)
    assert await room.guard.check(ROOT, job(shell="true\n" * 5000), ALL) is None
