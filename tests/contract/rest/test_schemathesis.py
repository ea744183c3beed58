"""Our description against a running server: every generated request gets a documented answer, and never a 5xx of our own.

Needs a server to talk to: CORRAL_TEST_URL and CORRAL_TEST_TOKEN (an admin API token of a server whose data may be thrown away).
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from corral.server.interface.rest.openapi import Document
from corral.server.interface.rest.table import ROUTES

URL = os.environ.get("CORRAL_TEST_URL", "")
TOKEN = os.environ.get("CORRAL_TEST_TOKEN", "")
EXAMPLES = int(os.environ.get("CORRAL_TEST_EXAMPLES", "20"))

pytestmark = [
    pytest.mark.skipif(not URL or not TOKEN, reason="no server: set CORRAL_TEST_URL and CORRAL_TEST_TOKEN"),
    pytest.mark.slow,
]

ROOMS: dict[str, Any] = {name: object() for name in ("nodes", "jobs", "files", "access", "system", "simulated")}
SCHEMA = schemathesis.openapi.from_dict(json.loads(Document(ROUTES, ROOMS, version="test").json()))
# Streams do not end by themselves, and logging in or out changes who the test is.
LEFT_OUT = ("/events", "/output", "/login", "/logout", "/refresh")
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations() if not found.ok().path.endswith(LEFT_OUT)]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda found: found.label)
def test_every_generated_request_gets_a_documented_answer(operation: Any) -> None:
    documented = {int(status) for status in operation.definition.raw["responses"]}

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        response = case.call(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code in documented, response.text
        # 503 is an honest answer of a server whose engine is away; a 500 is our mistake.
        assert response.status_code != 500, response.text
        operation.validate_response(response)

    check()
