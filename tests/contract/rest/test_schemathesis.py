"""Our description against a running server: every generated request gets a documented answer, and never a 5xx of our own.

Needs a server to talk to: CORRAL_TEST_URL and CORRAL_TEST_TOKEN (an admin API token of a server whose data may be thrown away).
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

URL = os.environ.get("CORRAL_TEST_URL", "")
TOKEN = os.environ.get("CORRAL_TEST_TOKEN", "")
EXAMPLES = int(os.environ.get("CORRAL_TEST_EXAMPLES", "20"))

pytestmark = [
    pytest.mark.skipif(not URL or not TOKEN, reason="no server: set CORRAL_TEST_URL and CORRAL_TEST_TOKEN"),
    pytest.mark.slow,
]


@pytest.fixture
def api() -> Any:
    schema = schemathesis.openapi.from_url(f"{URL}/openapi.json")
    # Streams do not end by themselves, and logging out or in changes who the test is.
    return schema.exclude(path_regex=r"/(events|output)$").exclude(path_regex=r"/(login|logout|refresh)$")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_generated_request_gets_a_documented_answer(case: Any) -> None:
    response = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
    # 503 is an honest answer of a server whose engine is away; the others of the 5xx are our mistakes.
    if response.status_code != 503:
        not_a_server_error(None, response, case)
    case.validate_response(response, checks=[content_type_conformance, response_schema_conformance])
