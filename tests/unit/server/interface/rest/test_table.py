"""The whole table: every path is guarded, every permission is a word we know, and the description is true to it."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from corral.runtime.clock import SystemClock
from corral.server.application.access.permissions import PERMISSIONS
from corral.server.interface.rest.api import build
from corral.server.interface.rest.openapi import Document, operation_id
from corral.server.interface.rest.routing import PREFIX, RouteIndex, litestar_path
from corral.server.interface.rest.table import ROUTES
from corral.testing.role_matrix import room_names

PUBLIC = {
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/refresh"),
    ("POST", "/enroll"),
    ("POST", "/enroll/challenge"),
    ("POST", "/enroll/renew"),
}
ROOMS: dict[str, Any] = {name: object() for name in room_names()}
IDS = [f"{route.method} {route.template}" for route in ROUTES]


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(Document(ROUTES, ROOMS, version="1.2.3").json())


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
async def test_without_a_token_every_route_is_401_unless_it_is_on_the_short_list(route: Any) -> None:
    public = (route.method, route.template) in PUBLIC
    assert (route.permission is None) == public
    if public:
        return
    # Even without the frame in front, where nobody is known.
    bare = build(ROOMS, routes=[route], root=(), clock=SystemClock())
    transport = httpx2.ASGITransport(app=bare)
    path = PREFIX + re.sub(r"\{[^}]*\}", "x", route.path)
    async with httpx2.AsyncClient(transport=transport, base_url="http://corral.test") as client:
        answer = await client.request(route.method, path, json={} if route.method != "GET" else None)
    assert answer.status_code == 401
    assert answer.json()["code"] == 1003


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_every_row_is_complete(route: Any) -> None:
    assert route.permission in (None, "") or route.permission in PERMISSIONS
    assert route.method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    assert route.summary
    assert route.tags
    assert litestar_path(route.path).startswith("/")


def test_no_two_rows_answer_the_same_request() -> None:
    keys = [(route.method, re.sub(r"\{[^}]*\}", "{}", route.path)) for route in ROUTES]
    assert len(keys) == len(set(keys))
    assert len({operation_id(route) for route in ROUTES}) == len(ROUTES)


def test_the_index_finds_every_row_and_prefers_plain_words() -> None:
    index = RouteIndex(ROUTES, ())
    for route in ROUTES:
        # An id no path of the table has as a plain word.
        assert index.match(route.method, PREFIX + re.sub(r"\{[^}]*\}", "xyz", route.path)) is route
    events = index.match("GET", "/api/v1/nodes/events")
    assert events is not None
    assert events.path == "/nodes/events"
    assert index.match("GET", "/api/v1/nodes//events/") is events
    assert index.match("PUT", "/api/v1/nodes") is None


def test_the_description_is_openapi_3_1_with_the_permission_of_every_row(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "1.2.3"
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for route in ROUTES:
        operation = document["paths"][PREFIX + route.template][route.method.lower()]
        expected = "public" if route.permission is None else route.permission
        assert operation["x-corral-permission"] == expected
        assert str(route.status) in operation["responses"]
        assert "401" in operation["responses"]
        names = [found["name"] for found in operation.get("parameters", [])]
        assert not {"caller", "request", *ROOMS} & set(names)
        assert len(names) == len(set(names))
        assert (route.method == "POST") == ("Idempotency-Key" in names)
    count = sum(len(item) for item in document["paths"].values())
    assert count == len(ROUTES)


def test_every_reference_in_the_description_has_its_schema(document: Any) -> None:
    schemas = document["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document))
    assert references
    assert set(references) <= set(schemas)
    assert "object" not in {name.lower() for name in schemas}


def test_every_schema_of_the_description_is_a_json_schema(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema)
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
