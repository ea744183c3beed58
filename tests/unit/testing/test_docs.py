"""The maps in the docs point at files that are there, and the rooms have the same name on every floor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEST = re.compile(r"\b((?:unit|contract|system|budget|golden)/[\w/]+\.py)")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_every_test_named_in_the_requirements_exists() -> None:
    named = set(TEST.findall((ROOT / "docs/requirements.md").read_text()))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).exists()] == []


@pytest.mark.parametrize("page", DOCS, ids=[str(page.relative_to(ROOT)) for page in DOCS])
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize(
    ("room", "places"),
    [
        (
            "nodes",
            ["server/application/nodes", "server/application/ports/nodes.py", "server/infrastructure/sql/nodes.py"],
        ),
        ("nodes", ["server/interface/rest/nodes.py", "server/compose/nodes.py", "sdk/nodes.py", "domain/node.py"]),
        ("jobs", ["server/application/jobs", "server/application/ports/jobs.py", "server/infrastructure/sql/jobs.py"]),
        ("jobs", ["server/interface/rest/jobs.py", "server/compose/jobs.py", "sdk/jobs.py", "domain/job.py"]),
        (
            "access",
            ["server/application/access", "server/application/ports/access.py", "server/interface/rest/access.py"],
        ),
    ],
)
def test_a_room_has_its_name_on_every_floor(room: str, places: list[str]) -> None:
    assert [place for place in places if not (ROOT / "src/corral" / place).exists()] == []
