"""Rollouts in the browser: made with the stages shown first, steered, stopped by a gate, taken back, hostile names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site


def begin(site: Site, name: str, shell: str, **more: Any) -> str:
    body = {
        "name": name,
        "target": "sim-*",
        "change": {"shell": shell},
        "strategy": {"kind": "count", "values": [2, 0]},
        **more,
    }
    return str(site.call("POST", "/rollouts", body)["rollout"])


def test_a_rollout_shows_its_stages_before_it_starts_and_goes_on_when_it_is_advanced(
    site: Site, open_page: Open
) -> None:
    page, _ = open_page(site, "/rollouts")
    page.get_by_role("button", name="New rollout").click()
    page.get_by_label("Name").fill("from-the-page")
    page.get_by_label("Selector").fill("node-*")
    page.get_by_label("Command, for /bin/sh").fill("true")
    page.get_by_label("Percent of all nodes, cumulative").fill("30, 100")
    start = page.get_by_role("button", name="Start")
    expect(start).to_be_disabled()
    page.get_by_role("button", name="Show the stages").click()
    expect(page.locator(".lane")).to_have_count(2)
    assert site.call("GET", "/rollouts?limit=200&states=created") == []
    start.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("from-the-page")
    expect(page.locator(".lane.good")).to_have_count(1, timeout=30_000)
    expect(page.locator(".head .primary")).to_have_text("Advance")
    page.get_by_role("button", name="Advance").click()
    expect(page.locator(".lane.good")).to_have_count(2, timeout=30_000)
    expect(page.locator(".head .state")).to_have_text(re.compile("succeeded"))
    expect(page.locator(".head .primary")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()


def test_a_gate_that_fails_stops_a_rollout_in_sight_and_no_way_leads_around_it(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    rollout = begin(
        site,
        "stuck",
        "true",
        target="node-*",
        gates=[{"kind": "command", "shell": "false", "attempts": 1}],
        rollback_command={"shell": "true"},
    )
    page, _ = open_page(site, f"/rollouts/{rollout}")
    expect(page.locator(".lane").first).to_contain_text("gate failed", timeout=30_000)
    expect(page.locator(".head .state")).to_have_text(re.compile("paused"))
    advance = page.get_by_role("button", name="Advance")
    expect(advance).to_be_disabled()
    expect(advance).to_have_attribute("title", re.compile(r"^Stage 1 .* failed: .*There is no way around a gate"))
    expect(page.locator(".head .primary")).to_have_count(0)
    page.get_by_role("button", name="Resume").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("gate command 'false'")
    expect(dialog).to_contain_text("It is judged again")
    assert axe(page) == []
    dialog.get_by_role("button", name="Resume").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".head .state")).to_have_text(re.compile("paused"), timeout=30_000)
    expect(page.locator(".lane").first).to_contain_text("gate failed")
    page.get_by_role("button", name="Roll back").click()
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.locator(".head .state")).to_have_text(re.compile("rolled back"), timeout=30_000)
    expect(page.get_by_role("heading", name="Back", exact=True)).to_be_visible()


def test_a_rollout_that_runs_is_paused_and_resumed_from_the_page(site: Site, open_page: Open) -> None:
    rollout = begin(site, "steered", "true")
    page, _ = open_page(site, f"/rollouts/{rollout}")
    expect(page.locator(".lane.good")).to_have_count(1, timeout=30_000)
    state = site.call("GET", f"/rollouts/{rollout}")["state"]
    if state != "paused":
        page.get_by_role("button", name="Pause").click()
    expect(page.locator(".head .state")).to_have_text(re.compile("paused"))
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()
    page.get_by_role("button", name="Advance").click()
    expect(page.locator(".lane.good")).to_have_count(2, timeout=30_000)


def test_what_a_rollout_is_called_and_runs_is_text(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    shell = "echo '<img src=x onerror=alert(1)>' \u202e"
    rollout = begin(site, "hostile", shell)
    page, _ = open_page(site, f"/rollouts/{rollout}")
    expect(page.locator("p.mono").first).to_contain_text("<img src=x")
    assert page.locator("main img").count() == 0
    assert axe(page) == []
    page.goto(f"{site.url}/rollouts")
    expect(page.get_by_role("link", name="hostile")).to_be_visible()
    assert page.locator("main img").count() == 0
    assert axe(page) == []
