"""The registry: its index agrees with brute force after any history, and it follows the truth."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from corral.domain.errors import BadSelector, NotFound, NothingMatched
from corral.domain.node import Node, Presence
from corral.domain.selector.evaluate import matches
from corral.domain.selector.parser import parse
from corral.server.application.nodes.registry import Registry

NOW = datetime(2027, 1, 1, tzinfo=UTC)
IDS = [f"web-{i}" for i in range(6)] + ["db-1", "db-2", "a"]
FACTS = st.dictionaries(
    st.sampled_from(["k", "n", "v"]),
    st.sampled_from(["x", "5", "5.0", 5, 5.0, 7, True, "true", None, "6.1-rc1", "6.1", [1], 1 << 34, "", -3, 0]),
    max_size=3,
)
NODES = st.builds(
    Node,
    id=st.sampled_from(IDS),
    labels=st.dictionaries(st.sampled_from(["role", "env"]), st.sampled_from(["web", "db", "5", ""]), max_size=2),
    groups=st.frozensets(st.sampled_from(["g", "h"])),
    facts=FACTS,
    presence=st.sampled_from(Presence),
    enrolled_at=st.just(NOW),
)
FIELDS = st.sampled_from(
    ['labels["role"]', "labels['env']", 'facts["k"]', 'facts["n"]', 'system["v"]', 'facts["none"]']
)
LITERALS = st.sampled_from(['"web"', '"5"', '"x"', '""', '"true"', '"6.1"'])
NUMBERS = st.sampled_from(["5", "0", "7", "16GiB", "-3", "5.0"])
CLAUSES = st.one_of(
    st.sampled_from(["all", "online", "offline", '"g" in groups', '"h" not in groups', '"none" in groups']),
    st.sampled_from(["web-1", "web-*", "w?b-2", "*-1", "db-?,a", "nosuch,web-3", "*", "a*", "*b*", "web-1*"]),
    FIELDS.map(lambda f: f"has {f}"),
    st.tuples(FIELDS, st.sampled_from(["==", "!="]), LITERALS).map(" ".join),
    st.tuples(FIELDS, st.sampled_from(["in", "not in"]), st.lists(LITERALS, min_size=1).map(",".join)).map(
        lambda p: f"{p[0]} {p[1]} [{p[2]}]"
    ),
    st.tuples(FIELDS, st.sampled_from(['"^w"', '"5|x"', '""', '"b$"'])).map(" =~ ".join),
    st.tuples(
        st.sampled_from(['facts["k"]', 'facts["n"]', 'facts["none"]']),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        NUMBERS,
    ).map(" ".join),
    st.tuples(FIELDS, st.sampled_from(["==", "!=", "<", ">="]), st.sampled_from(['"6.1"', '"5"'])).map(
        lambda p: f"version({p[0]}) {p[1]} {p[2]}"
    ),
)
SELECTORS = st.recursive(
    CLAUSES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(lambda p: f"({p[0]}{p[1]}{p[2]})"),
        inner.map(lambda s: f"not ({s})"),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NODES, max_size=12), SELECTORS)
def test_the_index_picks_what_brute_force_picks(nodes: list[Node], selector: str) -> None:
    registry = Registry()
    for node in nodes:
        registry.upsert(node)
    tree = parse(selector)
    fleet = registry.select("all")
    assert [n.id for n in registry.select(selector)] == [n.id for n in fleet if matches(tree, n)]


class History(RuleBasedStateMachine):
    """Any order of changes; afterwards every selector of a fixed set still agrees with brute force."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.known: dict[str, Node] = {}

    @rule(node=NODES)
    def upsert(self, node: Node) -> None:
        before = self.known.get(node.id)
        self.registry.upsert(node)
        self.known[node.id] = replace(node, presence=before.presence) if before else node

    @rule(id=st.sampled_from(IDS))
    def remove(self, id: str) -> None:
        self.registry.remove(id)
        self.known.pop(id, None)

    @rule(id=st.sampled_from(IDS), presence=st.sampled_from(Presence))
    def presence(self, id: str, presence: Presence) -> None:
        self.registry.set_presence(id, presence, since=NOW, reason="")
        if id in self.known:
            self.known[id] = replace(self.known[id], presence=presence)

    @rule(nodes=st.lists(NODES, max_size=4, unique_by=lambda node: node.id))
    def load(self, nodes: list[Node]) -> None:
        old = self.known
        self.registry.load(nodes)
        self.known = {n.id: replace(n, presence=old[n.id].presence) if n.id in old else n for n in nodes}

    @invariant()
    def agrees(self) -> None:
        for selector in (
            "all", "online", "offline", "web-*", "*-1", 'labels["role"] == "web"', 'facts["n"] == 5', 'has facts["k"]',
            '"g" in groups', 'facts["n"] >= 5 and not online', 'facts["k"] != "x"', 'version(system["v"]) <= "6.1"',
        ):  # fmt: skip
            tree = parse(selector)
            expected = sorted(node.id for node in self.known.values() if matches(tree, node))
            assert self.registry.ids(selector) == expected, selector


