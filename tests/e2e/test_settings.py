"""The settings of the Access page in the browser: the policy's rules, approval rules, connections, sessions, API tokens.

Whatever a test makes here it takes away again: the other tests share the site.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site, Watched

Axe = Callable[[Page], list[str]]
PASSWORD = "nine blue herons at dusk"


@pytest.fixture
def policy(site: Site) -> Iterator[Site]:
    """The shipped policy before and after."""
    site.call("PUT", "/policy", {"shipped": True})
    yield site
    site.call("PUT", "/policy", {"shipped": True})


@pytest.fixture
def approvals(site: Site) -> Iterator[Site]:
    yield from tidy(site, "/approval-rules")


@pytest.fixture
def connections(site: Site) -> Iterator[Site]:
    yield from tidy(site, "/connections", "/secrets")


def tidy(site: Site, *lists: str) -> Iterator[Site]:
    """What is in these lists now is in them afterwards, and nothing else."""
    before = {path: {one["name"] for one in site.call("GET", path)} for path in lists}
    yield site
    for path, kept in before.items():
        for name in {one["name"] for one in site.call("GET", path)} - kept:
            site.call("DELETE", f"{path}/{name}")


@pytest.fixture
def user(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A viewer who has chosen a password; the name."""
    name = "vic"
    site.call("POST", "/users", {"name": name, "display_name": "", "email": "", "roles": ["viewer"]})
    invite = site.call("POST", f"/users/{name}/invite", {})["invite"]
    site.call("POST", "/login", {"invite": invite, "password": PASSWORD})
    yield name
    site.call("DELETE", f"/users/{name}")


def verdict(site: Site, shell: str) -> tuple[bool, str]:
    found = site.call("POST", "/policy/test", {"shell": shell})
    return found["allowed"], found["judged"][0]["rule"]


def names(site: Site) -> list[str]:
    return [rule["id"] for rule in site.call("GET", "/policy")["rules"]]


def item(page: Page, name: str) -> Locator:
    """The rule of that name in its list."""
    return page.locator(".rules li").filter(has=page.locator("b", has_text=name))


def logged_in(open_page: Open, site: Site, name: str, path: str, password: str = PASSWORD) -> tuple[Page, Watched]:
    page, watched = open_page(site, path, logged_in=False)
    watched.expected.append("401")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").last.fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.locator(".shell")).to_be_visible()
    return page, watched


def sent(site: Site, path: str, token: str) -> int:
    request = urllib.request.Request(f"{site.url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


# --- the policy -------------------------------------------------------------------------------------------------------


def test_a_rule_added_by_the_page_refuses_and_is_tried_at_once(policy: Site, open_page: Open, axe: Axe) -> None:
    assert verdict(policy, "frobnicate --all")[0]
    page, _ = open_page(policy, "/access/policy")
    page.get_by_label("Command").fill("frobnicate --all")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("status")).to_contain_text("Allowed")
    page.get_by_role("button", name="Add a rule").click()
    form = page.get_by_role("form", name="Add a rule")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_label("Name").fill("no-frobnicate")
    form.get_by_label("program", exact=True).fill("frobnicate 'two words'")
    form.get_by_role("button", name="+ another").click()
    form.get_by_label("Key").last.select_option("args")
    form.get_by_label("args", exact=True).fill("--all")
    form.get_by_label("Comment").fill("nobody knows what it does")
    expect(form).to_contain_text("hits 43 nodes")
    assert axe(page) == []
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="no-frobnicate is saved")).to_be_visible()
    expect(page.get_by_label("Command")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Denied")).to_contain_text("no-frobnicate")
    assert verdict(policy, "sudo frobnicate --all") == (False, "no-frobnicate")
    assert verdict(policy, "frobnicate --one")[0]
    stored = policy.call("GET", "/policy")["rules"][-1]
    assert stored["match"] == {"program": ["frobnicate", "two words"], "args": ["--all"]}
    item(page, "no-frobnicate").get_by_role("button", name="Remove no-frobnicate").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(item(page, "no-frobnicate")).to_have_count(0)
    assert verdict(policy, "frobnicate --all")[0]


def test_a_rule_is_moved_by_the_keyboard_and_an_edit_goes_on(policy: Site, open_page: Open) -> None:
    before = names(policy)
    page, _ = open_page(policy, "/access/policy")
    second = item(page, before[1])
    second.get_by_role("button", name=f"Edit {before[1]}").click()
    form = page.get_by_role("form")
    form.get_by_label("Comment").fill("typed before it moved")
    expect(page.get_by_role("button", name=f"Move {before[0]} up")).to_be_disabled()
    up = page.get_by_role("button", name=f"Move {before[1]} up")
    up.press("Enter")
    expect(page.locator(".rules li").first).to_contain_text(before[1])
    assert names(policy)[:2] == [before[1], before[0]]
    expect(page.get_by_role("button", name=f"Move {before[1]} down")).to_be_focused()
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".rules li").first).to_contain_text("typed before it moved")
    assert names(policy)[:2] == [before[1], before[0]]


