"""The fault proxy does what a test asks of it: nothing lost, nothing reordered, late or silent or cut on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest_asyncio

from corral.testing.broker_proxy import BrokerProxy, Frame
from corral.testing.proxy import FaultProxy, Shape


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_bytes_pass_whole_and_in_order_however_bad_the_network(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo, seed=1) as proxy:
        proxy.shape(up=Shape(jitter_seconds=0.02, delay_seconds=0.02), down=Shape(bytes_per_second=2_000_000))
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        sent = bytes(range(256)) * 800
        writer.write(sent)
        assert await asyncio.wait_for(reader.readexactly(len(sent)), 10) == sent
        writer.close()


async def test_a_held_direction_is_silent_and_delivers_when_it_is_let_go(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for up, down in ((True, False), (False, True), (True, True)):
            proxy.hold(up=up, down=down)
            writer.write(b"hello")
            answer = asyncio.ensure_future(reader.readexactly(5))
            done, _ = await asyncio.wait([answer], timeout=0.15)
            assert not done
            proxy.heal()
            assert await asyncio.wait_for(answer, 5) == b"hello"
        writer.close()


async def test_delay_and_bandwidth_take_their_time(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for shape, size, least in ((Shape(delay_seconds=0.2), 1, 0.2), (Shape(bytes_per_second=8000), 4000, 0.4)):
            proxy.shape(up=shape)
            began = time.monotonic()
            writer.write(b"x" * size)
            await asyncio.wait_for(reader.readexactly(size), 10)
            assert time.monotonic() - began >= least - 0.02  # a timer of the loop may be a tick early
        writer.close()


async def test_a_reset_cuts_everybody_and_refusing_keeps_them_out(echo: int) -> None:
    async with FaultProxy("127.0.0.1", echo) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.refusing = True
        proxy.reset()
        try:
            assert await asyncio.wait_for(reader.read(1), 5) == b""
        except ConnectionResetError:
            pass
        again, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            assert await asyncio.wait_for(again.read(1), 5) == b""
        except ConnectionResetError:
            pass
        assert proxy.open == 0
        for each in (writer, other):
            each.close()


async def test_the_lying_broker_rewrites_messages_split_anywhere_and_leaves_the_rest_alone() -> None:
    proxy = BrokerProxy(
        "127.0.0.1", 1, rewrite=lambda frame: [Frame(subject=frame.subject, sid=frame.sid, payload=b"lie")]
    )
    head = b"HMSG a.b 7 r.1 16 21\r\n" + b"NATS/1.0\r\nA: b\r\n" + b"truth"[:5] + b"\r\n"
    stream = b"INFO {}\r\nMSG a.b 7 5\r\ntruth\r\nPING\r\n" + head + b"+OK\r\n"
    for step in (1, 2, 7, len(stream)):
        out = b"".join(proxy.change(False, stream[at : at + step], step) for at in range(0, len(stream), step))
        assert out == b"INFO {}\r\nMSG a.b 7 3\r\nlie\r\nPING\r\nMSG a.b 7 3\r\nlie\r\n+OK\r\n"
    assert {frame.payload for frame in proxy.seen} == {b"truth"}
    up = b"CONNECT {}\r\nSUB a.> 3\r\nPUB x.y 5\r\nhello\r\nHPUB x.z r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    assert b"".join(proxy.change(True, up[at : at + 5], 99) for at in range(0, len(up), 5)) == up
    assert proxy.sent_up == [("x.y", b"hello"), ("x.z", b"hi")]
