"""The client against a server that speaks the contract: live output, reconnects, retries, errors."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

import corral
from corral.domain.errors import BadSelector, Denied, Invalid, NotFound, NothingMatched, Unauthenticated, Unavailable
from corral.sdk import Ended, Fleet, Snapshot, TasksChanged
from corral.sdk.api import problem_of
from corral.sdk.http import parse_url
from corral.sdk.models import Line
from corral.testing.fake_api import TOKEN, Act, FakeApi, default_act, node


def act(name: str, body: Mapping[str, Any]) -> Act:
    argv = list(body.get("argv") or ())
    if argv == ["twice"]:
        return Act(stdout=b"first line\nsecond line\nthird", twice=True)
    if argv == ["many"]:
        return Act(stdout=b"".join(b"%d\n" % number for number in range(100)))
    if argv == ["mixed"] and name == "node-2":
        return Act(exit_code=3, state="failed", stderr=b"no\n")
    return default_act(name, body)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi([node("node-1"), node("node-2"), node("node-3", "offline")], act=act) as server:
        yield server


def connect(api: FakeApi) -> Fleet:
    return corral.connect(api.url, TOKEN)


async def lines(run: Any) -> list[Line]:
    return [line async for line in run]


async def test_run_yields_lines_and_then_knows_the_outcome(api: FakeApi) -> None:
    async with connect(api) as fleet:
        run = fleet.run("hostname", on="all")
        found = await lines(run)
        assert sorted((line.node, line.stream, line.text) for line in found) == [
            ("node-1", "stdout", "node-1"),
            ("node-2", "stdout", "node-2"),
        ]
        assert run.job.counts == {"succeeded": 2, "queued": 1}


async def test_a_run_that_failed_raises_nothing(api: FakeApi) -> None:
    async with connect(api) as fleet:
        run = fleet.run(["mixed"], on="node-1,node-2")
        assert [(line.stream, line.text) for line in await lines(run)] == [("stderr", "no")]
        assert {task.node: task.exit_code for task in run.job.tasks} == {"node-1": 0, "node-2": 3}


async def test_the_outcome_of_a_run_that_was_not_started_is_an_error(api: FakeApi) -> None:
    async with connect(api) as fleet:
        with pytest.raises(Invalid):
            _ = fleet.run("true", on="all").job


async def test_output_sent_twice_and_out_of_order_shows_once(api: FakeApi) -> None:
    async with connect(api) as fleet:
        found = await lines(fleet.run("twice", on="node-1"))
        assert [line.text for line in found] == ["first line", "second line", "third"]


async def test_a_broken_stream_goes_on_without_gap_or_repetition(api: FakeApi) -> None:
    api.break_streams = 3
    async with connect(api) as fleet:
        found = await lines(fleet.run("twice", on="node-1,node-2"))
        for name in ("node-1", "node-2"):
            assert [line.text for line in found if line.node == name] == ["first line", "second line", "third"]
    assert api.break_streams == 0
    assert sum("/events" in target for _, target in api.requests) == 4


async def test_a_submission_whose_answer_was_lost_is_not_made_twice(api: FakeApi) -> None:
    api.break_answers = 2
    async with connect(api) as fleet:
        handle = await fleet.submit("true", on="node-1")
        assert (await handle.wait()).succeeded
    assert len(api.jobs) == 1
    assert sum(request == ("POST", "/api/v1/jobs") for request in api.requests) == 3


async def test_a_removal_whose_answer_was_lost_counts_as_done(api: FakeApi) -> None:
    api.break_answers = 1
    async with connect(api) as fleet:
        await fleet.nodes.remove("node-1")
    assert "node-1" not in api.nodes


async def test_connections_are_kept_between_requests(api: FakeApi) -> None:
    async with connect(api) as fleet:
        await fleet.nodes.list()
        idle = fleet._api._http._idle
        assert len(idle) == 1
        first = idle[0]
        await fleet.nodes.get("node-1")
        assert fleet._api._http._idle == [first]


async def test_no_server_is_said_at_once_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with corral.connect(url, TOKEN) as fleet:
            with pytest.raises(Unavailable, match="connection refused") as caught:
                await fleet.nodes.list()
    assert "corral up" in str(caught.value.hint)


async def test_errors_come_back_as_the_server_raised_them(api: FakeApi) -> None:
    async with connect(api) as fleet:
        with pytest.raises(NothingMatched):
            await fleet.submit("true", on="nobody")
        with pytest.raises(NotFound) as missing:
            await fleet.jobs.get("J1")
        assert (missing.value.element, missing.value.hint) == ("job", "corral exec list")
        with pytest.raises(BadSelector) as bad:
            await fleet.submit("true", on="labels[(")
        assert (bad.value.column, bad.value.text) == (8, "labels[(")
        api.denied.add("/api/v1/audit")
        with pytest.raises(Denied):
            await fleet.system.audit()


async def test_a_wrong_token_is_unauthenticated_and_says_what_to_do(api: FakeApi) -> None:
    async with corral.connect(api.url, "wrong") as fleet:
        with pytest.raises(Unauthenticated) as caught:
            await fleet.nodes.list()
        assert "corral login" in str(caught.value.hint)


async def test_events_begin_with_a_snapshot_and_end_with_the_end(api: FakeApi) -> None:
    async with connect(api) as fleet:
        handle = await fleet.submit("true", on="node-1")
        events = [event async for event in handle.events()]
        assert isinstance(events[0], Snapshot)
        assert isinstance(events[-1], Ended)
        assert any(isinstance(event, TasksChanged) for event in events)
        assert handle.job.tasks[0].succeeded


async def test_cancel_and_retry_through_the_handle(api: FakeApi) -> None:
    async with connect(api) as fleet:
        handle = await fleet.submit("sleep 100", on="node-1")
        await handle.cancel()
        assert (await handle.wait()).state == "cancelled"
        again = await handle.retry()
        assert again.job.tasks[0].attempt == 2
        assert (await handle.why()).lines == ("node-1: running",)


async def test_everyone_is_waited_for_only_when_asked(api: FakeApi) -> None:
    async with connect(api) as fleet:
        handle = await fleet.submit("true", on="all")
        assert (await handle.wait(everyone=False)).open
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await handle.wait()


async def test_lists_follow_their_pages(api: FakeApi) -> None:
    api.nodes = {f"n{number:03}": node(f"n{number:03}") for number in range(250)}
    async with connect(api) as fleet:
        assert len(await fleet.nodes.list()) == 250
        assert len(await fleet.nodes.list(limit=120)) == 120


async def test_raw_output_is_the_exact_bytes(api: FakeApi) -> None:
    async with connect(api) as fleet:
        handle = await fleet.submit("many", on="node-1")
        await handle.wait()
        raw = b"".join([part async for part in fleet.jobs.raw_output(handle.id, "node-1")])
        assert raw == act("node-1", {"argv": ["many"]}).stdout
        stored = b"".join([out.data async for out in fleet.jobs.output(handle.id)])
        assert stored == raw


async def test_nodes_and_tokens_have_their_verbs(api: FakeApi) -> None:
    async with connect(api) as fleet:
        assert (await fleet.nodes.set("node-1", labels={"role": "web"})).labels == {"role": "web"}
        assert (await fleet.nodes.set("node-1", labels={"role": None})).labels == {}
        changed = await fleet.nodes.set_all("all", groups=["eu"])
        assert [item.groups for item in changed] == [("eu",)] * 3
        assert (await fleet.nodes.resolve("all")).offline == ("node-3",)
        await fleet.nodes.revoke("node-2", "test")
        assert (await fleet.nodes.get("node-2")).revoked
        made = await fleet.tokens.create(uses=2)
        assert made.token.startswith("cj1.")
        assert made.token not in repr(made)
        await fleet.tokens.revoke(made.id)
        assert await fleet.tokens.list() == []


def test_the_blocking_client_does_the_same(api: FakeApi) -> None:
    with corral.connect_sync(api.url, TOKEN) as fleet:
        run = fleet.run("echo hello", on="node-1,node-2")
        assert sorted((line.node, line.text) for line in run) == [("node-1", "hello"), ("node-2", "hello")]
        assert run.job.succeeded
        handle = fleet.submit("true", on="node-1")
        assert handle.wait().succeeded
        assert fleet.nodes.get("node-3").presence == "offline"
        with pytest.raises(NotFound):
            fleet.jobs.get("J9")


async def test_tls_is_checked_against_the_ca_and_nothing_else(tmp_path: Path) -> None:
    ours, other = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(tls)
    ours.cert_pem.write_to_path(str(tmp_path / "ours.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with FakeApi(tls=tls) as api:
        async with corral.connect(api.url, TOKEN, ca=str(tmp_path / "ours.pem")) as fleet:
            assert len(await fleet.nodes.list()) == 2
        async with corral.connect(api.url, TOKEN, ca=str(tmp_path / "other.pem")) as fleet:
            with pytest.raises(Unavailable, match="cannot trust the server") as caught:
                await fleet.nodes.list()
        assert "CORRAL_CA" in str(caught.value.hint)
        async with corral.connect(api.url, TOKEN, ca=str(tmp_path / "missing.pem")) as fleet:
            with pytest.raises(Invalid, match="cannot read the CA certificate"):
                await fleet.nodes.list()
    assert api.requests == [("GET", "/api/v1/nodes")]


def test_a_page_of_a_proxy_is_an_error_by_its_status() -> None:
    error = problem_of(502, b"<html>Bad Gateway</html>", "/api/v1/jobs?x=1")
    assert isinstance(error, Unavailable)
    assert "/api/v1/jobs" in error.message
    assert "x=1" not in error.message


@pytest.mark.parametrize(
    ("url", "authority", "base"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", ""),
        ("https://corral.example.org", "corral.example.org", ""),
        ("https://[::1]:8443/corral/", "[::1]:8443", "/corral"),
        ("localhost:9000", "localhost:9000", ""),
    ],
)
def test_urls_are_understood(url: str, authority: str, base: str) -> None:
    address = parse_url(url)
    assert (address.authority, address.base) == (authority, base)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:99999"])
def test_what_is_no_url_of_ours_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="cannot use"):
        parse_url(url)
