"""The HTTP gate's prober: what it answers, and whom it never asks."""

import asyncio
import ipaddress

import pytest

from corral.domain.errors import Invalid
from corral.domain.rollout_state import Gate, GateKind
from corral.runtime.clock import SystemClock
from corral.server.infrastructure.probe.guard import parse_allowed, refusal
from corral.server.infrastructure.probe.http import HttpProber

ALLOW = ("127.0.0.1/32",)


def gate(url, **fields):
    return Gate(
        **{"kind": GateKind.HTTP, "url": url, "attempts": 1, "timeout_seconds": 2.0, "every_seconds": 0.0, **fields}
    )


async def served(answers, seen):
    async def handle(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(seen), len(answers)) - 1])
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "expect", "passed", "text"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", None, True, "answered 200"),
        (b"HTTP/1.1 204\r\n\r\n", None, True, "answered 204"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", None, False, "answered 503, not 2xx"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", None, False, "answered 302, not 2xx"),
        (b"HTTP/1.1 401 No\r\n\r\n", 401, True, "answered 401"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 401, False, "answered 200, not 401"),
        (b"SSH-2.0-x\r\n", None, False, "cannot ask it: it does not speak HTTP"),
        (b"", None, False, "cannot ask it: it does not speak HTTP"),
    ],
)
async def test_the_status_is_the_answer(answer, expect, passed, text):
    seen = []
    server = await served([answer], seen)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await HttpProber(clock=SystemClock(), allow=ALLOW).probe(
            gate(f"http://127.0.0.1:{port}/a?b=c", expect=expect)
        )
    assert (found.passed, found.text) == (passed, text)
    assert seen[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)
    assert len(seen) == 1, "no redirect is followed"


async def test_it_asks_again_until_it_passes():
    seen = []
    server = await served([b"HTTP/1.1 503 x\r\n\r\n", b"HTTP/1.1 503 x\r\n\r\n", b"HTTP/1.1 200 x\r\n\r\n"], seen)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await HttpProber(clock=SystemClock(), allow=ALLOW).probe(gate(url, attempts=5))
    assert (found.passed, len(seen)) == (True, 3)


async def test_silence_and_refusal_are_answers_too():
    prober = HttpProber(clock=SystemClock(), allow=ALLOW)
    gone = asyncio.Event()

    async def mute(reader, writer):
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert (await prober.probe(gate(f"http://127.0.0.1:{port}/", timeout_seconds=0.2))).text == "no answer in 0.2 s"
        gone.set()
    assert "cannot ask it" in (await prober.probe(gate(f"http://127.0.0.1:{port}/"))).text


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost:8080/", "http://0.0.0.0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:a9fe:a9fe]/", "http://2130706433/",
        "http://0x7f.1/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
    ],
)  # fmt: skip
async def test_the_server_asks_neither_itself_nor_its_link_nor_a_metadata_service(url):
    prober = HttpProber(clock=SystemClock())
    with pytest.raises(Invalid, match="cannot probe") as caught:
        await prober.check(gate(url))
    assert "probe_allow" in (caught.value.hint or "")
    found = await prober.probe(gate(url))
    assert (found.passed, "cannot probe" in found.text) == (False, True), "at the probe as well: names change"


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://a/", "http://", "file:///etc/passwd", "http://u:p@a/", "http://a:0/", "http://a:99999/", "http://a/\r\nX: y",
        "http://ä/", "gopher://a",
    ],
)  # fmt: skip
async def test_what_is_no_plain_http_url_is_refused(url):
    with pytest.raises(Invalid, match="expected an http"):
        await HttpProber(clock=SystemClock()).check(gate(url))


@pytest.mark.parametrize("text", ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd12::1"])
def test_other_hosts_may_be_asked_private_networks_included(text):
    assert refusal(ipaddress.ip_address(text), ()) == ""


def test_what_is_allowed_by_name_is_asked_in_spite_of_the_rules():
    allowed = parse_allowed(["127.0.0.0/8", "169.254.169.254"])
    for text in ("127.0.0.5", "::ffff:127.0.0.1", "169.254.169.254"):
        assert refusal(ipaddress.ip_address(text), allowed) == ""
    assert refusal(ipaddress.ip_address("::1"), allowed) == "this server itself"
    with pytest.raises(Invalid):
        parse_allowed(["localhost"])
