"""Rollouts over HTTP, through the whole frame, with stores in memory; the driver is not there, so nothing moves by itself."""

import json
from dataclasses import replace

import httpx2
import pytest

from corral.domain.errors import Conflict, NothingMatched
from corral.domain.node import Node, Presence
from corral.domain.rollout_facts import ProbeFact
from corral.domain.rollout_state import Hold, RolloutState
from corral.runtime.clock import SystemClock
from corral.server.application.ports.access import Caller
from corral.server.application.rollouts.control import Steering
from corral.server.application.rollouts.create import Creation
from corral.server.application.rollouts.explain import RolloutExplaining
from corral.server.application.rollouts.facts import FactReader
from corral.server.application.rollouts.listing import RolloutListing
from corral.server.application.rollouts.room import RolloutRoom
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.interface.rest import rollouts as rest
from corral.server.interface.rest.api import Frame, asgi
from corral.testing.access_bench import access_bench
from corral.testing.rollout_stores import MemoryRolloutStore, MemoryStageJobs
from corral.testing.stores import (
    MemoryAuditLog,
    MemoryDatabase,
    MemoryIdempotencyStore,
)

SHELL = {"kind": "command", "shell": "true"}
BODY = {
    "name": "web",
    "target": "all",
    "strategy": {"kind": "count", "values": [1, 2, 0]},
    "change": {"argv": ["systemctl", "restart", "app"]},
}


class Fleet:
    nodes = ("n1", "n2", "n3", "n4")

    def resolve(self, selector):
        found = [node for node in self.nodes if selector in ("all", node)]
        if not found:
            raise NothingMatched(f"cannot run this: no node matches {selector!r}", element="selector")
        return found

    def online(self, nodes):
        return frozenset(nodes) - {"n4"}

    def get(self, node):
        labels = {"rack": "r1" if node in ("n1", "n2") else "r2", "serial": node}
        return Node(id=node, presence=Presence.ONLINE, labels=labels)


class Prober:
    async def check(self, gate): ...

    async def probe(self, gate):
        return ProbeFact(True)


