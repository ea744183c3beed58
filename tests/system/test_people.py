"""People with real processes: a server, an OpenID provider, the command line, and something that behaves like a browser."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from corral.testing.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider
from corral.testing.stack import Stack

pytestmark = pytest.mark.engine
PASSWORD = "correct horse battery"
OTHER = "another battery staple"


@dataclass
class Person:
    """Somebody at a terminal with a home directory of his own."""

    stack: Stack
    home: Path

    async def start(self, *words: str, token: str = "") -> asyncio.subprocess.Process:
        env = {key: value for key, value in os.environ.items() if not key.startswith("CORRAL_")}
        env |= {"HOME": str(self.home), "CORRAL_URL": self.stack.url, "DISPLAY": "", "WAYLAND_DISPLAY": ""}
        if token:
            env["CORRAL_TOKEN"] = token
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "corral", *words, stdin=-1, stdout=-1, stderr=-1, env=env, cwd=self.home
        )

    async def types(self, *words: str, stdin: str = "", token: str = "") -> tuple[int, str, str]:
        process = await self.start(*words, token=token)
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    @property
    def kept(self) -> Path:
        return self.home / ".config" / "corral" / "local.json"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.running() as running:
        yield running


@pytest.fixture
async def stack(provider: Provider) -> AsyncIterator[Stack]:
    env = {
        "CORRAL__ACCESS__SESSION_SECONDS": "10",  # below what the client renews early: every command renews
        "CORRAL__OIDC__ISSUER": provider.issuer,
        "CORRAL__OIDC__CLIENT_ID": CLIENT_ID,
        "CORRAL__OIDC__CLIENT_SECRET": CLIENT_SECRET,
        "CORRAL__OIDC__ROLE_MAP": "ops=operator,seers=viewer",
    }
    async with Stack.temporary(env=env) as running:
        yield running


def person(stack: Stack, tmp_path: Path, name: str) -> Person:
    home = tmp_path / name
    home.mkdir()
    return Person(stack, home)


async def test_an_admin_makes_a_user_who_logs_in_works_and_logs_out(stack: Stack, tmp_path: Path) -> None:
    admin = (stack.data / "admin.token").read_text().strip()
    ada = person(stack, tmp_path, "ada")
    made = await ada.types("user", "create", "ada", "--password-stdin", stdin=f"{PASSWORD}\n", token=admin)
    assert made[0] == 0, made
    assert (await ada.types("login", "ada", "--password-stdin", stdin="not this one\n"))[0] == 5
    status, _, err = await ada.types("login", "ada", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert status == 0, err
    assert "corral user passwd" in err
    assert (await ada.types("node", "list"))[0] == 5  # a password somebody else set
    status, _, err = await ada.types("user", "passwd", "--password-stdin", stdin=f"{PASSWORD}\n{OTHER}\n")
    assert status == 0, err
    status, out, _ = await ada.types("whoami", "-o", "json")
    who = json.loads(out)
    assert (status, who["name"], who["method"], who["must_change"]) == (0, "ada", "password", False)
    assert [grant["role"] for grant in who["grants"]] == ["admin"]
    status, token, err = await ada.types("user", "token", "create", "ci", "--permissions", "node.read", "-q")
    assert status == 0, err
    ci = person(stack, tmp_path, "ci")
    assert (await ci.types("node", "list", token=token.strip()))[0] == 0
    assert (await ci.types("user", "list", token=token.strip()))[0] == 5
    listed = json.loads((await ada.types("user", "token", "list", "-o", "json"))[1])
    assert (await ada.types("user", "token", "revoke", listed[0]["id"]))[0] == 0
    assert (await ci.types("node", "list", token=token.strip()))[0] == 5
    assert (ada.kept.stat().st_mode & 0o777, ada.kept.parent.stat().st_mode & 0o077) == (0o600, 0)
    kept = ada.kept.read_text()
    assert PASSWORD not in kept
    assert OTHER not in kept
    session = json.loads(kept)["session"]
    assert (await ada.types("logout"))[0] == 0
    assert not ada.kept.exists()
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        bearer = {"Authorization": f"Bearer {session['access_token']}"}
        assert (await client.get("/api/v1/whoami", headers=bearer)).status_code == 401
        refresh = {"refresh_token": session["refresh_token"]}
        assert (await client.post("/api/v1/refresh", json=refresh)).status_code == 401
    log = stack.log_tail(1_000_000)
    assert PASSWORD not in log
    assert OTHER not in log


async def test_commands_at_the_same_time_share_one_session_and_none_is_thrown_out(stack: Stack, tmp_path: Path) -> None:
    admin = (stack.data / "admin.token").read_text().strip()
    bob = person(stack, tmp_path, "bob")
    status, code, err = await bob.types("user", "create", "bob", "--invite", "-o", "name", token=admin)
    assert status == 0, err
    status, _, err = await bob.types("login", "--invite", code.strip(), "--password-stdin", stdin=f"{OTHER}\n")
    assert status == 0, err
    before = json.loads(bob.kept.read_text())["session"]["refresh_token"]
    for _ in range(2):
        answers = await asyncio.gather(*(bob.types("whoami", "-o", "name") for _ in range(6)))
        assert {(status, out) for status, out, _ in answers} == {(0, "bob\n")}, answers
    assert json.loads(bob.kept.read_text())["session"]["refresh_token"] != before
    # A copy of the refresh token from before, used by somebody else: the session ends for both.
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        assert (await client.post("/api/v1/refresh", json={"refresh_token": before})).status_code == 401
    status, _, err = await bob.types("whoami")
    assert status == 5
    assert "log in again" in err


async def test_a_browser_logs_in_at_the_provider_and_groups_there_are_roles_here(
    stack: Stack, provider: Provider
) -> None:
    await provider.person(sub="7", preferred_username="Grace", name="Grace Hopper", groups=["ops", "unknown"])
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        start = await client.get("/auth/oidc/start")
        assert start.status_code == 303
        cookie = start.headers["set-cookie"]
        assert "SameSite=lax" in cookie
        assert "HttpOnly" in cookie
        consent = await client.get(start.headers["location"])
        back = await client.get(consent.headers["location"])
        assert back.status_code == 200, back.text
        assert "grace" in back.text
        assert all("SameSite=strict" in c for c in back.headers.get_list("set-cookie") if "corral_oidc" not in c)
        who = (await client.get("/api/v1/whoami")).json()["data"]
        assert (who["name"], who["kind"], who["method"]) == ("grace", "user", "oidc")
        assert [(grant["role"], grant["selector"]) for grant in who["grants"]] == [("operator", "all")]
        # The same address again: the code is spent, and so is the cookie.
        again = await client.get(consent.headers["location"])
        assert again.status_code == 401
        assert "corral_session" not in again.headers.get("set-cookie", "")
    async with httpx2.AsyncClient(base_url=stack.url) as stranger:
        # Somebody else's browser, sent to the address of a login that it did not begin.
        assert (await stranger.get(consent.headers["location"])).status_code == 401
    # The groups of the next login count, and those of the last one no more.
    await provider.person(sub="7", preferred_username="renamed", groups=["seers"])
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        await _through(client, f"{stack.url}/auth/oidc/start")
        who = (await client.get("/api/v1/whoami")).json()["data"]
        assert (who["name"], [grant["role"] for grant in who["grants"]]) == ("grace", ["viewer"])


async def test_a_stranger_at_the_provider_does_not_become_a_user_of_that_name(stack: Stack, provider: Provider) -> None:
    await stack.fleet.users.create("ada", password=PASSWORD)
    await provider.person(sub="evil", preferred_username="ada")
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        answer = await _through(client, f"{stack.url}/auth/oidc/start")
        assert answer.status_code == 409
        assert "another user named" in answer.text
        assert (await client.get("/api/v1/whoami")).status_code == 401


async def test_a_disabled_user_does_not_come_back_through_the_provider(stack: Stack, provider: Provider) -> None:
    await provider.person(sub="9", preferred_username="linus", groups=["ops"])
    async with httpx2.AsyncClient(base_url=stack.url) as client:
        assert (await _through(client, f"{stack.url}/auth/oidc/start")).status_code == 200
        assert (await client.get("/api/v1/nodes")).status_code == 200
        await stack.fleet.users.change("linus", disabled=True)
        assert (await client.get("/api/v1/nodes")).status_code == 401
        answer = await _through(client, f"{stack.url}/auth/oidc/start")
        assert (answer.status_code, "disabled" in answer.text) == (401, True)


async def test_the_command_line_logs_in_through_a_browser(stack: Stack, provider: Provider, tmp_path: Path) -> None:
    await provider.person(sub="8", preferred_username="ken", groups=["seers"])
    ken = person(stack, tmp_path, "ken")
    process = await ken.start("login", "--oidc")
    assert process.stderr is not None
    url = ""
    while not url:
        line = (await process.stderr.readline()).decode()
        assert line, "it ended without an address"
        found = re.search(r"http://\S+/auth/oidc/start\S*", line)
        url = found[0] if found else ""
    async with httpx2.AsyncClient() as client:
        answer = await _through(client, url)
    assert "You are logged in" in answer.text
    assert await process.wait() == 0
    status, out, _ = await ken.types("whoami", "-o", "json")
    assert (status, json.loads(out)["name"], json.loads(out)["method"]) == (0, "ken", "oidc")
    assert (await ken.types("node", "list"))[0] == 0


async def test_a_fault_at_the_provider_is_told_at_the_terminal(
    stack: Stack, provider: Provider, tmp_path: Path
) -> None:
    await provider.fault("wrong nonce")
    eve = person(stack, tmp_path, "eve")
    process = await eve.start("login", "--oidc")
    assert process.stderr is not None
    said = ""
    while "/auth/oidc/start" not in said:
        said += (await process.stderr.readline()).decode()
    async with httpx2.AsyncClient() as client:
        await _through(client, re.findall(r"http://\S+", said)[-1])
    _, err = await process.communicate()
    assert process.returncode == 5
    assert "nonce" in err.decode()
    assert not eve.kept.exists()


async def _through(client: httpx2.AsyncClient, url: str) -> Any:
    """What a browser sees in the end; redirects are followed by hand, as this client drops no cookie on the way."""
    for _ in range(5):
        answer = await client.get(url)
        if answer.status_code not in (302, 303):
            return answer
        url = answer.headers["location"]
        assert urlsplit(url).hostname == "127.0.0.1"
    raise AssertionError("it goes in circles")


async def test_a_live_view_ends_with_the_access_of_whoever_watches(stack: Stack) -> None:
    for name in ("ada", "bob"):
        made = await stack.fleet.users.create(name, roles=["viewer"])
        async with httpx2.AsyncClient(base_url=stack.url) as client:
            body = {"invite": made["invite"], "password": OTHER}
            issued = (await client.post("/api/v1/login", json=body)).json()["data"]
        if name == "ada":
            ada = {"Authorization": f"Bearer {issued['access_token']}"}
        else:
            bob = {"Authorization": f"Bearer {issued['access_token']}"}
    watching = {"timeout": httpx2.Timeout(30, read=30), "base_url": stack.url}
    async with httpx2.AsyncClient(**watching) as client:
        async with (
            client.stream("GET", "/api/v1/nodes/events", headers=ada) as of_ada,
            client.stream("GET", "/api/v1/nodes/events", headers=bob) as of_bob,
        ):
            assert (of_ada.status_code, of_bob.status_code) == (200, 200)
            ends_for_ada = asyncio.ensure_future(_to_the_end(of_ada))
            ends_for_bob = asyncio.ensure_future(_to_the_end(of_bob))
            await stack.fleet.users.change("ada", disabled=True)
            async with asyncio.timeout(10):
                await ends_for_ada  # in order: a body that breaks off would raise
            assert not ends_for_bob.done()
            # What bob may see changes: his view ends too, and he comes back for what he may see now.
            await stack.fleet.roles.grant("operator", "bob", selector='labels["env"] == "dev"')
            async with asyncio.timeout(10):
                await ends_for_bob
        assert (await client.get("/api/v1/nodes", headers=ada)).status_code == 401
        assert (await client.get("/api/v1/nodes", headers=bob)).status_code == 200
    assert "Traceback" not in stack.log_tail(1_000_000)


async def _to_the_end(answer: httpx2.Response) -> bytes:
    return b"".join([chunk async for chunk in answer.aiter_bytes()])


class Terminal:
    """A process on a pseudo terminal; what it shows is kept."""

    def __init__(self, person: Person, *words: str) -> None:
        self.fd, far = pty.openpty()
        env = {key: value for key, value in os.environ.items() if not key.startswith("CORRAL_")}
        env |= {"HOME": str(person.home), "CORRAL_URL": person.stack.url, "TERM": "dumb"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "corral", *words],
            stdin=far,
            stdout=far,
            stderr=far,
            env=env,
            cwd=person.home,
            start_new_session=True,
        )
        os.close(far)
        self.shown = ""

    def until(self, text: str) -> None:
        for _ in range(300):
            if text in self.shown:
                return
            if select.select([self.fd], [], [], 0.1)[0]:
                self.shown += os.read(self.fd, 65536).decode()
        raise AssertionError(f"{text!r} was not shown: {self.shown!r}")

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        try:
            while data := os.read(self.fd, 65536):
                self.shown += data.decode()
        except OSError:
            pass  # the other side is closed: that is how a terminal says it
        os.close(self.fd)
        return self.process.wait(20)


async def test_at_a_terminal_the_password_is_asked_for_and_never_shown(stack: Stack, tmp_path: Path) -> None:
    await stack.fleet.users.create("ada", password=PASSWORD, roles=["viewer"])
    ada = person(stack, tmp_path, "ada")

    def logs_in() -> tuple[int, str]:
        terminal = Terminal(ada, "login", "ada")
        terminal.until("Password of ada at ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("New password for you: ")  # the one until now was set by somebody else
        terminal.type(f"{OTHER}\n")
        terminal.until("The same again: ")
        terminal.type(f"{OTHER}\n")
        return terminal.end(), terminal.shown

    status, shown = await asyncio.to_thread(logs_in)
    assert status == 0, shown
    assert PASSWORD not in shown
    assert OTHER not in shown
    status, out, _ = await ada.types("whoami", "-o", "json")
    assert (status, json.loads(out)["must_change"]) == (0, False)
