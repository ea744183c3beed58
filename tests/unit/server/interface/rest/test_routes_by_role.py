"""Every route, asked as nobody, as each ready role, and as admin of some nodes: the real frame over the real table.

After the table or a ready role changed:
    python -m corral.testing.role_matrix tests/golden/routes_by_role.json docs/roles.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corral.server.application.access.extent import LIMITED
from corral.server.application.access.permissions import PERMISSIONS
from corral.server.application.access.ready_roles import READY
from corral.server.interface.rest.table import ROUTES
from corral.testing.role_matrix import NOBODY, SOME, matrix, table, text

HERE = Path(__file__).parents[5]
GOLDEN = HERE / "tests" / "golden" / "routes_by_role.json"


@pytest.fixture(scope="module")
def found() -> Any:
    import asyncio

    return asyncio.run(matrix())


def test_who_gets_through_is_what_the_golden_file_says(found: Any) -> None:
    known = json.loads(GOLDEN.read_text())
    assert sorted(found) == sorted(known), "a route came or went: write the golden file again and read it"
    for route, answers in found.items():
        assert answers == known[route], route
    assert GOLDEN.read_text() == text(found)


def test_the_table_in_the_docs_is_this_one(found: Any) -> None:
    assert table(found) in (HERE / "docs" / "roles.md").read_text()


def test_nobody_gets_through_but_where_a_proof_comes_in_the_body(found: Any) -> None:
    for route in ROUTES:
        answer = found[f"{route.method} {route.template}"][NOBODY]
        assert answer == ("public" if route.permission is None else 401)


def test_each_role_gets_through_exactly_where_its_words_say(found: Any) -> None:
    """The permission is checked from the row alone: the answer can be told without asking."""
    for route in ROUTES:
        if route.permission is None:
            continue
        words = {route.permission, *route.also}
        for name, role in READY.items():
            held = PERMISSIONS if "*" in role.permissions else role.permissions
            may = not route.permission or bool(words & held)
            assert found[f"{route.method} {route.template}"][name] == ("yes" if may else 403), (name, route.template)
        may = not route.permission or bool(words & LIMITED)
        assert found[f"{route.method} {route.template}"][SOME] == ("yes" if may else 403), route.template


def test_what_is_about_the_whole_server_is_closed_to_everybody_but_admins_of_all_of_it(found: Any) -> None:
    for route in (
        "POST /users",
        "POST /grants",
        "GET /system/backup",
        "GET /audit",
        "POST /api-tokens",
        "POST /tokens",
    ):
        assert {who for who, answer in found[route].items() if answer == "yes"} == {"admin"}, route