def test_what_was_typed_outlives_somebody_elses_change(policy: Site, open_page: Open) -> None:
    policy.call("PUT", "/policy/rules/mine", {"effect": "deny", "match": {"program": ["mine"]}})
    page, watched = open_page(policy, "/access/policy")
    watched.expected.append("409")
    page.get_by_role("button", name="Edit mine").click()
    form = page.get_by_role("form", name="Edit mine")
    form.get_by_label("program", exact=True).fill("mine yours")
    policy.call("PUT", "/policy/rules/mine", {"effect": "deny", "match": {"program": ["theirs"]}, "comment": "faster"})
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Somebody else changed this meanwhile")
    expect(form.get_by_label("program", exact=True)).to_have_value("mine yours")
    expect(form.get_by_role("button", name="Save")).to_be_disabled()
    assert policy.call("GET", "/policy")["rules"][-1]["match"] == {"program": ["theirs"]}
    form.get_by_role("button", name="Read anew").click()
    expect(form.get_by_role("status").filter(has_text="Stored now")).to_contain_text("theirs")
    expect(form.get_by_label("program", exact=True)).to_have_value("mine yours")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    assert policy.call("GET", "/policy")["rules"][-1]["match"] == {"program": ["mine", "yours"]}
    policy.call("PUT", "/policy/rules/other", {"effect": "deny", "match": {"program": ["other"]}})
    page.get_by_role("button", name="Move mine up").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    page.get_by_role("button", name="Read anew").click()
    expect(item(page, "other")).to_be_visible()
    page.get_by_role("button", name="Move mine up").click()
    expect(page.locator(".rules li").nth(-3)).to_contain_text("mine")


def test_what_is_wrong_with_a_rule_stands_at_its_field(policy: Site, open_page: Open) -> None:
    taken = names(policy)[0]
    page, watched = open_page(policy, "/access/policy")
    watched.expected += ["400", "404"]  # 404: a node that is not there, while the selector is typed
    page.get_by_role("button", name="Add a rule").click()
    form = page.get_by_role("form", name="Add a rule")
    form.get_by_label("Name").fill(taken)
    expect(form.get_by_role("alert")).to_contain_text("a rule of this name already")
    form.get_by_label("Name").fill("No Spaces")
    form.get_by_label("program", exact=True).fill("'open")
    expect(form).to_contain_text("a quote is not closed")
    form.get_by_label("program", exact=True).fill("reboot")
    form.get_by_label("Selector").fill('facts["os"] == "linux"')
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("cannot name a policy rule 'No Spaces'")
    form.get_by_label("Name").fill("by-facts")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("a fact is what the node says of itself")
    expect(form.get_by_label("program", exact=True)).to_have_value("reboot")
    assert "by-facts" not in names(policy)


def test_the_allow_list_warns_and_the_shipped_rules_come_back(policy: Site, open_page: Open, axe: Axe) -> None:
    page, _ = open_page(policy, "/access/policy", theme="dark")
    to_allow = page.get_by_role("button", name="Switch to the allow list")
    expect(to_allow).to_be_disabled()
    expect(to_allow).to_have_attribute(
        "title", "no rule allows anything, so every task would be refused: add an allow rule first"
    )
    policy.call("PUT", "/policy/rules/up", {"effect": "allow", "match": {"argv": ["uptime"]}})
    page.reload()
    to_allow.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Shell texts and scripts are refused altogether")
    expect(dialog.get_by_role("button", name="Switch to the allow list")).to_be_disabled()
    assert axe(page) == []
    dialog.get_by_label("Type allow-list to go on").fill("allow-list")
    dialog.get_by_role("button", name="Switch to the allow list").click()
    expect(page.get_by_role("button", name="Switch to the deny list")).to_be_visible()
    assert not verdict(policy, "uptime; id")[0]
    page.get_by_role("button", name="Begin again with the shipped rules").click()
    page.get_by_role("dialog").get_by_label("Type shipped to go on").fill("shipped")
    page.get_by_role("dialog").get_by_role("button", name="Begin again with the shipped rules").click()
    expect(item(page, "up")).to_have_count(0)
    assert policy.call("GET", "/policy")["mode"] == "deny-list"
    assert "up" not in names(policy)


