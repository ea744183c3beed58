"""Roles, grants and can-i over REST: statuses, versions, columns, and who is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from corral.domain.access import words
from corral.domain.errors import Unauthenticated
from corral.domain.node import Node
from corral.runtime.clock import SystemClock
from corral.server.application.access.authenticate import Presented
from corral.server.application.access.can_i import CanI
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.grants import Grants
from corral.server.application.access.role_room import RoleRoom
from corral.server.application.access.roles import Roles
from corral.server.application.access.scope import Scope
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.access import AuditEntry, Caller
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.interface.rest import roles
from corral.server.interface.rest.api import Frame, asgi
from corral.server.interface.rest.limits import Limits
from corral.testing.role_store import MemoryRoleStore
from corral.testing.stores import MemoryDatabase, MemoryIdempotencyStore

DEV = 'labels["env"] == "dev"'


@dataclass
class Stand:
    client: httpx2.AsyncClient

    async def call(
        self, method: str, path: str, body: Any = None, *, by: str = "root", **headers: str
    ) -> tuple[int, Any]:
        send = {"Authorization": f"Bearer {by}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = await self.client.request(method, f"/api/v1{path}", json=body, headers=send)
        return answer.status_code, answer.json()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    clock, fleet, store = SystemClock(), Registry(), MemoryRoleStore()
    for node, env in (("dev-1", "dev"), ("dev-2", "dev"), ("prod-1", "prod")):
        fleet.upsert(Node(id=node, labels={"env": env}))

    async def nobody_in_groups(user: str) -> list[str]:
        return []

    book = GrantBook(store=store, clock=clock, groups_of=nobody_in_groups)
    room = RoleRoom(
        roles=Roles(store=store, book=book, clock=clock),
        grants=Grants(store=store, book=book, clock=clock),
        can_i=CanI(book=book, scope=Scope(fleet), fleet=fleet),
    )

    async def authenticate(presented: Presented) -> Caller:
        if presented.bearer is None:
            raise Unauthenticated("cannot answer: no credential was given")
        if presented.bearer == "root":
            return Caller(name="root")
        grants = await book.of(presented.bearer)
        return Caller(name=presented.bearer, kind="user", user="U", permissions=words(grants), grants=grants)

    async def record(entry: AuditEntry) -> None:
        return None

    frame = Frame(
        authenticate=authenticate,
        record=record,
        answers=MemoryIdempotencyStore(MemoryDatabase()),
        sealer=AesSealer(b"k" * 32),
        clock=clock,
        limits=Limits(requests_per_second=0),
    )
    app = asgi({"roles": room}, routes=roles.ROUTES, frame=frame)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx2.AsyncClient(transport=transport, base_url="http://corral.test") as client:
        yield Stand(client)


async def test_a_role_is_made_shown_changed_over_its_version_and_deleted(stand: Stand) -> None:
    body = {"name": "careful", "permissions": ["exec.run", "node.read"], "max_nodes": 5}
    status, made = await stand.call("POST", "/roles", body)
    assert (status, made["data"]["resource_version"], made["data"]["ready"]) == (201, 1, False)
    assert (await stand.call("POST", "/roles", body))[0] == 409
    status, listed = await stand.call("GET", "/roles")
    assert [role["name"] for role in listed["data"]] == [
        "viewer", "operator", "deployer", "approver", "admin", "careful",
    ]  # fmt: skip
    status, changed = await stand.call("PATCH", "/roles/careful", {"max_nodes": None}, If_Match="1")
    assert (status, changed["data"]["max_nodes"], changed["data"]["permissions"]) == (
        200,
        None,
        ["exec.run", "node.read"],
    )
    assert (await stand.call("PATCH", "/roles/careful", {"description": "x"}, If_Match='"1"'))[0] == 409
    status, same = await stand.call("PATCH", "/roles/careful", {"description": "Runs."})
    assert (status, same["data"]["description"], same["data"]["max_nodes"]) == (200, "Runs.", None)
    assert (await stand.call("DELETE", "/roles/careful", If_Match="2"))[0] == 409
    assert (await stand.call("DELETE", "/roles/careful", If_Match="3"))[0] == 200
    assert (await stand.call("GET", "/roles/careful"))[0] == 404


@pytest.mark.parametrize(
    ("body", "element"),
    [
        ({"name": "x", "permissions": ["no.such"]}, "permissions"),
        ({"name": "X", "permissions": ["exec.run"]}, "name"),
        ({"name": "x", "permissions": []}, "permissions"),
        ({"name": "x", "permissions": ["exec.run"], "max_nodes": 0}, "max_nodes"),
        ({"name": "x", "permissions": ["exec.run"], "surprise": 1}, None),
        ({"name": "x", "permissions": ["exec.run"], "max_nodes": 10**9}, "max_nodes"),
    ],
)
async def test_a_bad_role_is_400(stand: Stand, body: Any, element: str | None) -> None:
    status, problem = await stand.call("POST", "/roles", body)
    assert status == 400
    assert element is None or element in str(problem["element"])


async def test_a_grant_counts_at_once_and_a_fact_in_it_is_400_with_the_column(stand: Stand) -> None:
    assert (await stand.call("GET", "/roles", by="ana"))[0] == 403
    status, problem = await stand.call(
        "POST", "/grants", {"role": "operator", "subject": "ana", "selector": f'{DEV} or facts["a"] == "b"'}
    )
    assert (status, problem["code"]) == (400, 1002) and "column 27" in problem["message"]
    status, made = await stand.call("POST", "/grants", {"role": "operator", "subject": "ana", "selector": DEV})
    assert (status, made["data"]["subject_kind"], made["data"]["created_by"]) == (201, "user", "root")
    status, again = await stand.call("POST", "/grants", {"role": "operator", "subject": "ana", "selector": DEV})
    assert again["data"]["id"] == made["data"]["id"]
    status, answer = await stand.call("GET", "/can-i?permission=exec.run&selector=all", by="ana")
    assert (status, answer["data"]["verdict"], answer["data"]["outside"]) == (200, "some", ["prod-1"])
    assert answer["data"]["grants"] == [{"grant": made["data"]["id"], "role": "operator", "selector": DEV, "nodes": 2}]
    assert (await stand.call("DELETE", f"/grants/{made['data']['id']}"))[0] == 200
    assert (await stand.call("DELETE", f"/grants/{made['data']['id']}"))[0] == 404
    status, answer = await stand.call("GET", "/can-i?permission=exec.run&selector=all", by="ana")
    assert answer["data"]["verdict"] == "no"


async def test_a_group_may_be_granted_to_and_grants_are_listed_by_user_and_role(stand: Stand) -> None:
    await stand.call("POST", "/grants", {"role": "viewer", "subject": "devs", "subject_kind": "group"})
    await stand.call("POST", "/grants", {"role": "viewer", "subject": "ana"})
    await stand.call("POST", "/grants", {"role": "operator", "subject": "ana"})
    _, listed = await stand.call("GET", "/grants")
    assert [(one["subject_kind"], one["subject"]) for one in listed["data"]] == [
        ("group", "devs"),
        ("user", "ana"),
        ("user", "ana"),
    ]
    _, listed = await stand.call("GET", "/grants?user=ana&role=operator")
    assert [one["role"] for one in listed["data"]] == ["operator"]
    assert (await stand.call("POST", "/grants", {"role": "viewer", "subject": "x", "subject_kind": "robot"}))[0] == 400


async def test_can_i_answers_with_booleans_for_buttons_and_with_all_that_is_held(stand: Stand) -> None:
    await stand.call("POST", "/grants", {"role": "operator", "subject": "ana", "selector": DEV})
    _, answer = await stand.call("GET", "/can-i?permissions=exec.run,role.write", by="ana")
    assert answer["data"]["permissions"] == {"exec.run": True, "role.write": False}
    _, answer = await stand.call("GET", "/can-i", by="ana")
    assert answer["data"]["held"]["exec.run"] == [DEV]
    _, answer = await stand.call("GET", "/can-i?user=ana")
    assert (answer["data"]["name"], answer["data"]["held"]["exec.run"]) == ("ana", [DEV])
    assert (await stand.call("GET", "/can-i?user=ana", by="ben"))[0] == 403
    assert (await stand.call("GET", "/can-i?permission=exec.run&permissions=a", by="ana"))[0] == 400
    assert (await stand.call("GET", "/can-i?permission=nonsense", by="ana"))[0] == 400
    assert (await stand.call("GET", "/can-i?permission=exec.run&selector=nobody"))[0] == 404


async def test_nobody_gives_himself_more(stand: Stand) -> None:
    await stand.call("POST", "/roles", {"name": "keeper", "permissions": ["role.read", "role.write"]})
    await stand.call("POST", "/grants", {"role": "keeper", "subject": "kim"})
    status, problem = await stand.call("POST", "/grants", {"role": "admin", "subject": "kim"}, by="kim")
    assert (status, problem["code"]) == (403, 1004)
    status, problem = await stand.call("PATCH", "/roles/keeper", {"permissions": ["*"]}, by="kim")
    assert status == 403
    status, problem = await stand.call("PATCH", "/roles/admin", {"permissions": ["exec.run"]})
    assert (status, problem["code"]) == (409, 2002)
