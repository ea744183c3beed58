"""The same key with the same request is answered once, from store; anything else with that key is a conflict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

API = "/api/v1"


async def post(stand: Any, key: str, body: Any, secret: str | None = None) -> Any:
    headers = {**stand.bearer(secret), "Idempotency-Key": key}
    return await stand.client.post(f"{API}/things", json=body, headers=headers)


async def test_the_same_key_and_request_run_once_and_get_the_same_answer(stand: Any) -> None:
    first = await post(stand, "k", {"name": "a"})
    second = await post(stand, "k", {"name": "a"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"
    assert stand.things.made == ["a"]


async def test_two_at_the_same_time_run_once(stand: Any) -> None:
    answers = await asyncio.gather(*(post(stand, "k", {"name": "a"}) for _ in range(10)))
    assert len({answer.content for answer in answers}) == 1
    assert stand.things.made == ["a"]


async def test_the_same_key_with_another_request_is_a_conflict(stand: Any) -> None:
    await post(stand, "k", {"name": "a"})
    other = await post(stand, "k", {"name": "b"})
    assert (other.status_code, other.json()["element"]) == (409, "Idempotency-Key")
    assert stand.things.made == ["a"]


async def test_a_failure_is_not_kept(stand: Any) -> None:
    assert (await post(stand, "k", {"name": "taken"})).status_code == 409
    assert (await post(stand, "k", {"name": "a"})).status_code == 201


async def test_keys_belong_to_their_caller(stand: Any) -> None:
    await post(stand, "k", {"name": "a"})
    other = await post(stand, "k", {"name": "b"}, await stand.token("node.write"))
    assert other.status_code == 201
    assert stand.things.made == ["a", "b"]


async def test_the_stored_answer_is_sealed(stand: Any) -> None:
    await post(stand, "k", {"name": "a"})
    (row,) = stand.db.answers.values()
    assert b"shown-once" not in row.body


@pytest.mark.parametrize("key", ["x" * 129, "a\tb", " "])
async def test_what_is_no_key_is_refused(stand: Any, key: str) -> None:
    assert (await post(stand, key, {"name": "a"})).status_code == 400
    assert stand.things.made == []


async def test_a_question_by_post_is_answered_anew_and_stored_nowhere(stand: Any) -> None:
    headers = {**stand.bearer(), "Idempotency-Key": "q"}
    answers = [await stand.client.post(f"{API}/things/ask", json={"name": "a"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert stand.things.made == ["a", "a"]
