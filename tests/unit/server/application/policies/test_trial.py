"""`policy test`: the verdict a submission would get, with what was seen and what nothing can see."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec, Interpreter
from corral.server.application.policies.trial import Trials
from corral.server.application.ports.access import Caller

ROOT = Caller(name="root")
WEB = 'labels["role"] == "web"'


@pytest.fixture
def trials(room: Any) -> Trials:
    return Trials(book=room.book, fleet=room.fleet, standing=room.fleet)


async def test_it_names_the_rule_and_what_was_understood(trials: Trials) -> None:
    trial = await trials.test(ROOT, CommandSpec(shell="sudo 're''boot'"))
    assert not trial.allowed
    assert [part.verdict.rule for part in trial.judged] == ["no-reboot"]
    assert [command.words for command in trial.commands] == [("sudo", "reboot"), ("reboot",)]


async def test_on_nodes_it_says_where(room: Any, trials: Trials) -> None:
    await room.put("no-make", program="make", selector=WEB)
    trial = await trials.test(ROOT, CommandSpec(argv=("make",)), target="all")
    assert {tuple(part.nodes): part.verdict.allowed for part in trial.judged} == {
        ("web-1", "web-2"): False,
        ("db-1",): True,
    }
    assert (await trials.test(ROOT, CommandSpec(argv=("make",)))).allowed, "the rules that hold on every node"


async def test_as_a_role_only_that_role_is_held(room: Any, trials: Trials) -> None:
    await room.put("operators-no-make", program="make", roles=["operator"])
    await room.put("deployers-ask", "approval", program="make", roles=["deployer"])
    spec = CommandSpec(argv=("make",))
    assert (await trials.test(ROOT, spec)).allowed
    assert not (await trials.test(ROOT, spec, role="operator")).allowed
    asked = await trials.test(ROOT, spec, role="deployer")
    assert asked.allowed and [part.asks for part in asked.judged] == ["deployers-ask"]


async def test_it_says_what_no_rule_can_see(trials: Trials) -> None:
    plain = await trials.test(ROOT, CommandSpec(argv=("uptime",)))
    assert len(plain.unseen) == 1
    later = await trials.test(ROOT, CommandSpec(shell="rm -rf $DIR"))
    assert any("only known when it runs" in text for text in later.unseen)
    script = await trials.test(ROOT, CommandSpec(script="print(1)", interpreter=Interpreter.PYTHON3))
    assert any("python3" in text for text in script.unseen)
    broken = await trials.test(ROOT, CommandSpec(shell="echo 'never ends"))
    assert not broken.readable and any("could not be followed" in text for text in broken.unseen)


async def test_nothing_is_no_command(trials: Trials) -> None:
    with pytest.raises(Invalid):
        await trials.test(ROOT, CommandSpec())
