"""Threats against the API of a real server: no token, forged tokens, bodies made to choke a parser, slow clients, text made to lie
in logs and on terminals.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from corral.server.interface.rest.table import ROUTES
from corral.testing.chaos import measure
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

METHODS = ("get", "post", "put", "patch", "delete")
RSS_GROWTH_MAX_MB = 64.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with Stack.temporary(env={"CORRAL__LOG__FORMAT": "json"}) as stack:
        await stack.simulate(2, processes=1)
        yield stack


async def ask(
    stack: Stack, method: str, path: str, *, token: str | None = None, body: bytes = b"", headers: str = ""
) -> tuple[int, bytes]:
    """One request as bytes on a socket, so that nothing of ours makes it better."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.http_port)
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token is not None else ""
        writer.write(head.encode() + headers.encode() + b"Content-Type: application/json\r\n\r\n")
        try:
            writer.write(body)
            await writer.drain()
        except ConnectionError:
            pass  # it may answer and hang up before it has read everything
        try:
            answer = await asyncio.wait_for(reader.read(-1), 15)
        except ConnectionError:
            answer = b""
    finally:
        writer.close()
    words = answer.split(b" ", 2)
    return (int(words[1]) if len(words) > 1 else 0), answer.partition(b"\r\n\r\n")[2]


def admin(stack: Stack) -> str:
    return (stack.data / "admin.token").read_text().strip()


async def test_every_operation_of_the_description_wants_a_token_but_those_that_are_public_on_purpose(
    stack: Stack,
) -> None:
    status, document = await ask(stack, "GET", "/openapi.json")
    assert status == 200
    asked = 0
    public = {(route.method, route.path) for route in ROUTES if route.permission is None}
    open_ones = set()
    for path, operations in json.loads(document)["paths"].items():
        for method in METHODS:
            if method not in operations:
                continue
            asked += 1
            concrete = path
            for parameter in operations[method].get("parameters", ()):
                if parameter["in"] == "path":
                    concrete = concrete.replace("{" + parameter["name"] + "}", "x")
            full = concrete if concrete.startswith("/api/") else f"/api/v1{concrete}"
            status, _ = await ask(stack, method.upper(), full)
            if status != 401:
                open_ones.add((method.upper(), path.removeprefix("/api/v1")))
    assert asked > 30
    assert open_ones <= public
    assert {path for _, path in public} <= {
        "/login",
        "/refresh",
        "/enroll",
        "/enroll/challenge",
        "/enroll/renew",
    }, "a new public route: say here that it is meant to be"


def forged_tokens(good: str) -> list[str]:
    """Nothing here was issued, however much it looks like it."""

    def jwt(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
        parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    prefix, _, secret = good.rpartition("_")
    claims = {
        "sub": "admin",
        "name": "admin",
        "aud": "corral",
        "iss": "corral",
        "exp": 4_000_000_000,
        "permissions": ["*"],
    }
    algorithms = ("none", "None", "HS256", "HS512", "EdDSA", "RS256", "ES256", "")
    return [
        "",
        " ",
        "x",
        "crl_",
        good[:-1],
        good + "x",
        good[:-1] + ("a" if good[-1] != "a" else "b"),
        good.upper(),
        f"{prefix}_{secret[::-1]}",
        f"{prefix}_{'0' * len(secret)}",
        f"{prefix}_",
        prefix,
        "crl_' or '1'='1",
        "crl_%",
        "crl_*",
        "../../keys/realm.json",
        "x" * 8000,
        "null",
        "undefined",
        "Bearer",
        *(jwt({"alg": name, "typ": "JWT"}, claims) for name in algorithms),
        *(jwt({"alg": name, "kid": "../../../dev/null"}, claims, b"\0" * 64) for name in ("HS256", "EdDSA")),
        jwt({"alg": "EdDSA", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}}, claims, b"\0" * 64),
    ]


