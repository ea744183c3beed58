"""What somebody with grants on some nodes sees of rollouts, makes and steers; and whose grants a stage starts with."""

import asyncio
from dataclasses import replace

import pytest

from corral.domain.access import Grant, words
from corral.domain.errors import Denied, NotFound
from corral.domain.job import CommandSpec
from corral.domain.rollout_state import RolloutState
from corral.domain.task import TaskState
from corral.server.application.ports.access import Caller

DO = frozenset({"rollout.read", "rollout.write", "exec.run", "exec.shell"})


def person(*grants, name="ana"):
    held = tuple(Grant(permissions=frozenset(words), selector=where, max_nodes=cap) for words, where, cap in grants)
    return Caller(name=name, user=f"U-{name}", permissions=words(held), grants=held)


ALL_SIX = "n1,n2,n3,n4,n5,n6"
ANA = person((DO, ALL_SIX, None))
TWO = person((DO, "n1,n2", None), name="ben")
NONE = person((DO, "n9", None), name="eve")


async def test_nobody_makes_a_rollout_beyond_his_grants(room):
    with pytest.raises(Denied, match="4 of the 6 nodes"):
        await room.create(by=TWO)
    no_shell = person((DO - {"exec.shell"}, ALL_SIX, None))
    with pytest.raises(Denied) as refused:
        await room.create(by=no_shell)
    assert refused.value.element == "exec.shell"  # what undoes it is shell text
    no_write = person((DO - {"rollout.write"}, ALL_SIX, None))
    with pytest.raises(Denied):
        await room.create(by=no_write, back=None)
    assert not (await room.store.list()).items


async def test_a_cap_is_for_the_largest_stage(room):
    assert await room.create(by=person((DO, ALL_SIX, 2)), strategy="count:2,2,2")
    with pytest.raises(Denied, match="at most 2"):
        await room.create(by=person((DO, ALL_SIX, 2)), strategy="count:2,4")


async def test_a_rollout_shows_the_nodes_inside_and_none_is_no_rollout(room):
    id_ = await room.create(by=ANA)
    seen = await room.listing.get(TWO, id_)
    assert [node for view in seen.stages for node in view.stage.nodes] == ["n1", "n2"]
    assert [one.id for one in (await room.listing.list(TWO)).items] == [id_]
    assert not (await room.listing.list(NONE)).items
    for asked in (
        room.listing.get(NONE, id_),
        room.listing.watch(NONE, id_),
        room.explanation.why(NONE, id_),
        room.steering.pause(NONE, id_),
    ):
        with pytest.raises(NotFound):
            await asked


async def test_a_watch_ends_when_the_last_node_leaves_the_grants(room):
    id_ = await room.create(by=ANA)
    watched = await room.listing.watch(TWO, id_)
    assert [node for view in (await anext(watched)).stages for node in view.stage.nodes] == ["n1", "n2"]
    room.fleet.within = lambda selectors: frozenset()
    waiting = asyncio.ensure_future(anext(watched, None))
    await asyncio.sleep(0)
    await room.wait(1.0)
    assert await waiting is None


async def test_steering_needs_every_node(room):
    id_ = await room.create(by=ANA)
    for verb in ("pause", "resume", "advance", "abort", "roll_back"):
        with pytest.raises(Denied, match="4 of the 6 nodes"):
            await getattr(room.steering, verb)(TWO, id_)
    assert (await room.state(id_)).state is RolloutState.CREATED
    await room.steering.pause(ANA, id_)
    no_run = person((DO - {"exec.run"}, ALL_SIX, None), name="dan")
    with pytest.raises(Denied):
        await room.steering.roll_back(no_run, id_, CommandSpec(argv=("undo",)))


async def test_the_reasons_name_no_node_outside(room):
    id_ = await room.create(by=ANA, strategy="count:0")
    room.grants["U-ana"] = ANA.grants
    await room.boot()
    await room.step()
    await room.finish(1, TaskState.FAILED, nodes=["n1", "n5"])
    lines = "\n".join((await room.explanation.why(TWO, id_)).lines)
    assert "n1" in lines and "n5" not in lines


async def test_a_stage_starts_with_what_its_creator_may_do_then(room):
    id_ = await room.create(by=ANA, auto_advance=True)
    room.grants["U-ana"] = ANA.grants
    await room.boot()
    await room.step()
    assert len(room.stage_tasks(1)) == 2
    room.grants["U-ana"] = (replace(ANA.grants[0], selector="n1,n2"),)
    await room.finish(1)
    await room.step()
    found = await room.state(id_)
    assert found.state is RolloutState.FAILED
    assert "outside the grants of 'ana'" in found.reason
    assert not room.stage_tasks(2)


async def test_who_lost_everything_starts_nothing_more_and_can_still_be_rolled_back(room):
    id_ = await room.create(by=ANA, auto_advance=True)
    room.grants["U-ana"] = ANA.grants
    await room.boot()
    await room.step()
    await room.finish(1)
    room.grants.clear()
    await room.step()
    assert (await room.state(id_)).state is RolloutState.FAILED
    await room.steering.roll_back(Caller(name="root"), id_)
    await room.step()
    assert {node for _, node in room.stage_tasks(1, "back")} == {"n1", "n2"}


async def test_a_rollout_of_a_token_that_belongs_to_nobody_goes_on(room):
    await room.create(auto_advance=True)
    await room.boot()
    await room.step()
    assert len(room.stage_tasks(1)) == 2


async def test_the_comparison_tells_nothing_of_a_rollout_one_does_not_see_whole(room):
    await room.create(by=ANA)
    room.fleet.nodes = ["n1", "n2"]
    planned = await room.creation.create(TWO, await _wanted(room))
    assert planned.comparison is None and planned.rollout.previous is None


async def _wanted(room):
    from corral.domain.rollout_plan import parse_strategy
    from corral.server.application.ports.rollouts import Change, Changes
    from corral.server.application.rollouts.create import Wanted

    change = Changes(forward=Change(spec=CommandSpec(argv=("deploy",))))
    return Wanted(name="web", target="all", strategy=parse_strategy("count:0"), changes=change)