History.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_the_index_stays_true_through_any_history = History.TestCase


@pytest.fixture
def registry() -> Registry:
    out = Registry()
    out.load(
        Node(
            id=id,
            labels={"role": id[:-2]},
            presence=Presence.ONLINE if id != "web-2" else Presence.OFFLINE,
            presence_since=NOW,
            enrolled_at=NOW,
            daemon_key=f"D-{id}",
            worker_key=f"W-{id}",
        )
        for id in ("web-1", "web-2", "db-1")
    )
    return out


def test_resolve_sorts_and_an_empty_set_is_an_error_that_names_unknown_ids(registry: Registry) -> None:
    assert registry.resolve("web-2,web-1,nosuch") == ["web-1", "web-2"]
    assert registry.unknown("web-2,nosuch and (other or web-*)") == ["nosuch", "other"]
    with pytest.raises(NothingMatched, match="no such node: nosuch"):
        registry.resolve("nosuch")
    with pytest.raises(NothingMatched, match="no node meets it"):
        registry.resolve('labels["role"] == "mail"')
    with pytest.raises(BadSelector):
        registry.resolve("web-1 web-2")
    assert registry.select("nosuch") == []


def test_a_record_keeps_the_live_presence_and_its_keys_find_it(registry: Registry) -> None:
    registry.set_presence("web-1", Presence.OFFLINE, since=NOW + timedelta(1), reason="its link closed")
    node = registry.upsert(Node(id="web-1", labels={"role": "new"}, enrolled_at=NOW, daemon_key="D2", worker_key="W2"))
    assert (node.presence, node.presence_reason) == (Presence.OFFLINE, "its link closed")
    assert registry.by_key("D-web-1") is None
    found = registry.by_key("W2")
    assert found is not None and found.id == "web-1"
    registry.remove("web-1")
    assert registry.by_key("W2") is None
    with pytest.raises(NotFound):
        registry.get("web-1")
    registry.remove("web-1")


def test_a_slow_reading_of_sql_undoes_nothing_that_happened_meanwhile(registry: Registry) -> None:
    before = frozenset(registry.ids("all"))
    read = [*registry.select("all"), Node(id="elsewhere", enrolled_at=NOW)]
    registry.upsert(Node(id="enrolled", enrolled_at=NOW))
    registry.upsert(replace(registry.get("web-1"), labels={"new": "1"}, resource_version=2))
    registry.remove("db-1")
    registry.load(read, known_before=before)
    assert registry.ids("all") == ["elsewhere", "enrolled", "web-1", "web-2"]
    assert registry.get("web-1").labels == {"new": "1"}
    registry.load(registry.select("enrolled"), known_before=registry.ids("all"))
    assert registry.ids("all") == ["enrolled"]


def test_since_moves_only_when_the_presence_changes(registry: Registry) -> None:
    later = NOW + timedelta(hours=1)
    registry.set_presence("web-1", Presence.ONLINE, since=later, reason="it beats", worker_down=True)
    assert registry.get("web-1").presence_since == NOW
    assert registry.get("web-1").worker_down
    registry.set_presence("web-1", Presence.OFFLINE, since=later, reason="silent")
    assert registry.get("web-1").presence_since == later


def test_who_is_online_who_is_gone_and_how_many(registry: Registry) -> None:
    registry.saw(["web-1", "stranger"], NOW + timedelta(1))
    assert registry.get("web-1").last_seen == NOW + timedelta(1)
    assert registry.online(["web-1", "web-2", "stranger"]) == {"web-1"}
    assert registry.gone_since(NOW + timedelta(seconds=1)) == {"web-2"}
    assert registry.gone_since(NOW) == frozenset()
    assert registry.counts() == {"nodes": 3, "online": 2, "offline": 1, "worker_down": 0}


async def test_a_slow_listener_gets_the_newest_state_of_each_node_once(registry: Registry) -> None:
    with registry.subscribe() as subscription:
        for i in range(1000):
            registry.upsert(replace(registry.get("web-1"), labels={"n": str(i)}))
        registry.remove("db-1")
        changes = await subscription.next()
        assert {name: node and node.labels for name, node in changes.items()} == {"web-1": {"n": "999"}, "db-1": None}
        registry.saw(["web-1"], NOW)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                raise AssertionError(await subscription.next())
    registry.remove("web-2")
    assert not registry._changes


def test_explain_says_which_clause_excludes(registry: Registry) -> None:
    picked, clauses = registry.explain('labels["role"] == "web" and online', "web-2")
    assert not picked
    assert [(clause.text, clause.value, clause.actual) for clause in clauses] == [
        ('labels["role"] == "web"', True, "'web'"),
        ("online", False, "offline"),
    ]
