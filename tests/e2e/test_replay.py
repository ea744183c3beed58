"""A job in the time it took: wound, played, of one node or all; hostile output stays text; and a job of which nothing is sent yet."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site

SHELL = "echo first; sleep 1.5; printf half; sleep 1; echo ' and half'; sleep 4; echo last"


@pytest.fixture(scope="module")
def job(site: Site) -> str:
    return site.run("node-1,node-2", SHELL, name="with pauses")


def wind(page: Page, part: int) -> None:
    """To so many thousandths, as dragging does."""
    page.get_by_label("Position").evaluate(
        "(input, value) => { Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, value);"
        " input.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(part),
    )


def printed(page: Page) -> list[str]:
    return [
        text for row in page.get_by_role("log").locator(".log-row:not(.row-mark)").all() if (text := row.text_content())
    ]


def test_winding_shows_what_had_come_by_then(site: Site, open_page: Open, job: str) -> None:
    page, _ = open_page(site, f"/jobs/{job}?show=replay")
    log = page.get_by_role("log")
    expect(log).to_contain_text("began")
    assert printed(page) == []
    wind(page, 1000)
    expect(log).to_contain_text("last")
    rows = printed(page)
    assert sorted(rows) == sorted(f"node-{n}{line}" for n in (1, 2) for line in ("first", "half and half", "last"))
    assert log.locator(".row-mark").count() == 4
    expect(log.locator(".row-mark").last).to_contain_text("succeeded")
    wind(page, 330)  # about 2.2 s of 6.6
    expect(log).not_to_contain_text("last")
    expect(log).to_contain_text("half")
    expect(log).not_to_contain_text("and half")
    wind(page, 0)
    expect(log).not_to_contain_text("first")
    page.get_by_label("Position").focus()
    page.keyboard.press("End")
    expect(log).to_contain_text("last")
    page.keyboard.press("Home")
    expect(log).not_to_contain_text("first")


def test_it_is_played_to_the_end_and_paused_by_the_space_bar(site: Site, open_page: Open, job: str) -> None:
    page, _ = open_page(site, f"/jobs/{job}?show=replay&node=node-1")
    log = page.get_by_role("log")
    expect(log).to_contain_text("began")
    page.locator("h1").click()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(log).to_contain_text("first")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.get_by_role("button", name="32×").click()
    page.get_by_label("Cut pauses to 2 s").check()
    assert "speed=32" in page.url
    assert "idle=cut" in page.url
    page.get_by_role("button", name="Play", exact=True).click()
    expect(log).to_contain_text("last")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.get_by_label("Position")).to_have_js_property("value", "1000")
    assert printed(page) == ["first", "half and half", "last"]
    page.get_by_label("Node", exact=True).select_option("node-2")
    expect(page.get_by_label("Position")).to_have_js_property("value", "0")
    assert "node=node-2" in page.url


def test_hostile_output_stays_text(site: Site, open_page: Open) -> None:
    data = b"\n".join(
        [
            b"<img src=x onerror=alert(1)><script>window.__owned=1</script>",
            b"\x1b]0;owned\x07title \x1b[2J\x1b[1;1Hcleared \x1b[30;40mblack on black\x1b[0m",
            "user\u202egpj.exe".encode(),
            b"good\rbad\x08",
            b"x" * (1 << 20),
            b"after",
        ]
    )
    job = site.run("node-1", "cat", stdin=base64.b64encode(data).decode())
    page, _ = open_page(site, f"/jobs/{job}?show=replay")
    log = page.get_by_role("log")
    expect(log).to_contain_text("began")
    wind(page, 1000)
    expect(log).to_contain_text("after")
    longest = log.evaluate(
        "(box) => Math.max(...[...box.querySelectorAll('.log-row')].map((one) => one.textContent.length))"
    )
    assert longest <= 2100
    assert log.locator(".log-row").count() < 300
    page.get_by_role("button", name="Follow").click()
    log.evaluate("(box) => { box.scrollTop = 0; }")
    for text in ("<img src=x onerror=alert(1)>", "title cleared black on black", "user<U+202E>gpj.exe", "bad\u2408"):
        expect(log).to_contain_text(text)
    assert page.evaluate("window.__owned") is None
    assert page.title() != "owned"
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_job_that_runs_is_replayed_as_far_as_it_has_come(site: Site, open_page: Open) -> None:
    running = str(site.call("POST", "/jobs", {"target": "node-3", "shell": "echo one; sleep 60; echo two"})["job"])
    page, _ = open_page(site, f"/jobs/{running}?node=node-3")
    expect(page.get_by_role("log")).to_contain_text("one")
    page.get_by_role("button", name="Replay").click()
    wind(page, 1000)
    expect(page.get_by_role("log")).to_contain_text("one")
    expect(page.get_by_text("The job still runs")).to_be_visible()
    page.get_by_role("button", name="Read what came since").click()
    expect(page.get_by_role("button", name="Read what came since")).to_be_enabled()
    site.call("POST", f"/jobs/{running}/cancel", {"nodes": None})
    expect(page.get_by_text("The job still runs")).to_have_count(0)
    wind(page, 1000)
    expect(page.get_by_role("log").locator(".row-mark").last).to_contain_text("cancelled")
    page.get_by_role("button", name="Output", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("one")


def test_more_output_than_the_page_holds_is_shown_up_to_there_and_said_so(site: Site, open_page: Open) -> None:
    job = site.run("node-1", "seq 1 900000", max_output=16 << 20)
    page, _ = open_page(site, f"/jobs/{job}?show=replay")
    expect(page.get_by_text(re.compile("^These are the first .* lines"))).to_be_visible(timeout=60_000)
    wind(page, 1000)
    log = page.get_by_role("log")
    expect(log.locator(".row-mark").last).to_contain_text("succeeded")
    expect(log).not_to_contain_text("900000")
    assert log.locator(".log-row").count() < 300


def test_who_may_not_read_output_is_told_so(site: Site, open_page: Open, job: str) -> None:
    permissions = ["exec.read", "node.read"]
    made = site.call("POST", "/api-tokens", {"name": "without-output", "permissions": permissions})
    page, _ = open_page(replace(site, token=made["token"]), f"/jobs/{job}?show=replay")
    expect(page.get_by_text("needs the permission output.read")).to_be_visible()
    expect(page.get_by_role("slider")).to_have_count(0)


def test_the_record_leads_to_the_replay(site: Site, open_page: Open, job: str) -> None:
    page, _ = open_page(site, "/access/audit?action=POST /jobs&node=node-2")
    page.locator(f'a[href="/jobs/{job}?show=replay"]').first.click()
    expect(page.get_by_role("log")).to_contain_text("began")


@pytest.mark.parametrize(("theme", "language", "width"), [("light", "en", 1280), ("dark", "zh", 375)])
def test_it_is_usable_by_a_screen_reader(
    site: Site, open_page: Open, job: str, axe: Callable[[Page], list[str]], theme: str, language: str, width: int
) -> None:
    page, _ = open_page(site, f"/jobs/{job}?show=replay", theme=theme, language=language, width=width)
    slider = page.get_by_role("slider")
    expect(slider).to_be_visible()
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_role("log")).to_contain_text("last")
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture
def rule(site: Site) -> Iterator[None]:
    site.call("PUT", "/approval-rules/for-a-test", {"selector": "node-3"})
    yield
    site.call("DELETE", "/approval-rules/for-a-test")


@pytest.mark.usefixtures("rule")
def test_a_job_that_waits_for_approval_says_so_and_where_it_is_decided(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    held = str(site.call("POST", "/jobs", {"target": "node-3", "shell": "true"})["job"])
    page, _ = open_page(site, f"/jobs/{held}")
    panel = page.get_by_role("region", name=re.compile("waits for approval"))
    expect(panel).to_contain_text("for-a-test")
    assert axe(page) == []
    panel.get_by_role("link", name="Open approvals").click()
    expect(page.locator(f'a[href="/jobs/{held}"]')).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(panel).to_have_count(0)
