"""Running something from the page: who is hit, the live view, cancel, retry, download."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from playwright.sync_api import expect

if TYPE_CHECKING:
    from conftest import Open, Site


def test_a_newcomer_runs_a_command_with_the_keyboard_alone(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    target = page.get_by_label("Target (selector)")
    target.fill("node-*")
    expect(page.get_by_text("hits 3 nodes:")).to_be_visible()
    page.get_by_label("Command", exact=True).fill("echo hello from the page")
    page.keyboard.press("Control+Enter")
    group = page.get_by_label("Result of 3 nodes")
    expect(group).to_contain_text("hello from the page")
    expect(page).to_have_url(re.compile(r"job=J"))


def test_a_bad_selector_says_where_it_is_bad_and_runs_nothing(site: Site, open_page: Open) -> None:
    page, watched = open_page(site, "/run?command=uptime")
    watched.expected.append("400")
    page.get_by_label("Target (selector)").fill('labels["role"] = "web"')
    expect(page.get_by_role("alert")).to_contain_text("column 16")
    expect(page.get_by_role("button", name=re.compile("^Run"))).to_be_disabled()


def test_many_nodes_ask_for_their_count(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/run?target=all&command=true")
    page.get_by_role("button", name=re.compile("Run on 43 nodes")).click()
    dialog = page.get_by_role("dialog")
    go = dialog.get_by_role("button", name="Run on 43 nodes")
    expect(go).to_be_disabled()
    dialog.get_by_label("Type 43 to go on").fill("42")
    expect(go).to_be_disabled()
    dialog.get_by_label("Type 43 to go on").fill("43")
    go.click()
    expect(page).to_have_url(re.compile(r"job=J"))


def test_words_without_a_shell_are_shown_as_they_will_be_sent(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/run?target=node-1&mode=argv&command=echo 'two words' | cat")
    expect(page.locator(".chip")).to_have_text(["echo", "two words", "|", "cat"])
    expect(page.get_by_text("No shell here")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Run on 1 node")).click()
    expect(page.get_by_label("Result of 1 node")).to_contain_text("two words | cat")


def test_output_appears_while_it_runs_and_a_cancel_stops_it(site: Site, open_page: Open) -> None:
    page, _ = open_page(
        site, "/run?target=node-1,node-2&command=for i in $(seq 1 600); do echo tick $i; sleep 0.2; done"
    )
    page.get_by_role("button", name=re.compile("^Run on 2 nodes")).click()
    expect(page.locator("pre.output").first).to_contain_text("tick 3")
    expect(page.get_by_text("running").first).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name=re.compile("cancelled 2"))).to_be_visible(timeout=20_000)
    page.locator(".names button").first.click()
    expect(page.get_by_text("Receipt of the cancel")).to_be_visible()


def test_what_failed_is_shown_first_and_run_again(site: Site, open_page: Open) -> None:
    command = quote("test -e /nowhere && echo yes || { echo no; exit 7; }")
    page, _ = open_page(site, f"/run?target=node-*&command={command}")
    page.get_by_role("button", name=re.compile("^Run on 3 nodes")).click()
    expect(page.locator(".group .why")).to_contain_text("7")
    page.get_by_role("button", name="Retry 3 failed").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry 3 failed").click()
    page.locator(".names button").first.click()
    expect(page.get_by_text("attempt 2", exact=True)).to_be_visible(timeout=20_000)


def test_a_log_is_searched_and_downloaded_to_the_byte(site: Site, open_page: Open) -> None:
    job = site.run("node-1", "seq 1 20000")
    page, _ = open_page(site, f"/jobs/{job}?node=node-1")
    log = page.get_by_role("log")
    expect(log).to_contain_text("20000")
    assert page.locator(".log-row").count() < 300
    page.get_by_label("Search in this log").fill("12345")
    page.keyboard.press("Enter")
    expect(log.locator("mark").first).to_have_text("12345")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_text() == "".join(f"{n}\n" for n in range(1, 20001))


def test_filters_of_jobs_live_in_the_address(site: Site, open_page: Open) -> None:
    site.run("node-1", "exit 9")
    page, _ = open_page(site, "/jobs")
    page.get_by_role("button", name="failed", exact=True).click()
    expect(page).to_have_url(re.compile("state=failed"))
    expect(page.locator("tbody .state").first).to_contain_text("failed")
    page.reload()
    expect(page.get_by_role("button", name="failed", exact=True)).to_have_attribute("aria-pressed", "true")
    for state in page.locator("tbody .state").all_text_contents():
        assert "failed" in state


def test_a_picture_is_walked_with_the_arrow_keys(site: Site, open_page: Open) -> None:
    job = site.run("node-*", "echo one")
    page, _ = open_page(site, f"/jobs/{job}")
    picture = page.get_by_label("Picture of nodes")
    picture.focus()
    for key in ("ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(picture).to_contain_text("node-2")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("node=node-2"))


def test_a_job_of_any_shape_is_copied_as_the_command_that_submits_it_again(site: Site, open_page: Open) -> None:
    shapes = (
        {"argv": ["echo", "it's", "two words"], "env": {"A": "b c"}, "timeout": 7.5},
        {"shell": "echo one\necho two | cat", "concurrency": 1, "name": "two lines"},
        {"script": "echo $0\n\nexit 0\n", "interpreter": "bash", "cwd": "/tmp"},
        {"argv": ["cat"], "stdin": "aGkK"},
        {"kind": "file", "file": {"op": "preview", "dest": "/etc/hostname"}},
    )
    environment = {**os.environ, "CORRAL_URL": site.url, "CORRAL_TOKEN": site.token}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for shape in shapes:
        job = site.call("POST", "/jobs", {"target": "node-1", **shape})["job"]
        page, _ = open_page(site, f"/jobs/{job}")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        expect(page.get_by_role("button", name="Copy as CLI command")).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.get_by_role("button", name="Copy as CLI command").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        line = page.evaluate("navigator.clipboard.readText()")
        subprocess.run(["sh", "-c", line], env=environment, check=False, capture_output=True, timeout=60)
        newest = site.call("GET", "/jobs?limit=1")[0]["job"]
        assert newest != job, line
        assert site.call("GET", f"/jobs/{newest}/submission")["submission"] == {"target": "node-1", **shape}, line


def test_a_job_is_changed_and_run_again_whole(site: Site, open_page: Open) -> None:
    body = {"target": "node-1", "script": "echo $A\n# as it was\n", "interpreter": "bash", "env": {"A": "first"}}
    body |= {"timeout": 20, "stdin": "aGkK", "grace": 2}
    job = site.call("POST", "/jobs", body)["job"]
    page, _ = open_page(site, f"/jobs/{job}")
    page.get_by_role("link", name="Edit and run again").click()
    script = page.get_by_label("Script", exact=True)
    expect(script).to_have_value("echo $A\n# as it was\n")
    page.get_by_text("Limits", exact=False).first.click()
    expect(page.get_by_text("Also from that job: grace, stdin")).to_be_visible()
    script.fill("echo $A and more\n")
    page.get_by_role("button", name=re.compile("^Run on 1 node")).click()
    expect(page.get_by_label("Result of 1 node")).to_contain_text("first and more")
    again = re.search(r"job=(J\w+)", page.url)
    assert again is not None
    said = site.call("GET", f"/jobs/{again.group(1)}/submission")["submission"]
    assert said == {**body, "script": "echo $A and more\n"}


def test_what_jobs_printed_is_found_and_the_history_is_filtered_by_where_who_and_when(
    site: Site, open_page: Open
) -> None:
    job = site.run("node-2", "echo before; echo a needle $((40 + 2)) in hay")
    site.run("node-1", "echo elsewhere", name="not on node-2")
    page, _ = open_page(site, "/jobs")
    page.get_by_label("Find in output: a text that was printed").fill("needle 42")
    page.get_by_role("button", name="Search", exact=True).click()
    found = page.get_by_role("region", name="Jobs that printed “needle 42”")
    expect(found).to_contain_text("a needle 42 in hay")
    expect(found).to_contain_text("All output was looked through: 1 job printed it")
    expect(found.get_by_role("link").first).to_have_attribute("href", re.compile(job))
    table = page.locator("tbody")
    expect(table).to_contain_text("not on node-2")
    page.get_by_label("On nodes: a selector").fill("node-2")
    expect(table).not_to_contain_text("not on node-2")
    expect(table).to_contain_text("needle")
    page.get_by_label("Submitted by").fill("nobody at all")
    expect(page.get_by_text("No job matches")).to_be_visible()
    page.goto(f"{site.url}/jobs?by=admin&back=1h&on=node-1")
    expect(page.locator("tbody")).to_contain_text("not on node-2")
