"""Gates and ways back do not slip past a second person: their approval is that of the stages, or there is no rollout."""

import pytest

from corral.domain.artifact import FileOp, FileSpec
from corral.domain.errors import Denied
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec
from corral.domain.rollout_state import Gate, GateKind, Stage
from corral.server.application.ports.access import Caller
from corral.server.application.ports.guards import Hold
from corral.server.application.ports.rollouts import Change, Changes
from corral.server.application.rollouts.asking import SecondPerson, covered

ANA = Caller(name="ana")
STAGES = (Stage(name="1 node", nodes=("n1",)), Stage(name="the rest", nodes=("n2", "prod-1")))
LOOK = ExecutorSpec(kind="http", params={"method": "GET", "url": "http://x"})
FETCH = FileSpec(op=FileOp.FETCH, dest="/etc/hosts")
RUN = CommandSpec(argv=("anything",))


class ProdCommands:
    """Commands on prod-1 have to be approved."""

    async def check(self, caller, spec, nodes):
        asks = spec.kind == "exec" and "prod-1" in nodes
        return Hold(kind="rule", why="rule 'prod' asks for a second person") if asks else None


def changes(forward, back=None):
    return Changes(forward=Change(spec=forward), back=None if back is None else Change(spec=back))


GATE = Gate(kind=GateKind.COMMAND, argv=("anything",))
second = SecondPerson([ProdCommands()])


@pytest.mark.parametrize(("back", "gates"), [(RUN, ()), (None, (GATE,)), (RUN, (GATE,))])
async def test_what_would_have_to_be_approved_cannot_ride_on_what_has_not_to(back, gates):
    with pytest.raises(Denied, match="'the rest'") as caught:
        await second.check_parts(ANA, STAGES, changes(FETCH, back), gates)
    assert caught.value.element == "approval"


async def test_beside_a_change_that_is_approved_they_are_named_in_its_approval():
    made = changes(RUN, CommandSpec(shell="undo it"))
    await second.check_parts(ANA, STAGES, made, (GATE,))
    assert covered(made, (GATE,)) == "the way back, 'undo it'; the gate 'anything'"


async def test_where_nobody_is_asked_nothing_is_refused():
    await second.check_parts(ANA, STAGES[:1], changes(FETCH, RUN), (GATE,))
    await SecondPerson().check_parts(ANA, STAGES, changes(FETCH, RUN), (GATE,))
    assert covered(changes(LOOK), (Gate(kind=GateKind.ONLINE),)) == ""


async def test_a_way_back_nobody_has_seen_is_refused_where_it_would_have_to_be_approved():
    await second.check_way_back(ANA, RUN, ["n1"])
    with pytest.raises(Denied, match="roll back with this command"):
        await second.check_way_back(ANA, RUN, ["n1", "prod-1"])
