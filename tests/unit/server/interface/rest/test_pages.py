"""The pages: served from the package, allowed by the content security policy, asking nobody outside."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

STATIC = sorted(entry.name for entry in files("corral.server.interface.web").joinpath("static").iterdir())


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_loads_only_files_that_are_served_here(stand: Any, path: str) -> None:
    page = await stand.client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    wanted = re.findall(r'(?:src|href)="(/(?:static|assets)/[^"]+)"', page.text)
    assert wanted
    for file in wanted:
        assert (await stand.client.get(file)).status_code == 200


@pytest.mark.parametrize("name", STATIC)
async def test_a_file_needs_nothing_from_outside_and_no_inline_code(stand: Any, name: str) -> None:
    answer = await stand.client.get(f"/static/{name}")
    assert answer.status_code == 200
    text = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "://" not in text
    if name.endswith(".html"):
        assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=", text) == []
    if name.endswith(".js"):
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|localStorage", text) == []


@pytest.mark.parametrize("path", ["/static/nothing.css", "/static/..%2Ffiles.py", "/static/__init__.py", "/static/"])
async def test_nothing_else_is_served(stand: Any, path: str) -> None:
    assert (await stand.client.get(path)).status_code in (404, 405)


@pytest.mark.parametrize("path", ["/nodes", "/nodes/web-1", "/run", "/jobs/J1", "/rollouts", "/access/audit", "/login"])
async def test_an_address_inside_the_application_is_answered_with_the_application(stand: Any, path: str) -> None:
    page = await stand.client.get(path)
    assert page.status_code == 200
    assert page.text == (await stand.client.get("/")).text


async def test_hashed_files_are_kept_and_the_page_is_asked_for_again(stand: Any) -> None:
    page = await stand.client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    again = await stand.client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for file in re.findall(r'"(/assets/[^"]+)"', page.text):
        plain = await stand.client.get(file, headers={"Accept-Encoding": "identity"})
        packed = await stand.client.get(file, headers={"Accept-Encoding": "gzip"})
        assert "immutable" in plain.headers["cache-control"]
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < len(plain.content) / 2


async def test_the_page_allows_itself_no_inline_code_and_no_other_origin(stand: Any) -> None:
    page = await stand.client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", page.text) == []


async def test_the_description_is_served_without_a_token(stand: Any) -> None:
    answer = await stand.client.get("/openapi.json")
    assert answer.status_code == 200
    assert "/api/v1/things/{thing}" in answer.json()["paths"]
