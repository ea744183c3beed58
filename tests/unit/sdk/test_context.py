"""Which server, and as whom: order, ownership, and never a token to another server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import Invalid
from corral.sdk.context import DEFAULT_URL, Context, find_context, save_context


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "work" / "deep" / "er").mkdir(parents=True)
    return tmp_path


def write(directory: Path, **data: Any) -> Path:
    (directory / ".corral").mkdir(exist_ok=True)
    path = directory / ".corral" / "local.json"
    path.write_text(json.dumps(data))
    return path


def find(place: Path, cwd: str = "work/deep/er", **more: Any) -> Context:
    env = more.pop("env", {})
    return find_context(env=env, cwd=place / cwd, home=place / "home", **more)


def test_without_anything_it_is_the_local_default(place: Path) -> None:
    found = find(place)
    assert (found.url, found.token, found.origin["url"]) == (DEFAULT_URL, None, "default")


def test_the_working_directory_comes_before_its_parents_and_home(place: Path) -> None:
    save_context("http://home:1", "h", home=place / "home")
    assert find(place).url == "http://home:1"
    write(place / "work", url="http://parent:1", token="p")
    assert find(place).url == "http://parent:1"
    write(place / "work/deep/er", url="http://here:1", token="c")
    assert (find(place).url, find(place).token) == ("http://here:1", "c")


def test_environment_wins_over_files_and_an_argument_over_both(place: Path) -> None:
    write(place / "work", url="http://file:1", token="f", ca="/file.pem")
    env = {"CORRAL_URL": "http://env:1", "CORRAL_TOKEN": "e"}
    assert (find(place, env=env).url, find(place, env=env).token) == ("http://env:1", "e")
    given = find(place, env=env, url="http://flag:1", token="g")
    assert (given.url, given.token, given.origin["url"]) == ("http://flag:1", "g", "flag")


def test_the_token_of_a_file_never_goes_to_another_server(place: Path) -> None:
    write(place / "work", url="http://file:1", token="secret", ca="/file.pem")
    other = find(place, env={"CORRAL_URL": "http://elsewhere:1"})
    assert (other.token, other.ca) == (None, None)
    same = find(place, url="http://file:1/")
    assert (same.token, same.ca) == ("secret", "/file.pem")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_read(place: Path) -> None:
    path = write(place / "work/deep/er", url="http://evil:1", token="x")
    os.chown(path, 12345, 12345)
    assert find(place).url == DEFAULT_URL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_search_stops_at_a_parent_of_somebody_else(place: Path) -> None:
    write(place / "work", url="http://above:1")
    os.chown(place / "work" / "deep", 12345, 12345)
    assert find(place).url == DEFAULT_URL


def test_a_broken_file_is_named(place: Path) -> None:
    path = write(place / "work")
    path.write_text("{")
    with pytest.raises(Invalid, match="cannot read the context file") as caught:
        find(place)
    assert caught.value.element == str(path)


def test_a_stored_context_is_readable_by_us_alone(place: Path) -> None:
    path = save_context("http://a:1", "t", home=place / "home")
    assert path.stat().st_mode & 0o777 == 0o600
    assert find(place).token == "t"


def test_a_token_never_shows_in_a_repr(place: Path) -> None:
    assert "t0ps3cret" not in repr(find(place, token="t0ps3cret"))
