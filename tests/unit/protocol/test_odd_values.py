"""What JSON can carry and nothing behind it can: refused where it arrives, because one node must not break what others read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.protocol.codec import DEPTH_MAX, BadMessage, decode, too_deep
from corral.protocol.messages import BeatMessage, FactsMessage, SyncRequest


@pytest.mark.parametrize(
    "text",
    [
        '{"nonce": "\\ud800", "journal": "j", "boot_id": "b"}',
        '{"nonce": "\\uDfff", "journal": "j", "boot_id": "b"}',
        '{"nonce": "n", "journal": "j", "boot_id": "b", "\\ud800": 1}',
        '{"nonce": "n", "journal": "j", "boot_id": "b", "policy_revision": 18446744073709551616}',
    ],
)
def test_a_lone_surrogate_or_a_number_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        decode(SyncRequest, text.encode())


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", "-1E+999", "9223372036854775808", "[" * 40 + "]" * 40])
def test_facts_that_no_answer_could_carry_are_refused(value: str) -> None:
    with pytest.raises(BadMessage):
        decode(FactsMessage, b'{"facts": {"a": %b}}' % value.encode())


def test_what_only_looks_odd_is_taken_as_it_is() -> None:
    facts = {"host": "NaN-Infinity", "pair": "\U0001f600", "large": 2**63 - 1, "tiny": 1e-300, "wide": 1e300}
    text = json.dumps({"facts": facts})
    assert "\\ud83d" in text  # a pair of surrogates is one character
    assert decode(FactsMessage, text.encode()).facts == facts
    assert decode(BeatMessage, b'{"sent": 1e100}').sent == 1e100


@given(st.integers(0, 2 * DEPTH_MAX), st.booleans())
def test_depth_is_counted_for_lists_and_objects_alike(levels: int, lists: bool) -> None:
    value: object = 1
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    assert too_deep(value) == (levels > DEPTH_MAX + 1)


@given(st.binary())
def test_whatever_arrives_is_a_message_or_refused(data: bytes) -> None:
    try:
        message = decode(FactsMessage, data)
    except BadMessage:
        return
    json.dumps(message.facts, allow_nan=False, ensure_ascii=False).encode()
