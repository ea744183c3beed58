import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.domain.rollout_plan import Strategy, StrategyKind, parse_strategy, plan
from corral.domain.rollout_state import Limit, parse_tolerance

NODES = [f"n{i:02d}" for i in range(1, 11)]


def stages(text, nodes=NODES, labels=None, resolve=None):
    strategy = parse_strategy(text) if isinstance(text, str) else text
    made = plan(
        strategy,
        nodes,
        labels=labels or (lambda node: {"rack": f"r{int(node[1:]) % 3}"} if node != "n10" else {}),
        resolve=resolve or (lambda selector: [n for n in [*nodes, "other"] if n.startswith(selector)]),
    )
    return [(stage.name, len(stage.nodes)) for stage in made]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("percentage:10,30,60,100", [("10%", 1), ("30%", 2), ("60%", 3), ("100%", 4)]),
        ("percentage:25", [("25%", 3), ("the rest", 7)]),
        ("percentage:1%,50%", [("1%", 1), ("50%", 4), ("the rest", 5)]),
        ("percentage:1,2,100", [("1%", 1), ("100%", 9)]),
        ("count:2,5,10,0", [("2 nodes", 2), ("5 nodes", 5), ("10 nodes", 3)]),
        ("count:1,2", [("1 node", 1), ("2 nodes", 2), ("the rest", 7)]),
        ("count:0", [("the rest", 10)]),
        ("groups:rack", [("rack=r0", 3), ("rack=r1", 3), ("rack=r2", 3), ("the rest", 1)]),
    ],
)
def test_a_strategy_makes_these_stages(text, wanted):
    assert stages(text) == wanted


def test_a_stage_for_each_selector_takes_what_the_ones_before_left():
    by_selector = Strategy(kind=StrategyKind.SELECTORS, values=("n01", "n0"))
    assert stages(by_selector) == [("n01", 1), ("n0", 8), ("the rest", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "percentage", "percentage:", "percentage:50,50", "percentage:60,30", "percentage:0", "percentage:101", "percentage:nan",
        "percentage:-1", "count:x", "count:0,2", "count:-1", "count:1.5", "count:1e9", "groups:", "groups:a,b", "groups:nope",
        "selectors:a", "canary:1",
    ],
)  # fmt: skip
def test_a_strategy_that_makes_no_sense_is_refused_with_an_example(text):
    with pytest.raises(Invalid) as caught:
        stages(text)
    assert caught.value.element == "strategy"
    assert "percentage:10" in (caught.value.hint or "")


def test_a_selector_that_picks_nothing_of_what_is_left_is_refused():
    with pytest.raises(Invalid, match="selects no node of the target that is left"):
        stages(Strategy(kind=StrategyKind.SELECTORS, values=("n0", "n01")))


def test_two_hundred_stages_are_enough():
    nodes = [f"n{i}" for i in range(300)]
    with pytest.raises(Invalid, match="at most 200"):
        stages("groups:id", nodes, labels=lambda node: {"id": node})


@given(
    size=st.integers(1, 400),
    shares=st.lists(st.floats(0.1, 100), min_size=1, max_size=8, unique=True),
)
def test_every_node_is_in_exactly_one_stage_and_shares_are_met(size, shares):
    nodes = [f"n{i:03d}" for i in range(size)]
    strategy = Strategy(kind=StrategyKind.PERCENTAGE, values=tuple(f"{s:.3f}" for s in sorted(shares)))
    if len(set(strategy.values)) < len(strategy.values):
        return
    made = plan(strategy, nodes, labels=lambda node: {}, resolve=lambda selector: [])
    assert [node for stage in made for node in stage.nodes] == nodes
    assert all(stage.nodes for stage in made)
    seen = 0
    for stage in made:
        seen += len(stage.nodes)
        if stage.name != "the rest":
            assert size * float(stage.name[:-1]) / 100 - 0.01 <= seen < size * float(stage.name[:-1]) / 100 + 1.01


@pytest.mark.parametrize(
    ("text", "size", "allowed"),
    [("0", 10, 0), ("3", 10, 3), ("10%", 10, 1), ("10%", 9, 0), ("100%", 7, 7), ("33.3%", 10, 3), ("7%", 100, 7)],
)
def test_a_tolerance_is_a_number_or_a_share_rounded_down(text, size, allowed):
    found = parse_tolerance(text, element="max_failed")
    assert found.stage.of(size) == found.whole.of(size) == allowed


def test_a_tolerance_may_differ_for_the_whole_rollout():
    found = parse_tolerance("10%, 3", element="max_failed")
    assert (found.stage, found.whole) == (Limit(number=10, percent=True), Limit(number=3))
    assert str(found) == "10%,3"
    assert str(parse_tolerance("5", element="x")) == "5"


@pytest.mark.parametrize("text", ["", "-1", "x", "101%", "1.5", "1,2,3", "1%%", "1,"])
def test_a_tolerance_that_is_none_is_refused(text):
    with pytest.raises(Invalid) as caught:
        parse_tolerance(text, element="max_failed")
    assert caught.value.element == "max_failed"
