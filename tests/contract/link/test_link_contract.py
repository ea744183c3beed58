"""What every link promises. The reference is the engine's own client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from corral.agent.link.port import LinkMessage, NoAnswer

pytestmark = pytest.mark.engine


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.005)


async def test_a_message_arrives_with_its_bytes_reply_and_headers(rig: Any) -> None:
    got: list[LinkMessage] = []
    link = await rig.link(("t.one.>", got.append))
    data = bytes(range(256))
    await link.publish("t.one.a.b", data, reply="t.answer", headers={"Corral-Offset": "12"})
    await until(lambda: bool(got))
    assert got == [LinkMessage("t.one.a.b", data, "t.answer", {"Corral-Offset": "12"})]


async def test_an_empty_message_without_headers_has_no_headers(rig: Any) -> None:
    got: list[LinkMessage] = []
    link = await rig.link(("t.empty", got.append))
    await link.publish("t.empty", b"")
    await until(lambda: bool(got))
    assert got == [LinkMessage("t.empty", b"", "", {})]


async def test_messages_of_a_subscription_are_handled_in_order_though_a_handler_waits(rig: Any) -> None:
    got: list[bytes] = []
    running = 0

    async def slow(message: LinkMessage) -> None:
        nonlocal running
        running += 1
        assert running == 1, "two handlers of one subscription at once"
        await asyncio.sleep(0.001 if int(message.data) % 2 else 0)
        got.append(message.data)
        running -= 1

    link = await rig.link(("t.order", slow))
    for number in range(200):
        await link.publish("t.order", str(number).encode())
    await until(lambda: len(got) == 200)
    assert got == [str(number).encode() for number in range(200)]


async def test_a_handler_that_fails_does_not_stop_the_next_message(rig: Any) -> None:
    got: list[bytes] = []

    def handler(message: LinkMessage) -> None:
        if message.data == b"bad":
            raise RuntimeError("on purpose")
        got.append(message.data)

    async def later(message: LinkMessage) -> None:
        await asyncio.sleep(0)
        handler(message)

    link = await rig.link(("t.sync", handler), ("t.async", later))
    for subject in ("t.sync", "t.async"):
        await link.publish(subject, b"bad")
        await link.publish(subject, b"good")
    await until(lambda: len(got) == 2)
    assert got == [b"good", b"good"]


async def test_wildcards_cover_one_token_or_the_rest(rig: Any) -> None:
    one: list[str] = []
    rest: list[str] = []
    link = await rig.link(
        ("t.w.*.x", lambda message: one.append(message.subject)),
        ("t.w.>", lambda message: rest.append(message.subject)),
    )
    for subject in ("t.w.a.x", "t.w.a.y", "t.w.a.b.x", "t.w.a", "t.other"):
        await link.publish(subject, b"")
    await until(lambda: len(rest) == 4)
    assert one == ["t.w.a.x"]
    assert rest == ["t.w.a.x", "t.w.a.y", "t.w.a.b.x", "t.w.a"]


async def test_a_request_gets_its_own_answer_with_many_under_way(rig: Any) -> None:
    async def answer(message: LinkMessage) -> None:
        await link.publish(message.reply, b"re:" + message.data, headers={"N": message.data.decode()})

    link = await rig.link(("t.ask", answer))
    asker = await rig.link()
    answers = await asyncio.gather(*(asker.request("t.ask", str(number).encode()) for number in range(50)))
    assert [answer.data for answer in answers] == [f"re:{number}".encode() for number in range(50)]
    assert answers[7].headers == {"N": "7"}


async def test_a_request_that_nobody_hears_fails_at_once(rig: Any) -> None:
    link = await rig.link()
    begin = time.monotonic()
    with pytest.raises(NoAnswer):
        await link.request("t.nobody", b"", timeout_seconds=5)
    assert time.monotonic() - begin < 2


async def test_a_request_that_is_heard_and_not_answered_ends_in_time(rig: Any) -> None:
    link = await rig.link(("t.mute", lambda message: None))
    begin = time.monotonic()
    with pytest.raises(NoAnswer):
        await link.request("t.mute", b"", timeout_seconds=0.2)
    assert 0.15 < time.monotonic() - begin < 2


async def test_request_many_collects_up_to_the_status(rig: Any) -> None:
    async def answer(message: LinkMessage) -> None:
        for number in range(5):
            await link.publish(message.reply, str(number).encode(), headers={"Nats-Sequence": str(number)})
        await link.publish(message.reply, b"", headers={"Status": "204"})
        await link.publish(message.reply, b"late")

    link = await rig.link(("t.batch", answer))
    replies = await link.request_many("t.batch", b"", timeout_seconds=5)
    assert [reply.data for reply in replies] == [b"0", b"1", b"2", b"3", b"4", b""]
    assert replies[-1].headers["Status"] == "204"


async def test_request_many_without_an_answer_says_so(rig: Any) -> None:
    link = await rig.link(("t.some", lambda message: None))
    with pytest.raises(NoAnswer):
        await link.request_many("t.none", b"", timeout_seconds=1)
    with pytest.raises(NoAnswer):
        await link.request_many("t.some", b"", timeout_seconds=0.2)


async def test_after_flush_everything_published_before_was_taken(rig: Any) -> None:
    got: list[LinkMessage] = []
    await rig.link(("t.flush", got.append))
    sender = await rig.link()
    for _ in range(100):
        await sender.publish("t.flush", b"x" * 1000)
    await sender.flush()
    await until(lambda: len(got) == 100)


async def test_two_links_of_one_node_do_not_take_each_others_answers(rig: Any) -> None:
    async def answer(message: LinkMessage) -> None:
        await first.publish(message.reply, b"yes")

    first = await rig.link(("t.both", answer))
    second = await rig.link()
    answers = await asyncio.gather(first.request("t.both", b""), second.request("t.both", b""))
    assert [answer.data for answer in answers] == [b"yes", b"yes"]


async def test_subscriptions_said_anew_still_bring_each_message_once(rig: Any) -> None:
    got: list[bytes] = []
    link = await rig.link(("t.anew.>", lambda message: got.append(message.data)))
    await link.publish("t.anew.a", b"1")
    await until(lambda: len(got) == 1)
    link.resubscribe()
    await link.flush()
    for data in (b"2", b"3"):
        await link.publish("t.anew.a", data)
    await until(lambda: len(got) >= 3)
    await link.flush()
    assert got == [b"1", b"2", b"3"]
