"""Nodes in the browser: the selector and its error, the picture, labels in place and on many nodes at once, columns, a file, a removal."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from playwright.sync_api import Locator, Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site


def test_a_selector_lives_in_the_address_and_its_error_stands_under_its_column(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/nodes")
    watched.expected.append("400")
    field = page.get_by_label("Selector")
    field.fill("node-*")
    expect(page.get_by_text("3 nodes", exact=True)).to_be_visible()
    assert "selector=node-" in page.url
    field.fill('labels["role" == "web"')
    expect(page.get_by_role("alert")).to_contain_text("cannot read the selector at column 15")
    caret = page.locator(".caret").inner_text()
    assert caret.index("^") == 14
    page.goto(f"{site.url}/nodes?selector=node-1&view=picture")
    expect(page.get_by_role("img", name="1 node: 1 online")).to_be_visible()


def test_labels_are_set_and_removed_in_place_and_are_text(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/nodes/node-3")
    page.get_by_label("name", exact=True).fill("tier")
    page.get_by_label("value", exact=True).fill("<b>gold</b>")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_role("cell", name="<b>gold</b>")).to_be_visible()
    assert site.call("GET", "/nodes/node-3")["labels"]["tier"] == "<b>gold</b>"
    page.get_by_role("button", name="Remove label tier").click()
    expect(page.get_by_role("cell", name="<b>gold</b>")).to_have_count(0)
    assert "tier" not in site.call("GET", "/nodes/node-3")["labels"]


def test_a_removal_says_what_follows_and_wants_the_name(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/nodes/node-3")
    page.get_by_role("button", name="Remove node").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("credentials stop working")
    expect(dialog.get_by_role("button", name="Remove node")).to_be_disabled()
    dialog.get_by_label("Type node-3 to go on").fill("node-3")
    expect(dialog.get_by_role("button", name="Remove node")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert site.call("GET", "/nodes/node-3")["id"] == "node-3"


def test_a_node_shows_when_it_was_there(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/nodes/node-2")
    presence = page.get_by_role("region", name="Presence")
    # More than one when its daemon was there a moment before its worker.
    expect(presence.get_by_role("row")).to_have_count(len(site.call("GET", "/nodes/node-2/presence")))
    expect(presence.get_by_role("row").first).to_contain_text("online")
    expect(presence.get_by_role("row").first).to_contain_text("so far")
    day = presence.get_by_role("img", name=re.compile(r"last 24 hours: there (100|9\d)% of the recorded time"))
    expect(day).to_be_visible()


def test_a_node_lists_what_ran_on_it_however_long_ago(site: Site, open_page: Open) -> None:
    job = site.run("node-2", "echo early; exit 3", name="an early one")
    for number in range(22):
        site.call("POST", "/jobs", {"target": "node-2" if number % 2 else "node-1", "argv": ["true"]})
    page, _ = open_page(site, "/nodes/node-2")
    expect(page.get_by_role("link", name="true").nth(10)).to_be_visible()
    early = page.get_by_role("link", name="an early one")
    expect(early).to_have_attribute("href", f"/jobs/{job}?node=node-2")
    expect(page.locator("tr", has=early)).to_contain_text("failed")
    expect(page.locator("tr", has=early)).to_contain_text("exit 3")


def test_a_node_shows_the_files_it_has(site: Site, open_page: Open, tmp_path: Path) -> None:
    dest = str(tmp_path / "motd")
    (tmp_path / "source").write_text("hello\n")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "corral",
            "file",
            "apply",
            "--src",
            str(tmp_path / "source"),
            "--dest",
            dest,
            "-t",
            "node-1",
        ],
        env={**os.environ, "CORRAL_URL": site.url, "CORRAL_TOKEN": site.token},
        check=True,
        capture_output=True,
        timeout=60,
    )
    page, _ = open_page(site, "/nodes/node-1")
    row = page.locator("section", has=page.get_by_role("heading", name="Files")).locator("tr", has_text=dest)
    expect(row).to_contain_text("revision 1")
    row.get_by_role("link", name="its job").click()
    expect(page.get_by_role("heading", name=re.compile("apply"))).to_be_visible()


def bulk(page: Page) -> Locator:
    return page.get_by_role("region", name="Selected nodes")


def target(page: Page) -> str:
    """Whom "Run on them" would take."""
    found = bulk(page).get_by_role("link", name="Run on them…").get_attribute("href") or ""
    return unquote(found.removeprefix("/run?target="))


def having(site: Site, selector: str) -> list[str]:
    return [node["id"] for node in site.call("GET", f"/nodes?selector={selector}")]


def test_rows_are_selected_by_mouse_and_keys_and_run_on(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    page, _ = open_page(site, "/nodes?selector=node-*")
    expect(bulk(page)).to_have_count(0)
    page.get_by_label("Select node-1").click()
    page.get_by_label("Select node-3").click(modifiers=["Shift"])
    expect(bulk(page)).to_contain_text("3 selected")
    assert target(page) == "node-1,node-2,node-3"
    assert axe(page) == []
    bulk(page).get_by_role("button", name="Clear").click()
    expect(bulk(page)).to_have_count(0)
    page.get_by_label("Select node-1").focus()
    page.keyboard.press("Space")
    page.get_by_label("Select node-2").focus()
    page.keyboard.press("Shift+Space")
    expect(bulk(page)).to_contain_text("2 selected")
    bulk(page).get_by_role("link", name="Run on them…").click()
    expect(page.get_by_text("hits 2 nodes:")).to_be_visible()


def test_everything_that_matches_is_the_selector_itself_and_only_under_it(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/nodes?selector=sim-*&presence=online")
    page.get_by_label("Select all 40 nodes that match").check()
    expect(bulk(page)).to_contain_text("40 selected")
    assert target(page) == "(sim-*) and online"
    page.get_by_label("Select sim-00001").uncheck()
    expect(bulk(page)).to_contain_text("39 selected")
    assert "sim-00001," not in target(page)
    page.get_by_label("Select all 40 nodes that match").check()
    page.get_by_label("Selector").fill("node-*")
    expect(page.get_by_text("3 nodes", exact=True)).to_be_visible()
    expect(bulk(page)).to_have_count(0)


def test_many_nodes_get_and_lose_a_label_and_a_group(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    page, _ = open_page(site, "/nodes?selector=node-*")
    before = {node["id"]: node["groups"] for node in site.call("GET", "/nodes?selector=node-*")}
    page.get_by_label("Select all 3 nodes that match").check()
    bulk(page).get_by_role("button", name="Set a label…").click()
    dialog = page.get_by_role("dialog")
    assert axe(page) == []
    dialog.get_by_label("Label", exact=True).fill("wave")
    dialog.get_by_label("Value").fill("one")
    dialog.get_by_role("button", name="Set", exact=True).click()
    expect(bulk(page).get_by_role("status")).to_contain_text("wave=one was set on 3 nodes.")
    assert having(site, 'labels["wave"]%20==%20"one"') == ["node-1", "node-2", "node-3"]
    bulk(page).get_by_role("button", name="Remove a label…").click()
    dialog.get_by_label("Label", exact=True).fill("wave")
    expect(dialog).to_contain_text("3 of them have the label wave now")
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(bulk(page).get_by_role("status")).to_contain_text("wave was removed from 3 nodes.")
    assert having(site, "has%20labels[%22wave%22]") == []
    bulk(page).get_by_role("button", name="Add to a group…").click()
    dialog.get_by_label("Group").fill("canary")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(bulk(page).get_by_role("status")).to_contain_text("3 nodes were added to canary.")
    after = {node["id"]: node["groups"] for node in site.call("GET", "/nodes?selector=node-*")}
    assert after == {name: sorted([*groups, "canary"]) for name, groups in before.items()}
    bulk(page).get_by_role("button", name="Remove from a group…").click()
    dialog.get_by_label("Group").fill("canary")
    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(bulk(page).get_by_role("status")).to_contain_text("3 nodes were removed from canary.")
    assert {node["id"]: node["groups"] for node in site.call("GET", "/nodes?selector=node-*")} == before


def test_a_change_of_many_nodes_wants_their_count_and_says_what_was_left(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/nodes?selector=sim-*")
    watched.expected.append("400")
    page.get_by_label("Select all 40 nodes that match").check()
    bulk(page).get_by_role("button", name="Set a label…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Label", exact=True).fill("no such name")
    set_it = dialog.get_by_role("button", name="Set", exact=True)
    expect(set_it).to_be_disabled()
    dialog.get_by_label("Type 40 to go on").fill("40")
    set_it.click()
    status = bulk(page).get_by_role("status")
    expect(status).to_contain_text("40 were not changed.")
    expect(status).to_contain_text("no such name")
    expect(status).to_contain_text("sim-00001, ")
    bulk(page).get_by_role("button", name="Clear").click()
    status.get_by_role("button", name="Select only those").click()
    expect(bulk(page)).to_contain_text("40 selected")


def test_somebody_who_may_not_change_nodes_sees_why(site: Site, open_page: Open) -> None:
    made: Any = site.call("POST", "/api-tokens", {"name": "looker", "permissions": ["node.read"]})
    page, watched = open_page(replace(site, token=made["token"]), "/nodes?selector=node-*")
    watched.expected.append("403")
    page.get_by_label("Select node-1").check()
    label = bulk(page).get_by_role("button", name="Set a label…")
    expect(label).to_be_disabled()
    expect(label).to_have_attribute("title", "needs the permission node.write")


def test_a_box_over_cells_selects_them(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/nodes?view=picture")
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 20, steps=5)
    expect(page.locator(".brush")).to_be_visible()
    page.mouse.up()
    expect(page.locator(".brush")).to_have_count(0)
    expect(bulk(page)).to_contain_text("3 selected")
    assert target(page) == "node-1,node-2,node-3"
    page.locator(".picture").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(bulk(page)).to_contain_text("2 selected")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("node-1")


def test_columns_are_chosen_kept_in_the_address_and_written_to_a_file(
    site: Site, open_page: Open, axe: Callable[[Page], list[str]]
) -> None:
    site.call("PATCH", "/nodes/node-2", {"labels": {"note": '=1+1,"x"'}})
    page, _ = open_page(site, "/nodes?selector=node-*&columns=labels")
    expect(page.get_by_role("columnheader")).to_have_count(3)
    page.locator("summary", has_text="Columns").click()
    assert axe(page) == []
    page.get_by_label("Kernel").click()
    expect(page.get_by_label("Kernel")).to_be_checked()
    page.get_by_label("Labels").click()
    expect(page).to_have_url(re.compile(r"columns=node(%2C|,)kernel$"))
    page.keyboard.press("Escape")
    expect(page.get_by_label("Kernel")).to_be_hidden()
    expect(page.get_by_role("columnheader")).to_have_text(["", "Node", "Kernel"])
    page.goto(f"{site.url}/nodes?selector=node-*&columns=labels,presence")
    expect(page.get_by_text("3 nodes", exact=True)).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    text = saved.value.path().read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["node"] for row in rows] == ["node-1", "node-2", "node-3"]
    assert {row["presence"] for row in rows} == {"online"}
    assert 'note==1+1,"x"' in rows[1]["labels"]
    site.call("PATCH", "/nodes/node-2", {"labels": {"note": None}})


def test_a_selector_is_completed_behind_what_is_written(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/run")
    field = page.get_by_label("Target (selector)")
    field.focus()
    offered = page.locator("datalist option")
    expect(offered.filter(has_text="").nth(5)).to_be_attached()

    def values() -> list[str]:
        return [option.get_attribute("value") or "" for option in offered.all()]

    assert {"online", 'labels["role"] == "db"', '"demo" in groups', "node-1"} <= set(values())
    assert any(value.startswith('facts["') for value in values())
    field.fill('labels["env"] == "demo" and ')
    expect(page.locator("""datalist option[value='labels["env"] == "demo" and "demo" in groups']""")).to_be_attached()
