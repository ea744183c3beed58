"""What the server measured is judged: each figure that is wrong is a finding with its remedy, each good one says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from corral.cli.figures import judge
from corral.cli.finding import Finding
from corral.runtime.clock import iso

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GIB = 1 << 30


def figures(**changes: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "engine": {
            "ok": True,
            "sickness": "",
            "streams": {
                "reports": {"bytes": GIB // 10, "max_bytes": GIB},
                "output": {"bytes": 4 * GIB, "max_bytes": 4 * GIB},
                "OBJ_artifacts": {"bytes": 0, "max_bytes": GIB},
            },
        },
        "disk": {"path": "/var/lib/corral", "free_bytes": 50 * GIB, "total_bytes": 100 * GIB},
        "files": {"hard": 65536, "connections_needed": 2000, "engine_is_ours": True},
        "certificates": [{"name": "server", "path": "/p", "days_left": 300}],
        "permissions": {"data_dir": "/var/lib/corral", "too_open": []},
        "retention": {"jobs": {"keep_days": 30, "oldest_goes_at": iso(NOW + timedelta(days=3))}},
        "audit": {"sealed": 7, "waiting": 1, "waiting_since": iso(NOW - timedelta(seconds=1))},
        "dead_letters": {"last_day": 0, "at_most": 100},
        "backup": {"last_at": (NOW - timedelta(hours=5)).timestamp(), "covers_sql": True},
    }
    return {**good, **changes}


def found(data: dict[str, Any], check: str) -> Finding:
    return next(finding for finding in judge(data, NOW) if finding.check == check and finding.status != "OK")


def test_a_healthy_server_has_only_good_findings() -> None:
    findings = list(judge(figures(), NOW))
    assert {finding.status for finding in findings} == {"OK"}
    assert {finding.check for finding in findings} == {
        "streams", "disk", "nofile", "tls", "secrets", "kept", "audit", "letters", "backup",
    }  # fmt: skip


def test_a_server_that_sends_no_figures_is_not_judged() -> None:
    assert list(judge({"version": "0.0.1", "engine": {"healthy": True}}, NOW)) == []


def streams(share: float, name: str = "reports") -> dict[str, Any]:
    return {"engine": {"streams": {name: {"bytes": int(GIB * share), "max_bytes": GIB}}}}


@pytest.mark.parametrize(
    ("changes", "check", "status", "says"),
    [
        (streams(0.85), "streams", "WARN", "reports is 85% full"),
        (streams(0.99, "OBJ_artifacts"), "streams", "FAIL", "OBJ_artifacts is 99% full"),
        ({"engine": {"sickness": "the disk is full"}}, "engine", "FAIL", "the disk is full"),
        ({"disk": {"path": "/", "free_bytes": 5, "total_bytes": 100}}, "disk", "WARN", "5%"),
        ({"disk": {"path": "/", "free_bytes": 1, "total_bytes": 100}}, "disk", "FAIL", "1%"),
        (
            {"files": {"hard": 1024, "connections_needed": 2000, "engine_is_ours": True}},
            "nofile",
            "FAIL",
            "1024 open files allowed to the server, its nodes need 3000",
        ),
        ({"certificates": [{"name": "server", "days_left": 20}]}, "tls", "WARN", "ends in 20 days"),
        ({"certificates": [{"name": "engine", "days_left": -1}]}, "tls", "FAIL", "has expired"),
        ({"certificates": [{"name": "ca", "path": "/x", "days_left": None}]}, "tls", "FAIL", "cannot read"),
        ({"permissions": {"data_dir": "/d", "too_open": ["/d/keys"]}}, "secrets", "WARN", "others can read /d/keys"),
        (
            {"retention": {"audit": {"keep_days": 365, "oldest_goes_at": iso(NOW - timedelta(days=9))}}},
            "kept",
            "WARN",
            "overdue by 9d",
        ),
        (
            {"audit": {"sealed": 7, "waiting": 4, "waiting_since": iso(NOW - timedelta(minutes=9))}},
            "audit",
            "FAIL",
            "4 entries wait for their seal, the first was made 9m ago",
        ),
        ({"dead_letters": {"last_day": 100, "at_most": 100, "newest": "bad JSON"}}, "letters", "WARN", "100 or more"),
        ({"backup": {"last_at": None}}, "backup", "WARN", "knows of none"),
        ({"backup": {"last_at": (NOW - timedelta(days=20)).timestamp()}}, "backup", "WARN", "20d"),
    ],
)
def test_each_figure_that_is_wrong_is_said_with_a_remedy(
    changes: dict[str, Any], check: str, status: str, says: str
) -> None:
    finding = found(figures(**changes), check)
    assert finding.status == status
    assert says in finding.text
    assert finding.remedy
