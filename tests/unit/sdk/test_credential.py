"""The session in the context file: renewed early, once, by whoever comes first; and what others do to the file counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import Conflict, Unauthenticated
from corral.runtime.clock import SystemClock, iso
from corral.sdk.context import Context, find_context, save_context, save_session
from corral.sdk.credential import Credential

URL = "http://server:1"
CLOCK = SystemClock()


class Server:
    """Hands out sessions; a refresh token is good once."""

    def __init__(self, *, seconds: float = 600.0) -> None:
        self.count = 0
        self.seconds = seconds
        self.fails: Exception | None = None

    def session(self) -> dict[str, Any]:
        expires = iso(CLOCK.now() + timedelta(seconds=self.seconds))
        return {
            "name": "ada",
            "access_token": f"access-{self.count}",
            "refresh_token": f"refresh-{self.count}",
            "expires_at": expires,
            "csrf": "not kept",
        }

    async def refresh(self, token: str) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        assert token == f"refresh-{self.count}", "a spent refresh token was sent"
        self.count += 1
        return self.session()


@pytest.fixture
def server() -> Server:
    return Server()


def kept(tmp_path: Path, server: Server) -> Path:
    return save_session(URL, server.session(), home=tmp_path)


def credential(file: Path, server: Server) -> Credential:
    return Credential(Context(url=URL, file=file, session=True), refresh=server.refresh, clock=CLOCK)


async def test_a_session_that_lasts_is_used_as_it_is(tmp_path: Path, server: Server) -> None:
    file = kept(tmp_path, server)
    assert (file.stat().st_mode & 0o777) == 0o600
    assert "not kept" not in file.read_text()
    one = credential(file, server)
    assert [await one.bearer() for _ in range(3)] == ["access-0"] * 3
    assert server.count == 0


async def test_one_that_ends_soon_is_renewed_and_stored(tmp_path: Path) -> None:
    server = Server(seconds=20)
    file = kept(tmp_path, server)
    server.seconds = 600
    assert await credential(file, server).bearer() == "access-1"
    assert json.loads(file.read_text())["session"]["refresh_token"] == "refresh-1"
    assert await credential(file, server).bearer() == "access-1"


async def test_many_who_share_the_file_renew_it_once(tmp_path: Path) -> None:
    server = Server(seconds=20)
    file = kept(tmp_path, server)
    server.seconds = 600
    found = await asyncio.gather(*(credential(file, server).bearer() for _ in range(10)))
    assert (set(found), server.count) == ({"access-1"}, 1)


async def test_after_a_401_it_is_renewed_although_our_clock_says_it_lasts(tmp_path: Path, server: Server) -> None:
    one = credential(kept(tmp_path, server), server)
    assert not await one.again()  # nothing was refused yet
    assert await one.bearer() == "access-0"
    assert await one.again()
    assert await one.bearer() == "access-1"


async def test_what_somebody_else_renewed_is_taken_and_not_renewed_again(tmp_path: Path, server: Server) -> None:
    file = kept(tmp_path, server)
    one, other = credential(file, server), credential(file, server)
    await one.bearer()
    await other.bearer()
    assert await other.again()
    assert await one.again()
    assert (await one.bearer(), server.count) == ("access-1", 1)


async def test_a_session_that_is_over_says_so(tmp_path: Path, server: Server) -> None:
    file = kept(tmp_path, server)
    one = credential(file, server)
    await one.bearer()
    for error in (Unauthenticated("the session is over"), Conflict("raced")):
        server.fails = error
        with pytest.raises(Unauthenticated):
            await one.again()
    file.unlink()
    with pytest.raises(Unauthenticated, match="logged in"):
        await credential(file, server).bearer()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "http://server:1", "session": {}}', '{"session": 7}'])
async def test_a_broken_file_is_nobody_logged_in(tmp_path: Path, server: Server, text: str) -> None:
    file = kept(tmp_path, server)
    file.write_text(text)
    with pytest.raises(Unauthenticated):
        await credential(file, server).bearer()


async def test_a_session_is_never_sent_to_another_server(tmp_path: Path, server: Server) -> None:
    kept(tmp_path, server)
    env: dict[str, str] = {}
    assert find_context(env=env, cwd=tmp_path, home=tmp_path).session
    other = find_context(url="http://evil:1", env=env, cwd=tmp_path, home=tmp_path)
    assert (other.session, other.token) == (False, None)
    assert not find_context(token="crl_x", env=env, cwd=tmp_path, home=tmp_path).session


async def test_an_api_token_is_sent_as_it_is(tmp_path: Path, server: Server) -> None:
    save_context(URL, "crl_x", home=tmp_path)
    context = find_context(env={}, cwd=tmp_path, home=tmp_path)
    one = Credential(context, refresh=server.refresh, clock=CLOCK)
    assert (await one.bearer(), await one.again()) == ("crl_x", False)
