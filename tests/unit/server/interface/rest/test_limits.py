from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import CorralError, Invalid, TooLarge, TooMany
from corral.server.interface.rest.limits import Gone, RateCap, check_depth, read_body


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(item) for item in value), default=0)
    return 0


JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='ab"\\[]{}\n', max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='"[{\\', max_size=4), inner, max_size=3)
    ),
    max_leaves=60,
)


@given(JSON, st.integers(0, 100))
def test_exactly_what_nests_deeper_than_64_is_refused(value: Any, wraps: int) -> None:
    for _ in range(wraps):
        value = [value]
    body = json.dumps(value, ensure_ascii=False).encode()
    if depth_of(value) > 64:
        with pytest.raises(Invalid):
            check_depth(body)
    else:
        check_depth(body)


@given(st.binary(max_size=300))
def test_any_bytes_pass_or_are_refused_with_our_error(body: bytes) -> None:
    try:
        check_depth(b"[" * 40 + body + b"[{" * 40)
    except CorralError as error:
        assert error.http_status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b"\\" * 8_000_000,
        b'"' + b'\\"' * 4_000_000,
        b'"' * 8_000_000,
        b"[" * 8_000_000,
        b"[]" * 4_000_000,
        b'{"a":"' + b"[" * 8_000_000 + b'"}',
    ],
    ids=["backslashes", "escaped quotes", "quotes", "open", "pairs", "in a string"],
)
def test_a_parser_bomb_costs_little(body: bytes) -> None:
    begun = time.process_time()
    try:
        check_depth(body)
    except Invalid:
        pass
    assert time.process_time() - begun < 2.0


def receiver(*messages: dict[str, Any]) -> Any:
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        return queue.pop(0)

    return receive


async def test_a_body_is_read_to_its_end_or_to_the_cap() -> None:
    parts = ({"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.request", "body": b"c"})
    assert await read_body(receiver(*parts), content_length=None, limit=3) == b"abc"
    with pytest.raises(TooLarge):
        await read_body(receiver(*parts), content_length=None, limit=2)
    with pytest.raises(TooLarge):
        await read_body(receiver(), content_length=b"4", limit=3)
    with pytest.raises(Invalid):
        await read_body(receiver(), content_length=b"many", limit=3)
    with pytest.raises(Gone):
        await read_body(receiver({"type": "http.disconnect"}), content_length=None, limit=3)


def test_the_rate_cap_lets_a_burst_through_and_then_the_rate() -> None:
    cap = RateCap(10)
    for _ in range(20):
        cap.check("a", now=0.0)
    with pytest.raises(TooMany):
        cap.check("a", now=0.0)
    cap.check("b", now=0.0)
    cap.check("a", now=0.11)
    with pytest.raises(TooMany):
        cap.check("a", now=0.12)
    RateCap(0).check("a", now=0.0)


@pytest.mark.parametrize("parts", [b",".join([b"1"] * 100_002), b",".join(b'"k%d":1' % n for n in range(100_002))])
def test_more_parts_than_anybody_needs_are_refused_before_they_are_decoded(parts):
    with pytest.raises(Invalid, match="parts"):
        check_depth(b"[" + parts + b"]")


def test_commas_inside_a_script_are_no_parts():
    check_depth(b'{"target":"all","script":"' + b"a,b,{[" * 500_000 + b'"}')
