"""The lists of words that the page holds itself are those of the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from corral.domain import policy
from corral.domain.policy_rules import Effect
from corral.domain.task import REASON_TEXT
from corral.server.application.access.permissions import PERMISSIONS

PAGE = Path(__file__).resolve().parents[5] / "ui/src"


@pytest.mark.parametrize(
    ("file", "name", "wanted"),
    [
        ("text/permissions.ts", "PERMISSIONS", sorted(PERMISSIONS)),
        ("text/rows.ts", "MATCH_KEYS", list(policy._KEYS)),
        ("data/policy.ts", "EFFECTS", [effect.value for effect in Effect]),
    ],
)
def test_the_page_offers_what_the_server_knows(file: str, name: str, wanted: list[str]) -> None:
    source = (PAGE / file).read_text(encoding="utf-8")
    found = re.search(rf"export const {name} = \[(.*?)\] as const;", source, re.DOTALL)
    assert found is not None
    assert re.findall(r'"([^"]+)"', found[1]) == wanted


def test_the_page_has_words_for_every_reason_of_a_task() -> None:
    """In English those of the server itself; the catalogues hold the same keys."""
    catalogue = json.loads((PAGE / "i18n/en.json").read_text(encoding="utf-8"))
    assert catalogue["reason"] == {reason.value: text for reason, text in REASON_TEXT.items() if reason.value}
