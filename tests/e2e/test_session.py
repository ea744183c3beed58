"""Logging in, and being logged out without losing what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site


def enter(page: Page, token: str) -> None:
    page.get_by_role("button", name="API token").click()
    page.get_by_label("API token").fill(token)
    page.keyboard.press("Enter")


def test_an_api_token_opens_the_page_one_asked_for(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/jobs?state=failed", logged_in=False)
    watched.expected.append("401")
    enter(page, "crl_nonsense")
    expect(page.get_by_role("alert")).to_be_visible()
    enter(page, site.token)
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert "state=failed" in page.url
    assert site.token not in page.evaluate(
        "JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"
    )


def test_a_session_that_ends_keeps_what_was_typed(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/run?mode=script&target=node-1")
    watched.expected.append("401")
    page.get_by_label("Script", exact=True).fill("echo kept through the login")
    page.context.clear_cookies()
    page.get_by_role("button", name="Preview").click()
    enter(page, site.token)
    expect(page.get_by_role("heading", name="Log in to Corral")).to_have_count(0)
    expect(page.get_by_label("Script", exact=True)).to_have_value("echo kept through the login")
    page.get_by_role("button", name="Run on 1 node").click()
    expect(page.get_by_label("Result of 1 node")).to_contain_text("kept through the login")


def test_logging_out_ends_the_session(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/nodes")
    watched.expected.append("401")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in to Corral")).to_be_visible()
    page.goto(f"{site.url}/nodes")
    expect(page.get_by_role("heading", name="Log in to Corral")).to_be_visible()


def test_who_may_only_read_sees_why_he_may_not_run(site: Site, open_page: Open) -> None:
    made = site.call(
        "POST", "/api-tokens", {"name": "reader", "permissions": ["node.read", "exec.read", "output.read"]}
    )
    page, watched = open_page(site, "/run?target=node-1&command=uptime", logged_in=False)
    watched.expected += ["401", "403"]
    enter(page, made["token"])
    go = page.get_by_role("button", name="Run on 1 node")
    expect(go).to_be_disabled()
    expect(page.get_by_text("exec.run").first).to_be_visible()
