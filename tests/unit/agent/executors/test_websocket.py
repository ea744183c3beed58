"""The WebSocket client against a server of raw bytes: what it takes, and what it must not."""

import base64
import hashlib
import socket
import threading

import pytest

from corral.agent.executors.contract import Failed
from corral.agent.executors.httpwire import Web
from corral.agent.executors.websocket import Refused, WebSocket
from corral.domain.netguard import AddressRules

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PROTOCOL = "v4.channel.k8s.io"


def frame(code, data=b"", *, final=True, bits=0, masked=False):
    head = bytes(((0x80 if final else 0) | bits | code,))
    size = len(data)
    mark = 0x80 if masked else 0
    if size < 126:
        return head + bytes((mark | size,)) + data
    return head + bytes((mark | 126,)) + size.to_bytes(2, "big") + data


@pytest.fixture
def opened():
    """`opened(frames)` → the client of a server that sends these bytes after its handshake."""
    threads, heard, listeners, clients = [], [], [], []

    def open_(frames, *, answer=None, protocol=PROTOCOL, timeout=5.0, hold=False):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        done = threading.Event()

        def serve():
            peer, _ = listener.accept()
            with peer:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += peer.recv(4096)
                key = next(
                    line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")
                ).split(b": ")[1]
                accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
                said = (
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Protocol: "
                    + protocol.encode()
                    + b"\r\nSec-WebSocket-Accept: "
                    + accept
                    + b"\r\n\r\n"
                )
                heard.append(head)
                peer.sendall((said if answer is None else answer) + frames)
                if hold:
                    done.wait(10)
                else:
                    peer.shutdown(socket.SHUT_WR)
                    while data := peer.recv(4096):
                        heard.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        threads.append((thread, done))
        web = Web(rules=AddressRules(loopback=True), timeout_seconds=timeout)
        client = WebSocket(
            web,
            f"http://127.0.0.1:{listener.getsockname()[1]}/exec?command=id",
            {"Authorization": "Bearer x"},
            PROTOCOL,
        )
        clients.append(client)
        return client

    open_.heard = heard
    yield open_
    for client in clients:
        client.__exit__()
    for thread, done in threads:
        done.set()
        thread.join()
    for listener in listeners:
        listener.close()


def test_messages_come_whole_pings_are_answered_and_close_ends_it(opened):
    frames = (
        frame(2, b"one")
        + frame(9, b"hi")
        + frame(2, b"tw", final=False)
        + frame(0, b"o")
        + frame(2, b"x" * 70_00)
        + frame(8)
    )
    client = opened(frames + frame(2, b"never"))
    with client:
        assert list(client) == [b"one", b"two", b"x" * 70_00]
    head = opened.heard[0].decode()
    assert head.startswith("GET /exec?command=id HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "Authorization: Bearer x\r\n" in head


def test_a_pong_is_masked_and_says_what_the_ping_said(opened):
    client = opened(frame(9, b"hello") + frame(8))
    with client:
        assert list(client) == []
    for thread in threading.enumerate():
        if thread.name.endswith("(serve)"):
            thread.join()
    pong = b"".join(opened.heard[1:])
    assert (pong[0], pong[1]) == (0x8A, 0x85)
    assert bytes(byte ^ pong[2 + at % 4] for at, byte in enumerate(pong[6:])) == b"hello"


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (frame(2, b"x", masked=True), "no server may send"),
        (frame(2, b"x", bits=0x40), "no server may send"),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), "no server may send"),
        (frame(3, b"x"), "has no meaning"),
        (b"\x82\x05ab", "it broke off"),
        (b"", "it broke off"),
    ],
)
def test_what_no_server_may_send_ends_it(opened, frames, words):
    with opened(frames) as client, pytest.raises(Failed, match=words):
        list(client)


def test_a_refusal_keeps_what_the_server_said(opened):
    body = b'{"message": "no"}'
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(Refused) as refused:
        opened(body, answer=answer)
    assert (refused.value.status, refused.value.body) == (403, body)


def test_another_protocol_than_asked_for_is_not_taken(opened):
    with pytest.raises(Failed, match="agreed to something else"):
        opened(b"", protocol="v5.channel.k8s.io")
    with pytest.raises(Failed, match="does not speak HTTP"):
        opened(b"hello\r\n", answer=b"")


def test_a_stream_that_never_ends_has_an_end(opened):
    with opened(frame(2, b"one"), timeout=0.5, hold=True) as client, pytest.raises(Failed, match="the time is up"):
        list(client)