# --- approval rules ---------------------------------------------------------------------------------------------------


def test_an_approval_rule_made_by_the_page_holds_a_job_back(approvals: Site, open_page: Open, axe: Axe) -> None:
    page, _ = open_page(approvals, "/access/approvals?show=rules")
    page.get_by_role("button", name="Add an approval rule").click()
    form = page.get_by_role("form", name="Add an approval rule")
    form.get_by_label("Name").fill("careful")
    form.get_by_label("exec", exact=True).check()
    form.get_by_label("Selector").fill("node-3")
    expect(form).to_contain_text("hits 1 node")
    assert axe(page) == []
    form.get_by_role("button", name="Save").click()
    expect(item(page, "careful")).to_contain_text("exec")
    job = approvals.call("POST", "/jobs", {"target": "node-3", "shell": "true"})["job"]
    assert job in [one["job"] for one in approvals.call("GET", "/approvals?states=pending")]
    page.get_by_role("button", name="Requests").click()
    expect(page.locator(f"a[href='/jobs/{job}']")).to_be_visible()
    approvals.call("POST", f"/jobs/{job}/cancel", {})
    page.get_by_role("button", name="Approval rules").click()
    page.get_by_role("button", name="Edit careful").click()
    edit = page.get_by_role("form", name="Edit careful")
    edit.get_by_label("From how many nodes on").fill("2")
    edit.get_by_role("button", name="Save").click()
    expect(item(page, "careful")).to_contain_text("from 2 nodes of node-3")
    approvals.run("node-3", "true")
    page.get_by_role("button", name="Remove careful").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(item(page, "careful")).to_have_count(0)
    assert "careful" not in [rule["name"] for rule in approvals.call("GET", "/approval-rules")]


def test_an_approval_rule_changed_meanwhile_is_not_overwritten_blindly(approvals: Site, open_page: Open) -> None:
    approvals.call("PUT", "/approval-rules/shared", {"selector": "node-1", "min_nodes": 5})
    page, _ = open_page(approvals, "/access/approvals?show=rules")
    page.get_by_role("button", name="Edit shared").click()
    form = page.get_by_role("form", name="Edit shared")
    form.get_by_label("From how many nodes on").fill("7")
    approvals.call("PUT", "/approval-rules/shared", {"selector": "node-2", "min_nodes": 6})
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Somebody else changed this meanwhile")
    form.get_by_role("button", name="Read anew").click()
    expect(form.get_by_label("From how many nodes on")).to_have_value("7")
    expect(form.get_by_role("status").filter(has_text="Stored now")).to_contain_text("node-2")
    form.get_by_role("button", name="Take what is stored").click()
    expect(form.get_by_label("From how many nodes on")).to_have_value("6")
    form.get_by_label("From how many nodes on").fill("8")
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)
    stored = next(rule for rule in approvals.call("GET", "/approval-rules") if rule["name"] == "shared")
    assert (stored["selector"], stored["min_nodes"]) == ("node-2", 8)


# --- connections ------------------------------------------------------------------------------------------------------


