"""Every page: opens by its address, in both themes and languages, on a screen and on a phone, without a serious finding of axe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site

PAGES = {
    "/": "Overview",
    "/nodes": "Nodes",
    "/nodes?view=picture&group=role&colour=load": "Nodes",
    "/nodes/node-1": "node-1",
    "/run?target=node-*&command=uptime": "Run",
    "/jobs": "Jobs",
    "/rollouts": "Rollouts",
    "/files": "Files",
    "/access": "Access",
    "/access/users": "Access",
    "/access/roles": "Access",
    "/access/tokens": "Access",
    "/access/policy": "Access",
    "/access/audit": "Access",
}


@pytest.fixture(scope="session")
def job(site: Site) -> str:
    """A job worth looking at: two groups of output, colours, a failure, stderr."""
    return site.run(
        "node-* or sim-0000*",
        "printf '\\033[1;31mred\\033[0m and \\033[42mgreen\\033[0m\\n'; echo trouble >&2; [ -e /proc/self ] && exit $(( $$ % 2 ))",
    )


def looked_at(page: Page, axe: Callable[[Page], list[str]]) -> None:
    """In both themes without a serious finding, and no wider than a screen or a phone."""
    assert axe(page) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert axe(page) == []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_there_in_both_themes_and_languages_and_on_a_phone(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]], path: str
) -> None:
    page, _ = open_page(site, path)
    expect(page.get_by_role("heading", level=1)).to_contain_text(PAGES[path])
    expect(page.locator(".skeleton")).to_have_count(0)
    looked_at(page, axe)
    page.get_by_label("Language").select_option("zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("nav.side")).to_contain_text("节点")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("show", ["output", "timeline"])
def test_a_job_is_there_in_both_themes_and_on_a_phone(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]], job: str, show: str
) -> None:
    page, _ = open_page(site, f"/jobs/{job}?show={show}&node=node-1")
    expect(page.get_by_role("log")).to_contain_text("red and green")
    looked_at(page, axe)


def test_language_and_theme_change_at_once_and_stay(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/jobs")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Language").select_option("zh")
    expect(page.locator("nav.side")).to_contain_text("作业")
    page.get_by_label("主题").select_option("dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    expect(page.locator("nav.side")).to_contain_text("作业")


def test_keys_go_everywhere(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/")
    watched.expected.append("400")
    for key, heading in (("n", "Nodes"), ("j", "Jobs"), ("r", "Run"), ("o", "Overview")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nodes")
    page.keyboard.press("/")
    page.keyboard.type('labels["role"] ==')
    expect(page.get_by_role("alert")).to_contain_text("column")
    page.keyboard.press("Control+k")
    page.keyboard.type("node-2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("node-2")


def test_the_page_is_there_in_a_moment(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/nodes")
    page.reload()
    page.wait_for_selector("h1")
    ready = page.evaluate("performance.now()")
    assert ready < 1500, f"{ready:.0f} ms"