class Api:
    def __init__(self):
        clock, fleet, db = SystemClock(0), Fleet(), MemoryDatabase()
        self.store, jobs = MemoryRolloutStore(db), MemoryStageJobs(db)
        reader = FactReader(jobs=jobs, fleet=fleet, clock=clock)
        room = RolloutRoom(
            creation=Creation(store=self.store, fleet=fleet, prober=Prober(), clock=clock),
            steering=Steering(store=self.store, clock=clock),
            listing=RolloutListing(store=self.store, jobs=jobs, clock=clock),
            explanation=RolloutExplaining(store=self.store, facts=reader, clock=clock),
        )
        bench = access_bench(clock, db=db)
        self.tokens = bench.tokens
        frame = Frame(
            authenticate=bench.room.authenticate,
            record=MemoryAuditLog(db).add,
            answers=MemoryIdempotencyStore(db),
            sealer=AesSealer(b"k" * 32),
            clock=clock,
        )
        self.app = asgi({"rollouts": room}, routes=rest.ROUTES, frame=frame)

    async def __aenter__(self):
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=True),
            base_url="http://corral.test/api/v1",
            headers=await self.bearer("*"),
        )
        return self

    async def __aexit__(self, *_):
        await self.client.aclose()

    async def bearer(self, *permissions):
        _, secret = await self.tokens.create(Caller(name="ann"), name="ann", permissions=permissions)
        return {"Authorization": f"Bearer {secret}"}

    async def create(self, status=201, headers=None, **fields):
        answer = await self.client.post("/rollouts", json={**BODY, **fields}, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()["data"] if status == 201 else answer.json()

    async def post(self, path, status=201, **body):
        answer = await self.client.post(path, json=body or None)
        assert answer.status_code in (status, 200), answer.text
        return answer.json()["data"]

    async def move(self, rollout, **fields):
        await self.store.save(replace(await self.store.get(rollout), **fields))


@pytest.fixture
async def api():
    async with Api() as running:
        yield running


async def test_a_new_rollout_shows_its_stages_who_is_offline_and_the_labels_that_tell_nodes_apart(api):
    made = await api.create(max_failed="10%,3", stage_deadline=90, gates=[SHELL, {"kind": "online"}])
    assert [(s["index"], s["name"], s["nodes"], s["gate"]) for s in made["stages"]] == [
        (1, "1 node", ["n1"], "pending"),
        (2, "2 nodes", ["n2", "n3"], "pending"),
        (3, "the rest", ["n4"], "pending"),
    ]
    assert (made["state"], made["stage"], made["nodes"]) == ("created", 0, 4)
    assert (made["offline"], made["labels"]) == (["n4"], {"rack": {"r1": 2, "r2": 2}})
    assert (made["comparison"], made["previous"], made["can_roll_back"]) == (None, None, False)
    assert (made["change"], made["strategy"]) == ("systemctl restart app", "count:1,2,0")
    assert (made["max_failed"], made["max_unreachable"], made["stage_deadline"]) == ("10%,3", "0", 90)
    assert made["pinned"].startswith("sha256:")
    shown = (await api.client.get(f"/rollouts/{made['rollout']}")).json()["data"]
    assert {key: made[key] for key in shown} == shown


async def test_a_dry_run_stores_nothing(api):
    shown = await api.create(dry_run=True)
    assert (shown["rollout"], shown["state"], len(shown["stages"])) == ("", "planned", 3)
    assert (await api.client.get("/rollouts")).json()["data"] == []


async def test_what_differs_from_the_last_one_of_the_name_is_said(api):
    first = await api.create()
    again = await api.create(target="n1", strategy={"kind": "count", "values": ["0"]}, change={"shell": "new"})
    assert again["previous"] == first["rollout"]
    comparison = again["comparison"]
    assert (comparison["added"], comparison["removed"]) == ([], ["n2", "n3", "n4"])
    assert any("The change was 'systemctl restart app' and is 'new'" in line for line in comparison["lines"])


async def test_only_the_set_that_was_shown_is_touched(api):
    shown = await api.create(dry_run=True)
    assert (await api.create(pinned=shown["pinned"]))["pinned"] == shown["pinned"]
    problem = await api.create(409, pinned=shown["pinned"], target="n1")
    assert problem["element"] == "pinned"


async def test_the_same_key_makes_one_rollout(api):
    key = {"Idempotency-Key": "k1"}
    first = await api.create(headers=key)
    assert (await api.create(headers=key))["rollout"] == first["rollout"]
    assert len((await api.client.get("/rollouts")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("fields", "element"),
    [
        ({"name": ""}, "name"),
        ({"strategy": {"kind": "percentage", "values": [50, 20]}}, "strategy"),
        ({"strategy": {"kind": "count", "values": []}}, "strategy"),
        ({"max_failed": "many"}, "max_failed"),
        ({"stage_deadline": 0.1}, "stage_deadline"),
        ({"advance_interval": -1}, "advance_interval"),
        ({"on_failure": "rollback"}, "rollback_command"),
        ({"change": {}}, "command"),
        ({"change": {"argv": ["a"], "shell": "b"}}, "command"),
        ({"rollback_command": {"argv": ["a"], "shell": "b"}}, "command"),
        ({"gates": [{"kind": "command"}]}, "gates"),
        ({"gates": [{"kind": "http"}]}, "gates"),
        ({"gates": [{"kind": "online", "shell": "x"}]}, "gates"),
        ({"gates": [{**SHELL, "timeout": 0}]}, "gates"),
        ({"gates": [SHELL] * 11}, "gates"),
    ],
)
async def test_what_makes_no_sense_is_refused_naming_the_field(api, fields, element):
    problem = await api.create(400, **fields)
    assert problem["element"] == element
    assert problem["message"].startswith("cannot ")


async def test_who_may_not_run_commands_cannot_do_so_by_a_rollout(api):
    limited = await api.bearer("rollout.write", "file.apply")
    assert (await api.create(403, headers=limited))["element"] == "exec.run"
    file = {"kind": "file", "file": {"op": "delete", "dest": "/tmp/x"}}
    made = await api.create(headers=limited, change=file)
    assert (made["kind"], made["can_roll_back"]) == ("file", True)
    assert (await api.create(403, headers=limited, change=file, gates=[SHELL]))["element"] == "exec.run"
    undo = {"argv": ["undo"]}
    assert (await api.create(403, headers=limited, change=file, rollback_command=undo))["element"] == "exec.run"
    answer = await api.client.post(f"/rollouts/{made['rollout']}/rollback", json={"command": undo}, headers=limited)
    assert answer.status_code == 403


async def test_a_file_without_a_backup_has_no_way_back(api):
    for extra in ({"backup": False}, {"dry_run": True}):
        made = await api.create(change={"kind": "file", "file": {"op": "delete", "dest": "/tmp/x", **extra}})
        assert made["can_roll_back"] is False


async def test_people_steer_it(api):
    made = await api.create()
    path = f"/rollouts/{made['rollout']}"
    assert (await api.post(f"{path}/pause"))["state"] == "paused"
    assert (await api.post(f"{path}/pause"))["hold"] == "asked"
    assert (await api.post(f"{path}/resume"))["state"] == "running"
    await api.move(made["rollout"], state=RolloutState.PAUSED, hold=Hold.ADVANCE, reason="stage 2 waits for advance")
    refused = await api.client.post(f"{path}/resume")
    assert (refused.status_code, refused.json()["hint"]) == (409, f"corral rollout advance {made['rollout']}")
    assert (await api.post(f"{path}/advance"))["state"] == "running"
    refused = await api.client.post(f"{path}/rollback")
    assert (refused.status_code, refused.json()["element"]) == (400, "rollback_command")
    assert (await api.post(f"{path}/rollback", command={"shell": "undo"}))["state"] == "rolling_back"
    assert (await api.store.changes(made["rollout"])).back.spec.shell == "undo"
    lines = (await api.client.get(f"{path}/why")).json()["data"]["lines"]
    assert "is rolling back" in lines[0]


async def test_a_write_that_meets_another_is_done_again_on_what_is_there(api, monkeypatch):
    made = await api.create()
    save, met = api.store.save, []

    async def meets_another(rollout, **options):
        if not met:
            met.append(1)
            raise Conflict("changed meanwhile", retryable=True)
        return await save(rollout, **options)

    monkeypatch.setattr(api.store, "save", meets_another)
    assert (await api.post(f"/rollouts/{made['rollout']}/pause"))["state"] == "paused"


async def test_lists_are_filtered_by_state(api):
    first, second = await api.create(), await api.create()
    await api.post(f"/rollouts/{first['rollout']}/pause")

    async def ids(**query):
        return [r["rollout"] for r in (await api.client.get("/rollouts", params=query)).json()["data"]]

    assert await ids() == [second["rollout"], first["rollout"]]
    assert await ids(states="paused,failed") == [first["rollout"]]
    bad = await api.client.get("/rollouts", params={"states": "happy"})
    assert (bad.status_code, bad.json()["element"]) == (400, "states")


async def test_an_unknown_rollout_is_404_and_what_is_no_id_400(api):
    for verb, path in (("GET", ""), ("GET", "/why"), ("GET", "/events"), ("POST", "/pause"), ("POST", "/rollback")):
        assert (await api.client.request(verb, f"/rollouts/R000000000000000001{path}")).status_code == 404
        assert (await api.client.request(verb, f"/rollouts/zebra{path}")).status_code in (400, 404)


async def test_events_begin_with_what_is_and_end_with_the_end(api):
    made = await api.create()
    await api.move(made["rollout"], state=RolloutState.SUCCEEDED)
    text = (await api.client.get(f"/rollouts/{made['rollout']}/events")).text
    event, data = text.strip().split("\n")
    assert event == "event: end"
    assert json.loads(data.removeprefix("data: "))["state"] == "succeeded"