def test_a_connection_is_made_edited_and_deleted(connections: Site, open_page: Open, axe: Axe) -> None:
    connections.call("PUT", "/secrets/shop.db.password", {"value": "said to nobody"})
    page, watched = open_page(connections, "/access/secrets")
    watched.expected += ["400", "409"]
    page.get_by_role("main").get_by_role("link", name="Connections").last.click()
    page.get_by_role("button", name="New connection").click()
    form = page.get_by_role("form", name="New connection")
    form.get_by_label("Name").fill("shop-db")
    form.get_by_label("Engine").select_option("postgres")
    form.get_by_label("Host").fill("db-1")
    form.get_by_label("Port").fill("5433")
    form.get_by_label("Secret of the password").fill("shop.db.password")
    assert form.locator("#secret-names option[value='shop.db.password']").count() == 1
    form.get_by_role("button", name="+ another").click()
    form.get_by_label("Key").fill("key")
    form.get_by_label("key", exact=True).last.fill("-----BEGIN PRIVATE KEY-----")
    form.get_by_label("Options").fill('{"review": ')
    expect(form.get_by_role("alert")).to_contain_text("no JSON object")
    form.get_by_label("Options").fill('{"review": {"drop": "error"}}')
    assert axe(page) == []
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("it looks like a credential")
    form.get_by_label("key", exact=True).last.fill("{{ secret.shop.db.password }}")
    form.get_by_role("button", name="Save").click()
    shown = page.get_by_role("region", name="shop-db")
    expect(shown).to_contain_text("5433")
    assert "name=shop-db" in page.url
    stored = connections.call("GET", "/connections/shop-db")
    assert stored["tls"] == {"key": "{{ secret.shop.db.password }}"}
    assert stored["options"] == {"review": {"drop": "error"}}
    assert axe(page) == []
    shown.get_by_role("button", name="Edit").click()
    form = page.get_by_role("form", name="Edit shop-db")
    form.get_by_label("Database").fill("shop")
    body = {key: stored[key] for key in ("engine", "password_secret", "tls", "options")}
    connections.call("PUT", "/connections/shop-db", {**body, "host": "db-2"})
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Somebody else changed this meanwhile")
    expect(form.get_by_label("Database")).to_have_value("shop")
    form.get_by_role("button", name="Read anew").click()
    form.get_by_role("button", name="Take what is stored").click()
    expect(form.get_by_label("Host")).to_have_value("db-2")
    form.get_by_label("Database").fill("shop")
    form.get_by_role("button", name="Save").click()
    expect(shown).to_contain_text("shop")
    stored = connections.call("GET", "/connections/shop-db")
    assert (stored["host"], stored["database"], stored["port"]) == ("db-2", "shop", None)
    page.get_by_role("button", name="New connection").click()
    form = page.get_by_role("form", name="New connection")
    form.get_by_label("Name").fill("shop-db")
    expect(form.get_by_role("alert")).to_contain_text("a connection of this name already")
    form.get_by_role("button", name="Back").click()
    shown.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
    dialog.get_by_label("Type shop-db to go on").fill("shop-db")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="shop-db", exact=True)).to_have_count(0)
    assert "shop-db" not in [one["name"] for one in connections.call("GET", "/connections")]


# --- sessions and tokens ----------------------------------------------------------------------------------------------


def test_another_session_of_the_same_user_is_ended(site: Site, user: str, open_page: Open, axe: Axe) -> None:
    other = site.call("POST", "/login", {"name": user, "password": PASSWORD})["access_token"]
    assert sent(site, "/whoami", other) == 200
    page, _ = logged_in(open_page, site, user, "/access/sessions")
    rows = page.get_by_role("row").filter(has=page.get_by_role("button", name="End this session"))
    expect(rows.filter(has_text="this one")).to_have_count(1)
    everybody = page.get_by_role("button", name="Everybody")
    expect(everybody).to_be_disabled()
    expect(everybody).to_have_attribute("title", "needs the permission user.read")
    assert axe(page) == []
    for _ in range(rows.filter(has_not_text="this one").count()):
        before = rows.count()
        rows.filter(has_not_text="this one").first.get_by_role("button", name="End").click()
        expect(rows).to_have_count(before - 1)
    assert sent(site, "/whoami", other) == 401
    rows.get_by_role("button", name="End").click()
    page.get_by_role("dialog").get_by_role("button", name="End the session you are in").click()
    expect(page.get_by_role("heading", name="Log in to Corral")).to_be_visible()


def test_everybodys_sessions_are_ended_by_who_manages_people(site: Site, user: str, open_page: Open, axe: Axe) -> None:
    other = site.call("POST", "/login", {"name": user, "password": PASSWORD})["access_token"]
    page, _ = open_page(site, "/access/sessions?whose=all")
    rows = page.get_by_role("row").filter(has=page.locator("b", has_text=user))
    expect(rows.first).to_be_visible()
    assert axe(page) == []
    for _ in range(rows.count()):
        before = rows.count()
        rows.first.get_by_role("button", name="End").click()
        expect(rows).to_have_count(before - 1)
    assert sent(site, "/whoami", other) == 401


