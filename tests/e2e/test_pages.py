"""Every page: opens by its address, in both themes and languages, on a screen and on a phone, without a serious finding of axe."""

from __future__ import annotations

import re
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
    "/nodes?columns=groups,kernel,arch,cpus,memory,addresses,host,enrolled": "Nodes",
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


def test_every_number_of_the_overview_leads_to_its_list(site: Site, open_page: Open, job: str) -> None:
    page, _ = open_page(site, "/")
    figures = page.locator("a.figure")
    expect(figures.first).to_contain_text("43")
    for name, path in (("online", "/nodes?presence=online"), ("offline", "/nodes?presence=offline")):
        figure = figures.filter(has_text=re.compile(rf"\d{name}$"))
        count = int(figure.locator("b").inner_text())
        figure.click()
        expect(page).to_have_url(site.url + path)
        expect(page.get_by_text(f"{count} node{'' if count == 1 else 's'}", exact=True)).to_be_visible()
        page.go_back()
    page.goto(f"{site.url}/nodes?presence=worker_down")
    expect(page.get_by_text("No node matches")).to_be_visible()


def test_the_last_day_shows_what_came_of_its_jobs(site: Site, open_page: Open) -> None:
    site.run("node-1", "true")
    site.run("node-1", "false")
    jobs = [one["state"] for one in site.call("GET", "/jobs?limit=500")]
    page, _ = open_page(site, "/")
    day = page.locator("section").filter(has=page.get_by_role("heading", name="Jobs of the last 24 hours"))
    wanted = re.compile(f"^By hour of submission: {jobs.count('succeeded')} succeeded, {jobs.count('failed')} failed")
    expect(day.get_by_role("img", name=wanted)).to_be_visible()
    expect(day.locator(".hour")).to_have_count(24)
    day.get_by_role("link", name=f"{jobs.count('failed')} failed").click()
    expect(page).to_have_url(f"{site.url}/jobs?state=failed&back=1d")
    expect(page.get_by_role("row")).to_have_count(jobs.count("failed") + 1)


def test_the_outcomes_of_the_record_are_said_in_the_readers_language(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/access/audit", language="zh")
    outcome = page.get_by_label("结果")
    expect(outcome.locator("option")).to_have_text(["任意结果", "成功", "失败", "被拒绝", "未登录", "已请求"])
    expect(page.get_by_role("cell", name="成功", exact=True).first).to_be_visible()
    for word in ("ok", "failed", "denied", "unauthenticated", "asked"):
        outcome.select_option(word)
        expect(page).to_have_url(re.compile(f"outcome={word}$"))
        expect(page.locator("tbody tr").or_(page.get_by_text("没有匹配的记录")).first).to_be_visible()
        expect(page.get_by_role("alert")).to_have_count(0)


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
