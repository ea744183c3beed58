"""Presence: what each observation means, and the promises that hold for every history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corral.domain.presence import (
    LinkChange,
    Observations,
    PresenceState,
    Role,
    Sighting,
    Verdict,
    decide,
    enter,
    leave,
    start,
)

W = 10.0
DAEMON = frozenset({Role.DAEMON, Role.WORKER})


class Fleet:
    """A history, step by step."""

    def __init__(self, *nodes: str, online: bool = True) -> None:
        self.state = start(dict.fromkeys(nodes, online), 0.0, window=W)
        self.said: list[Verdict] = []

    def at(
        self, now: float, *, beats: tuple[str, ...] = (), links: tuple[LinkChange, ...] = (), lagged: bool = False,
        after: float | None = None, worker_down: bool = False, linked: dict[str, frozenset[Role]] | None = None,
    ) -> list[Verdict]:  # fmt: skip
        sightings = [
            Sighting(node=n, after=now - 1 if after is None else after, worker_down=worker_down) for n in beats
        ]
        seen = Observations(sightings=sightings, links=links, lagged=lagged, linked=linked)
        self.state, verdicts = decide(self.state, seen, now, window=W)
        self.said += verdicts
        return verdicts

    def online(self, node: str = "a") -> bool:
        return self.state.watches[node].online


def up(node: str = "a", role: Role = Role.DAEMON) -> LinkChange:
    return LinkChange(node=node, role=role, up=True)


def down(node: str = "a", role: Role = Role.DAEMON) -> LinkChange:
    return LinkChange(node=node, role=role, up=False, reason="Client Closed")


def test_a_link_makes_a_node_online_at_once_and_its_end_offline_at_once() -> None:
    fleet = Fleet("a", online=False)
    assert fleet.at(1, links=(up(),)) == [Verdict(node="a", online=True, reason="connected")]
    assert fleet.at(2, links=(down(),)) == [Verdict(node="a", online=False, reason="its link closed: Client Closed")]


def test_a_beat_alone_makes_a_node_online() -> None:
    fleet = Fleet("a", online=False)
    assert fleet.at(1, beats=("a",))[0].online


def test_a_beat_that_may_be_older_than_the_end_of_the_link_brings_nothing_back() -> None:
    fleet = Fleet("a")
    fleet.at(5, links=(down(),))
    assert fleet.at(6, beats=("a",), after=4.5) == []
    assert not fleet.online()
    assert fleet.at(7, beats=("a",), after=5.5)[0].online


def test_the_end_of_an_old_link_is_nothing_while_a_newer_one_is_there() -> None:
    fleet = Fleet("a", online=False)
    fleet.at(1, links=(up(),))
    fleet.at(2, links=(up(),))
    assert fleet.at(3, links=(down(),)) == []
    assert fleet.at(4, links=(down(),))[0].online is False


def test_three_missed_beats_make_a_node_offline_and_not_two() -> None:
    fleet = Fleet("a", "b")
    fleet.at(10, beats=("a", "b"))
    fleet.at(20, beats=("b",))
    fleet.at(30, beats=("b",))
    assert fleet.at(39.9, beats=("b",)) == []
    assert fleet.at(40, beats=("b",)) == [Verdict(node="a", online=False, reason="no beat for 30 s")]


def test_a_silent_node_stays_offline_though_its_link_is_there_until_it_beats() -> None:
    fleet = Fleet("a")
    fleet.at(10, beats=("a",))
    assert not fleet.at(40)[0].online
    assert fleet.at(41, linked={"a": DAEMON}) == []
    assert fleet.at(42, beats=("a",))[0].online


def test_many_that_fall_silent_together_wait_one_more_window() -> None:
    nodes = [f"n{i}" for i in range(20)]
    fleet = Fleet(*nodes)
    fleet.at(10, beats=tuple(nodes))
    for now in range(11, 50):
        assert fleet.at(float(now), beats=tuple(nodes[5:])) == []
    assert {verdict.node for verdict in fleet.at(50, beats=tuple(nodes[5:]))} == set(nodes[:5])


def test_four_of_twenty_do_not_wait() -> None:
    nodes = [f"n{i}" for i in range(20)]
    fleet = Fleet(*nodes)
    fleet.at(10, beats=tuple(nodes))
    assert len(fleet.at(40, beats=tuple(nodes[4:]))) == 4


def test_links_that_close_together_never_wait() -> None:
    nodes = [f"n{i}" for i in range(20)]
    fleet = Fleet(*nodes)
    assert len(fleet.at(10, links=tuple(down(node) for node in nodes), lagged=True)) == 20


def test_silence_proves_nothing_for_a_window_after_we_did_not_look() -> None:
    fleet = Fleet("a")
    fleet.at(10, beats=("a",))
    assert fleet.at(60, lagged=True) == []
    assert fleet.at(69.9) == []
    assert not fleet.at(70)[0].online


def test_a_missing_worker_is_a_flag_and_nothing_else() -> None:
    fleet = Fleet("a", online=False)
    fleet.at(1, links=(up(), up(role=Role.WORKER)))
    assert fleet.at(2, links=(down(role=Role.WORKER),)) == [
        Verdict(node="a", online=True, reason="connected", worker_down=True)
    ]
    assert fleet.at(3, links=(up(role=Role.WORKER),))[0].worker_down is False
    assert fleet.at(4, beats=("a",), worker_down=True)[0].worker_down
    assert fleet.online()


def test_a_census_repairs_what_missed_events_left_wrong() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.at(1, links=(up("a"), up("a"), down("c", Role.WORKER)))
    verdicts = {verdict.node: verdict for verdict in fleet.at(2, linked={"b": DAEMON, "c": DAEMON})}
    assert verdicts["a"].online is False
    assert verdicts["c"].worker_down is False
    assert "b" not in verdicts
    assert fleet.state.watches["a"].links == 0


def test_strangers_and_removed_nodes_change_nothing() -> None:
    fleet = Fleet("a")
    assert fleet.at(1, beats=("x",), links=(up("x"),), linked={"x": DAEMON, "a": DAEMON}) == []
    fleet.state = leave(fleet.state, "a")
    assert fleet.at(100) == []
    fleet.state = enter(fleet.state, "b")
    assert not fleet.online("b")
    assert enter(fleet.state, "b") is fleet.state


NODES = [f"n{i}" for i in range(8)]
STEPS = st.lists(
    st.tuples(
        st.floats(0.1, 15),
        st.frozensets(st.sampled_from(NODES)),
        st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(Role), st.booleans()), max_size=3),
        st.booleans(),
    ),
    max_size=25,
)


@given(STEPS)
def test_whatever_happens_nobody_is_called_silent_early_and_nobody_silent_stays_online(steps: list) -> None:
    fleet = Fleet(*NODES)
    heard = dict.fromkeys(NODES, 0.0)
    now = held = 0.0
    for pause, beats, links, lagged in steps:
        now += pause
        before: PresenceState = fleet.state
        changes = tuple(LinkChange(node=n, role=r, up=u) for n, r, u in links)
        verdicts = fleet.at(now, beats=tuple(beats), links=changes, lagged=lagged, after=now)
        held = now + W if lagged else held
        for node in beats | {n for n, r, u in links if u and r is Role.DAEMON}:
            heard[node] = now
        for verdict in verdicts:
            assert before.watches[verdict.node] != fleet.state.watches[verdict.node]
            if verdict.reason.startswith("no beat") and before.watches[verdict.node].online:
                assert now - heard[verdict.node] >= 3 * W - 1e-6
                assert now >= held
        for node in NODES:
            if fleet.online(node) and now >= held and now >= W:
                assert now - heard[node] <= 4 * W + 1e-6
        assert fleet.at(now) == []
