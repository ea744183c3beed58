"""People in the browser: invited, logged in, kept to their role; the question who may do what; the record proved."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site

PASSWORD = "seven grey owls at noon"


def test_somebody_invited_sets_a_password_and_sees_why_a_button_is_not_for_him(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/access/users")
    page.get_by_label("User name").fill("vera")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Invite").click()
    code = page.locator(".note code").inner_text()
    hers, watched = open_page(site, "/nodes/node-1", logged_in=False)
    watched.expected.append("401")
    hers.get_by_role("button", name="Invitation").click()
    hers.get_by_label("Invitation").fill(code)
    hers.get_by_label("New password").fill(PASSWORD)
    hers.get_by_role("button", name="Log in", exact=True).click()
    remove = hers.get_by_role("button", name="Remove node")
    expect(remove).to_be_disabled()
    expect(remove).to_have_attribute("title", "needs the permission node.remove")
    hers.goto(f"{site.url}/access/users")
    expect(hers.get_by_text("needs the permission user.read")).to_be_visible()
    hers.get_by_role("button", name="Log out").click()
    hers.get_by_label("User name").fill("vera")
    hers.get_by_label("Password").last.fill(PASSWORD)
    hers.get_by_role("button", name="Log in", exact=True).click()
    expect(hers.locator(".shell")).to_be_visible()


def test_the_question_who_may_do_what_follows_the_grants(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    site.call("POST", "/users", {"name": "otto", "display_name": "", "email": "", "roles": ["viewer"]})
    page, _ = open_page(site, "/access/roles?user=otto&permission=rollout.write&selector=node-1")
    answer = page.locator(".note[role=status]")
    expect(answer).to_contain_text("No.")
    page.get_by_label("To whom").fill("otto")
    page.get_by_label("Role", exact=True).select_option("deployer")
    page.locator("form").get_by_label("Selector").fill("node-1")
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(answer).to_contain_text("Yes.")
    page.locator("section").filter(has_text="May somebody").get_by_label("Selector").fill("node-1,node-2")
    expect(answer).to_contain_text("Not on: node-2")
    assert axe(page) == []
    page.get_by_role("row").filter(has_text="deployer").get_by_role("button", name="Take back").click()
    expect(answer).to_contain_text("No.")


def test_a_token_is_shown_once_and_revoked(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/access/tokens")
    page.get_by_label("What it is for").fill("for-a-test")
    page.get_by_role("button", name="Make a token", exact=True).click()
    secret = page.get_by_role("status").locator("code").inner_text()
    assert len(secret) > 20
    page.reload()
    row = page.get_by_role("row").filter(has_text="for-a-test")
    expect(row).to_be_visible()
    assert secret not in page.content()
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")


def test_the_record_is_filtered_by_the_address_and_proved(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    site.call("PATCH", "/nodes/node-2", {"labels": {"seen-in": "the-record"}})
    page, _ = open_page(site, "/access/audit?action=PATCH")
    expect(page.get_by_role("row").filter(has_text="PATCH /nodes/{node}").first).to_be_visible()
    assert page.get_by_role("row").filter(has_text="POST").count() == 0
    page.get_by_role("button", name="Prove it").click()
    expect(page.get_by_role("status")).to_contain_text("hold", timeout=30_000)
    assert axe(page) == []


def test_the_policy_is_asked_without_anything_being_run(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/access/policy")
    page.get_by_label("Command").fill("echo ok; shutdown -h now")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("status")).to_contain_text("Denied")
    expect(page.get_by_role("status")).to_contain_text("shutdown -h now")
    assert not [job for job in site.call("GET", "/jobs?limit=200") if "shutdown" in job["command"]]


def test_a_secret_is_written_and_never_shown(site: Site, open_page: Open, axe: Callable[[Page], list[str]]) -> None:
    page, _ = open_page(site, "/access/secrets", theme="dark")
    page.get_by_label("Name").fill("from-the-page")
    page.get_by_label("Value").fill("a word nobody reads back")
    page.get_by_role("button", name="Write").click()
    row = page.get_by_role("row").filter(has_text="from-the-page")
    expect(row).to_contain_text("version 1")
    assert "nobody reads back" not in page.content()
    assert axe(page) == []
    row.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type from-the-page to go on").fill("from-the-page")
    dialog.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert [one for one in site.call("GET", "/secrets") if one["name"] == "from-the-page"] == []


def test_every_part_is_usable_by_a_screen_reader(site: Site, open_page: Open, axe: Callable[[Page], list[str]]) -> None:
    for part, theme in (("approvals", "light"), ("users", "dark"), ("tokens", "dark"), ("policy", "light")):
        page, _ = open_page(site, f"/access/{part}", theme=theme)
        expect(page.locator("main .panel").first).to_be_visible()
        assert axe(page) == []