async def test_thirty_forged_tokens_open_nothing(stack: Stack) -> None:
    tokens = forged_tokens(admin(stack))
    assert len(tokens) >= 30
    for token in tokens:
        status, answer = await ask(stack, "GET", "/api/v1/nodes", token=token)
        assert status in (400, 401, 429, 431), (token[:60], status, answer[:200])
    assert (await ask(stack, "GET", "/api/v1/nodes", token=admin(stack)))[0] in (200, 429)


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("a selector of 1 MB", "/nodes/resolve", json.dumps({"selector": "web-1," * 170_000}).encode()),
        (
            "a selector of brackets",
            "/nodes/resolve",
            json.dumps({"selector": "(" * 4000 + "all" + ")" * 4000}).encode(),
        ),
        ("a selector of nots", "/nodes/resolve", json.dumps({"selector": "not " * 1000 + "all"}).encode()),
        ("a pattern that goes back", "/nodes/resolve", json.dumps({"selector": 'labels["a"] =~ "^(a+)+$"'}).encode()),
        ("10,000 lists", "/jobs", b'{"target":"all","argv":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
        ("10,000 objects", "/jobs", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
        ("unclosed lists", "/jobs", b"[" * 1_000_000),
        ("quotes and backslashes", "/jobs", b'"' + b"\\" * 2_000_000),
        ("30 MB", "/jobs", b'{"target":"all","argv":["' + b"x" * 30_000_000 + b'"]}'),
        ("a number of a million digits", "/jobs", b'{"target":"all","timeout":' + b"9" * 1_000_000 + b"}"),
        ("half a character", "/jobs", b'{"target":"all","argv":["\xff\xfe"]}'),
        ("a lone surrogate", "/jobs", b'{"target":"all","argv":["\\ud800"]}'),
        ("a NUL", "/jobs", b'{"target":"all","argv":["a\\u0000b"]}'),
        ("a million keys", "/jobs", b"{" + b",".join(b'"k%d":1' % n for n in range(300_000)) + b"}"),
    ],
    ids=lambda value: value if isinstance(value, str) and not value.startswith("/") else "",
)
async def test_what_is_made_to_choke_a_parser_is_refused_quickly(
    stack: Stack, name: str, path: str, body: bytes
) -> None:
    assert stack.server is not None
    before = measure.rss_mb(stack.server.pid)
    began = time.monotonic()
    status, answer = await ask(stack, "POST", f"/api/v1{path}", token=admin(stack), body=body)
    took = time.monotonic() - began
    # 0: it hung up on a body it had already refused, which is an answer too
    assert 400 <= status < 500 or (status == 0 and len(body) > 8 << 20), (name, status, answer[:300])
    assert took < 3, name
    for _ in range(5):
        await ask(stack, "POST", f"/api/v1{path}", token=admin(stack), body=body)
    assert measure.rss_mb(stack.server.pid) - before < RSS_GROWTH_MAX_MB + 4 * len(body) / 1e6, name


async def test_who_has_no_token_can_send_little(stack: Stack) -> None:
    for path in ("/login", "/refresh", "/enroll", "/enroll/challenge", "/enroll/renew"):
        status, answer = await ask(stack, "POST", f"/api/v1{path}", body=b'{"code":"' + b"x" * 1_000_000 + b'"}')
        assert status in (0, 413), (path, status, answer[:200])


