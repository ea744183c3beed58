"""Nodes, join tokens and enrolment over HTTP, through the whole frame."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from corral.bus.memory import MemoryBus
from corral.bus.realm import Realm
from corral.domain.node import Node, Presence
from corral.domain.presence_log import PresenceChange
from corral.runtime import nkeys
from corral.runtime.clock import SystemClock
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.server.application.nodes.enrolment import Enrolment
from corral.server.application.nodes.labels import Labelling
from corral.server.application.nodes.nonce import Nonces
from corral.server.application.nodes.presence import PresenceKeeper, Vitals
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.removal import Removal
from corral.server.application.nodes.room import NodeRoom
from corral.server.application.nodes.samples import Samples
from corral.server.application.nodes.timeline import Timeline
from corral.server.application.nodes.tokens import JoinTokens
from corral.server.application.ports.access import Caller
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.infrastructure.nats.credentials import RealmIssuer
from corral.server.infrastructure.nats.rpc import SignedRpc
from corral.server.infrastructure.pki.signing import KeyRing
from corral.server.interface.rest import nodes as rest
from corral.server.interface.rest.api import Frame, asgi
from corral.testing.access_bench import access_bench
from corral.testing.presence_stores import MemoryPresenceLog
from corral.testing.stores import (
    MemoryAuditLog,
    MemoryDatabase,
    MemoryIdempotencyStore,
    MemoryJobQueries,
    MemoryJobStore,
    MemoryNodeStore,
    MemoryTokenStore,
)


class Api:
    def __init__(self) -> None:
        clock = SystemClock(0)
        self.clock = clock
        self.db = MemoryDatabase()
        self.bus = MemoryBus(clock=clock)
        self.ring = KeyRing.create(clock)
        self.fleet = Registry()
        store, tokens = MemoryNodeStore(self.db), MemoryTokenStore(self.db)
        issuer = RealmIssuer(
            realm=Realm.create(clock),
            accounts=self.bus.accounts,
            signing_keys=self.ring.announced,
            engine=(lambda: ["nats://127.0.0.1:4222"], "CA"),
            nodes=lambda: len(self.fleet),
        )
        self.log = MemoryPresenceLog(self.db)
        self.room = NodeRoom(
            fleet=self.fleet,
            enrolment=Enrolment(
                fleet=self.fleet,
                stores=(store, tokens),
                credentials=issuer,
                nonces=Nonces(key=b"k" * 32, clock=clock),
                clock=clock,
            ),
            labels=Labelling(fleet=self.fleet, store=store),
            removal=Removal(
                fleet=self.fleet,
                store=store,
                credentials=issuer,
                jobs=(MemoryJobStore(self.db), MemoryJobQueries(self.db)),
                clock=clock,
            ),
            samples=Samples(),
            tokens=JoinTokens(store=tokens, clock=clock, fingerprint="f" * 64),
            presence=PresenceKeeper(registry=self.fleet, store=store, log=self.log, clock=clock),
            timeline=Timeline(fleet=self.fleet, log=self.log),
            rpc=SignedRpc(wire=self.bus.wire, signer=self.ring, clock=clock),
        )
        bench = access_bench(clock, db=self.db)
        self.api_tokens = bench.tokens
        audit = MemoryAuditLog(self.db)
        frame = Frame(
            authenticate=bench.room.authenticate,
            record=audit.add,
            answers=MemoryIdempotencyStore(self.db),
            sealer=AesSealer(b"k" * 32),
            clock=clock,
        )
        self.app = asgi({"nodes": self.room}, routes=rest.ROUTES, frame=frame)
        self.secret = ""
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url="http://corral.test")

    def add(self, id: str, *, online: bool = True, **labels: str) -> None:
        node = Node(
            id=id,
            labels=labels,
            presence=Presence.ONLINE if online else Presence.OFFLINE,
            enrolled_at=self.clock.now(),
            facts={"agent_version": "0.9"},
            daemon_key=f"D-{id}",
            worker_key=f"W-{id}",
        )
        self.db.nodes[id] = node
        self.fleet.upsert(node)

    async def call(self, method: str, path: str, body: Any = None, *, public: bool = False, **headers: str) -> Any:
        if not public:
            headers["Authorization"] = f"Bearer {self.secret}"
        response = await self.client.request(method, f"/api/v1{path}", json=body, headers=headers)
        return response.status_code, response.json()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    out = Api()
    out.secret = (await out.api_tokens.create(Caller(name="admin"), name="admin"))[1]
    async with out.client:
        yield out


async def test_without_a_credential_only_enrolment_answers(api: Api) -> None:
    for route in rest.ROUTES:
        path = route.path.replace("{node}", "web-1").replace("{token}", "t")
        status, _ = await api.call(route.method, path, {}, public=True)
        assert (status == 401) is (route.permission is not None), route
    assert {r.path for r in rest.ROUTES if r.permission is None} == {"/enroll", "/enroll/challenge", "/enroll/renew"}


async def test_nodes_are_listed_by_selector_and_presence_page_by_page(api: Api) -> None:
    for i in range(5):
        api.add(f"web-{i}", online=i != 3, role="web")
    api.add("db-1", role="db")
    api.room.presence.note("web-0", Vitals(version="1.0", running=2))
    status, page = await api.call("GET", '/nodes?selector=labels["role"]=="web"&limit=2')
    assert (status, [node["id"] for node in page["data"]]) == (200, ["web-0", "web-1"])
    _, last = await api.call("GET", f"/nodes?selector=web-*&limit=3&cursor={page['next']}")
    assert [node["id"] for node in last["data"]] == ["web-2", "web-3", "web-4"]
    assert last.get("next") is None
    _, offline = await api.call("GET", "/nodes?presence=offline")
    assert [node["id"] for node in offline["data"]] == ["web-3"]
    node = page["data"][0]
    assert (node["version"], node["worker"], node["vitals"]["running"]) == ("1.0", "up", 2)
    assert (page["data"][1]["version"], offline["data"][0]["worker"]) == ("0.9", "unknown")
    assert (await api.call("GET", "/nodes?selector=nosuch"))[1]["data"] == []
    assert (await api.call("GET", "/nodes?limit=0"))[0] == 400


async def test_a_bad_selector_points_at_the_column_and_an_empty_one_is_an_error_of_its_own(api: Api) -> None:
    api.add("web-1")
    status, problem = await api.call("GET", "/nodes?selector=web-1%20web-2")
    assert (status, problem["code"]) == (400, 1002)
    assert "column 7" in problem["message"]
    status, problem = await api.call("POST", "/nodes/resolve", {"selector": "nosuch"})
    assert (status, problem["code"]) == (404, 1006)


async def test_resolve_and_explain(api: Api) -> None:
    api.add("web-1", role="web")
    api.add("web-2", online=False, role="web")
    _, answer = await api.call("POST", "/nodes/resolve", {"selector": "web-1,web-2,typo"})
    assert answer["data"] == {"nodes": ["web-1", "web-2"], "online": 1, "offline": ["web-2"], "unknown": ["typo"]}
    _, answer = await api.call("POST", "/nodes/explain", {"selector": "online and web-*", "node": "web-2"})
    assert answer["data"] == {
        "matches": False,
        "clauses": [
            {"text": "online", "value": False, "actual": "offline"},
            {"text": "web-*", "value": True, "actual": "web-2"},
        ],
    }


async def test_labels_change_with_if_match_and_a_stale_one_is_a_conflict(api: Api) -> None:
    api.add("web-1", old="1")
    status, answer = await api.call(
        "PATCH", "/nodes/web-1", {"labels": {"role": "web", "old": None}, "groups": ["b", "a"]}, **{"If-Match": "1"}
    )
    assert (status, answer["data"]["labels"], answer["data"]["groups"]) == (200, {"role": "web"}, ["a", "b"])
    assert (await api.call("PATCH", "/nodes/web-1", {"labels": {}}, **{"If-Match": '"1"'}))[0] == 409
    assert (await api.call("PATCH", "/nodes/web-1", {"labels": {}}, **{"If-Match": "x"}))[0] == 400
    assert (await api.call("PATCH", "/nodes/web-1", {"lables": {}}))[0] == 400
    status, answer = await api.call("PATCH", "/nodes", {"selector": "all", "groups": []})
    assert [node["groups"] for node in answer["data"]] == [[]]
    assert (await api.call("PATCH", "/nodes/ghost", {"labels": {}}))[0] == 404


async def test_revoke_reset_and_remove(api: Api) -> None:
    api.add("web-1")
    _, answer = await api.call("POST", "/nodes/web-1/revoke", {"reason": "stolen"})
    assert answer["data"]["revoked_reason"] == "stolen"
    _, answer = await api.call("POST", "/nodes/web-1/reset", {})
    assert answer["data"]["revoked"] is False
    assert (await api.call("DELETE", "/nodes/web-1?force=true"))[0] == 200
    assert (await api.call("GET", "/nodes/web-1"))[0] == 404


async def test_metrics_and_live_status(api: Api) -> None:
    api.add("web-1")
    api.room.samples.add("web-1", 5.0, {"load1": 0.5})
    _, answer = await api.call("GET", "/nodes/web-1/metrics")
    assert answer["data"] == {"samples": [{"at": 5.0, "values": {"load1": 0.5}}]}
    assert (await api.call("GET", "/nodes/web-1/status"))[0] == 503
    api.bus.answer("corral.rpc.web-1.status", lambda subject, wire: b'{"result": {"pid": 7}}')
    assert (await api.call("GET", "/nodes/web-1/status"))[1]["data"] == {"pid": 7}


async def test_the_presence_of_a_node_is_told_page_by_page(api: Api) -> None:
    api.add("web-1")
    begun = api.clock.now()
    ups = [Presence.ONLINE if n % 2 == 0 else Presence.OFFLINE for n in range(5)]
    await api.log.add(
        [
            PresenceChange(node="web-1", at=begun + timedelta(minutes=n), presence=p, reason="r")
            for n, p in enumerate(ups)
        ]
    )
    _, first = await api.call("GET", "/nodes/web-1/presence?limit=3")
    assert [(entry["presence"], entry["worker"]) for entry in first["data"]] == [
        ("online", "up"),
        ("offline", "unknown"),
        ("online", "up"),
    ]
    assert first["data"][0]["until"] is None
    assert first["data"][1]["until"] == first["data"][0]["since"]
    _, rest_of_it = await api.call("GET", f"/nodes/web-1/presence?limit=3&cursor={first['next']}")
    assert [entry["until"] for entry in rest_of_it["data"]] == [
        first["data"][2]["since"],
        rest_of_it["data"][0]["since"],
    ]
    assert rest_of_it["next"] is None
    api.fleet.set_presence("web-1", Presence.OFFLINE, since=begun + timedelta(hours=1), reason="its link closed")
    _, answer = await api.call("GET", "/nodes/web-1/presence?limit=1")
    assert (answer["data"][0]["presence"], answer["data"][0]["reason"]) == ("offline", "its link closed"), (
        "not yet logged"
    )
    assert (await api.call("GET", "/nodes/web-1/presence?limit=0"))[0] == 400
    assert (await api.call("GET", "/nodes/web-1/presence?cursor=x"))[0] == 400
    assert (await api.call("GET", "/nodes/ghost/presence"))[0] == 404
    api.add("new")
    assert (await api.call("GET", "/nodes/new/presence"))[1]["data"] == []


async def test_a_token_enrols_a_machine_which_renews(api: Api) -> None:
    status, answer = await api.call("POST", "/tokens", {"uses": 1, "labels": {"role": "web"}})
    token = answer["data"]["token"]
    assert (status, token.split(".")[0], token.split(".")[3]) == (201, "cj1", "f" * 64)
    seeds = os.urandom(32), os.urandom(32)
    daemon, worker = (nkeys.encode_public("U", ed25519_public(seed)) for seed in seeds)
    _, answer = await api.call("POST", "/enroll/challenge", {"token": "", "node_id": "web-1"}, public=True)
    nonce = answer["data"]["nonce"]
    text = f"corral-enroll-v1\n{nonce}\nweb-1\n{daemon}\n{worker}".encode()
    key = hashlib.sha256(token.split(".")[2].encode()).digest()
    body = {
        "token": token.split(".")[1],
        "node_id": "web-1",
        "nonce": nonce,
        "daemon_key": daemon,
        "worker_key": worker,
        "proof": hmac.new(key, text, hashlib.sha256).hexdigest(),
        "daemon_signature": base64.b64encode(ed25519_sign(seeds[0], text)).decode(),
        "worker_signature": base64.b64encode(ed25519_sign(seeds[1], text)).decode(),
    }
    status, answer = await api.call("POST", "/enroll", body, public=True)
    assert status == 200
    assert answer["data"]["signing_keys"] == api.ring.announced()
    assert (answer["data"]["engine_urls"], answer["data"]["engine_ca"]) == (["nats://127.0.0.1:4222"], "CA")
    _, node = await api.call("GET", "/nodes/web-1")
    assert (node["data"]["labels"], node["data"]["presence"]) == ({"role": "web"}, "unknown")
    _, listed = await api.call("GET", "/tokens")
    assert (listed["data"][0]["used"], listed["data"][0]["token"]) == (1, None)
    status, refused = await api.call("POST", "/enroll", body | {"proof": "0" * 64}, public=True)
    assert (status, refused["code"]) == (403, 2003)
    _, answer = await api.call("POST", "/enroll/challenge", {"token": "", "node_id": "web-1"}, public=True)
    nonce = answer["data"]["nonce"]
    signature = base64.b64encode(ed25519_sign(seeds[0], f"corral-renew-v1\n{nonce}\nweb-1".encode())).decode()
    renewal = {"node_id": "web-1", "nonce": nonce, "daemon_key": daemon, "daemon_signature": signature}
    status, answer = await api.call("POST", "/enroll/renew", renewal, public=True)
    assert (status, answer["data"]["node_id"]) == (200, "web-1")
    assert (await api.call("DELETE", f"/tokens/{listed['data'][0]['id']}"))[0] == 200


async def test_a_live_view_hears_changes_and_removals(api: Api) -> None:
    events = rest.changes(api.room, Caller(name="root"))
    first = anext(events)
    api.add("unheard")  # nobody has subscribed before the generator runs
    waiting = asyncio.get_running_loop().create_task(first)
    await asyncio.sleep(0)
    api.add("web-1")
    name, _, data = await waiting
    assert (name, json.loads(data)["id"]) == ("node", "web-1")
    api.fleet.remove("web-1")
    name, _, data = await anext(events)
    assert (name, json.loads(data)) == ("removed", {"id": "web-1"})
    await events.aclose()
