from __future__ import annotations

import pytest

from corral.domain.errors import Invalid
from corral.domain.node import check_group, check_label, parse_labels


def test_labels_are_merged_and_removed_by_one_text() -> None:
    assert parse_labels("role=web, rack=r1,old-") == ({"role": "web", "rack": "r1"}, frozenset({"old"}))


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_labels("a=b=c")[0] == {"a": "b=c"}


@pytest.mark.parametrize("text", ["novalue", "=x", "bad key=x", "k=\x01"])
def test_what_is_no_label_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_labels(text)
    assert caught.value.element == "labels"


def test_group_and_label_grammar() -> None:
    check_group("canary.1")
    check_label("topology.kubernetes.io/zone", "eu-1")
    with pytest.raises(Invalid):
        check_group("with space")
