"""Nodes in the browser: the selector and its error, the picture, labels edited in place, a removal that is asked for twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

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
    expect(presence.get_by_role("row")).to_have_count(1)
    expect(presence.get_by_role("row").first).to_contain_text("online")
    expect(presence.get_by_role("row").first).to_contain_text("so far")
    expect(presence.get_by_role("img", name="last 24 hours: there 100% of the recorded time")).to_be_visible()


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