async def test_two_hundred_slow_clients_keep_nobody_waiting(stack: Stack) -> None:
    assert stack.server is not None
    before = measure.rss_mb(stack.server.pid)
    slow = []
    for number in range(200):
        _, writer = await asyncio.open_connection("127.0.0.1", stack.http_port)
        writer.write(b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n")
        if number % 2:
            writer.write(f"Authorization: Bearer {admin(stack)}\r\n\r\n".encode() + b'{"target":')
        slow.append(writer)
    times = []
    for _ in range(40):
        for writer in slow:
            writer.write(b"x" if writer is not slow[0] else b"")
        began = time.monotonic()
        assert (await ask(stack, "GET", "/api/v1/nodes", token=admin(stack)))[0] == 200
        times.append(time.monotonic() - began)
    assert measure.percentile(times, 0.95) < 0.5
    assert measure.rss_mb(stack.server.pid) - before < 32
    for writer in slow:
        writer.close()


# -- text that lies

TRICKS = (
    '\n{"level":"info","event":"forged line"}',
    "\r\nforged line",
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egpj.exe",
    "\u2028forged line",
    "\x85forged line",
    "\x9b2Jforged",
)


async def test_no_text_of_a_caller_makes_a_line_of_its_own_in_the_log(stack: Stack) -> None:
    log = stack.folder / "server.log"
    before = len(log.read_bytes())
    for trick in TRICKS:
        body = json.dumps({"target": f"sim-00001{trick}", "argv": ["true"], "name": trick}).encode()
        await ask(stack, "POST", "/api/v1/jobs", token=admin(stack), body=body)
        named = json.dumps({"target": "sim-00001", "argv": ["true", trick], "name": f"job{trick}"}).encode()
        await ask(stack, "POST", "/api/v1/jobs", token=admin(stack), body=named)
        body = json.dumps({"reason": trick}).encode()
        await ask(stack, "POST", "/api/v1/nodes/nobody/revoke", token=admin(stack), body=body)
        await ask(stack, "GET", "/api/v1/nodes/" + "".join(f"%{byte:02x}" for byte in trick.encode()), token=trick[1:4])
    text = log.read_bytes()[before:].decode()
    for line in text.split("\n"):
        if line:
            assert isinstance(json.loads(line), dict), line
    assert not any(mark in text for mark in ("\x1b", "\r", "\u2028", "\u202e", "\x85", "\x9b"))


@pytest.mark.parametrize("words", [["logs"], ["get", "--with-output"]], ids=["logs", "get"])
async def test_what_a_task_prints_cannot_drive_the_terminal_of_who_reads_it(
    stack: Stack, words: list[str], tmp_path: Path
) -> None:
    nasty = tmp_path / "nasty"
    nasty.write_bytes(
        b"safe start\n\x1b]0;owned\x07title\n\x1b[2Jcleared\n\x1bP1$rdcs\x1b\\\n\xe2\x80\xaerevesrever\n"
        b"\xff\xfe invalid\n\x9b2Jc1\nover\rwritten\n\x1b[31mred\x1b[0m\x1b[6n\x08\x08\nsafe end\n"
    )
    handle = await stack.fleet.submit(["cat", str(nasty)], on="sim-00001")
    job = await handle.wait()
    assert job.succeeded
    seen = await asyncio.to_thread(on_terminal, stack, ["exec", words[0], job.job, *words[1:]])
    assert "safe start" in seen
    assert "safe end" in seen
    for bad in ("\x1b]", "\x1b[2J", "\x1bP", "\x9b", "\u202e", "\x1b[6n", "\x08", "\x07"):
        assert bad not in seen, repr(bad)
    raw = b"".join([piece async for piece in stack.fleet.jobs.raw_output(job.job, "sim-00001")])
    assert raw == nasty.read_bytes()


def on_terminal(stack: Stack, words: list[str]) -> str:
    """What `corral …` writes when its output is a terminal."""
    mine, theirs = pty.openpty()
    env = {**os.environ, "CORRAL_URL": stack.url, "CORRAL_TOKEN": admin(stack), "TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-m", "corral", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    seen = b""
    ends = time.monotonic() + 30
    try:
        while time.monotonic() < ends:
            if not select.select([mine], [], [], 0.2)[0]:
                if child.poll() is not None:
                    break
                continue
            try:
                piece = os.read(mine, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert child.wait(10) == 0, seen
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        os.close(mine)
    return seen.decode(errors="replace")