def test_a_password_is_changed_and_a_wrong_one_ends_nothing(site: Site, user: str, open_page: Open) -> None:
    page, _ = logged_in(open_page, site, user, "/access/sessions")
    page.get_by_role("button", name="Change your password").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Password", exact=True).fill("not the one there is")
    dialog.get_by_label("New password").fill("ten red foxes at noon")
    dialog.get_by_role("button", name="Set password").click()
    expect(dialog.get_by_role("alert")).to_contain_text("the password is wrong")
    expect(page.get_by_role("heading", name="Log in to Corral")).to_have_count(0)
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    dialog.get_by_role("button", name="Set password").click()
    expect(page.get_by_text("Your password is changed")).to_be_visible()
    assert site.call("POST", "/login", {"name": user, "password": "ten red foxes at noon"})["name"] == user


def test_a_token_gets_the_permissions_chosen_and_an_end(site: Site, open_page: Open, axe: Axe) -> None:
    page, _ = open_page(site, "/access/tokens")
    page.get_by_label("What it is for").fill("only-reading")
    page.get_by_label("What it may do").select_option("some")
    make = page.get_by_role("button", name="Make a token", exact=True)
    expect(make).to_be_disabled()
    page.get_by_label("node.read").check()
    page.get_by_label("exec.read").check()
    page.get_by_label("How long it lasts").select_option("7")
    assert axe(page) == []
    make.click()
    secret = page.get_by_role("status").locator("code").inner_text()
    row = page.get_by_role("row").filter(has_text="only-reading")
    expect(row).to_contain_text("exec.read node.read")
    expect(row).to_contain_text("ends")
    assert sent(site, "/nodes?limit=1", secret) == 200
    assert sent(site, "/policy", secret) == 403
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text("revoked")
    assert sent(site, "/nodes?limit=1", secret) == 401


# --- who may only look, and everything at once ------------------------------------------------------------------------


def test_a_viewer_sees_everything_and_why_he_changes_nothing(
    site: Site, user: str, approvals: Site, connections: Site, open_page: Open, axe: Axe
) -> None:
    site.call("PUT", "/approval-rules/large", {"min_nodes": 100})
    site.call("PUT", "/connections/shop-db", {"engine": "postgres", "host": "db-1"})
    page, _ = logged_in(open_page, site, user, "/access/policy")
    first = names(site)[0]
    wanted: dict[str, tuple[str, list[str]]] = {
        "/access/policy": (
            "policy.write",
            [
                "Add a rule",
                f"Edit {first}",
                f"Remove {first}",
                f"Move {first} down",
                "Switch to the allow list",
                "Begin again with the shipped rules",
            ],
        ),
        "/access/approvals?show=rules": ("policy.write", ["Add an approval rule", "Edit large", "Remove large"]),
        "/access/connections?name=shop-db": ("connection.write", ["New connection", "Edit", "Delete"]),
    }
    for path, (permission, buttons) in wanted.items():
        page.goto(site.url + path)
        for name in buttons:
            button = page.get_by_role("main").get_by_role("button", name=name, exact=True)
            expect(button).to_be_disabled()
            expect(button).to_have_attribute("title", f"needs the permission {permission}")
        assert axe(page) == []


@pytest.mark.parametrize(
    "path", ["policy", "approvals?show=rules", "connections?name=shop-db", "sessions?whose=all", "tokens"]
)
def test_each_part_is_there_in_both_themes_and_languages_and_on_a_phone(
    connections: Site, approvals: Site, open_page: Open, axe: Axe, path: str
) -> None:
    long: dict[str, Any] = {"database": "d" * 60, "tls": {"ca": "-----BEGIN CERTIFICATE-----\n" + "A" * 64}}
    connections.call("PUT", "/connections/shop-db", {"engine": "postgres", "host": "h" * 60 + ".example", **long})
    approvals.call("PUT", "/approval-rules/large", {"min_nodes": 100, "selector": "sim-00* or " * 8 + "node-1"})
    page, _ = open_page(connections, f"/access/{path}")
    expect(page.locator("main .panel").first).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)
    assert axe(page) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert axe(page) == []
    for language in ("en", "zh"):
        page.locator("nav.side select").last.select_option(language)
        for width in (1280, 375):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
