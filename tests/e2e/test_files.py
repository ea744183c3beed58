"""Files in the browser: uploaded, compared, looked at before they are applied, and gone on with after a failure."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Page, Route, expect

if TYPE_CHECKING:
    from conftest import Open, Site


def upload(page: Page, name: str, data: bytes) -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "application/octet-stream", "buffer": data})
    page.get_by_role("button", name="Upload").click()


def test_a_file_is_uploaded_compared_and_looked_at_before_it_is_applied(
    site: Site, open_page: Open, tmp_path: Path, axe: Callable[[Page], list[str]]
) -> None:
    page, _ = open_page(site, "/files")
    upload(page, "site.conf", b"port = 80\n")
    expect(page.get_by_role("status").filter(has_text="Revision 1")).to_be_visible()
    upload(page, "site.conf", b"port = 81\n<script>alert(1)</script>\n")
    expect(page.get_by_role("status").filter(has_text="Revision 2")).to_be_visible()
    page.get_by_role("button", name="Show it").click()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".diff .added").first).to_have_text("+port = 81")
    expect(page.locator(".diff")).to_contain_text("+<script>alert(1)</script>")
    assert axe(page) == []
    page.get_by_role("button", name="Apply").first.click()
    dest = tmp_path / "site.conf"
    page.get_by_label("Selector").fill("node-1")
    page.get_by_label("Where to on the node").fill(str(dest))
    page.get_by_role("button", name="Look what would change").click()
    would = page.get_by_role("region", name="What would change")
    expect(would).to_contain_text("+port = 81", timeout=30_000)
    assert not dest.exists()
    page.locator("form").get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".state").filter(has_text="succeeded").first).to_be_visible(timeout=30_000)
    assert dest.read_bytes() == b"port = 81\n<script>alert(1)</script>\n"
    page.goto(f"{site.url}/files?path=site.conf")
    where = page.get_by_role("region", name="Where it is now")
    expect(where.get_by_role("row")).to_have_count(1)
    expect(where.get_by_role("row")).to_contain_text(str(dest))
    expect(where.get_by_role("row").get_by_role("link")).to_have_text(["node-1"])
    assert axe(page) == []


def send(site: Site, path: str, data: bytes) -> None:
    """A revision, without the page."""
    body = {"source_path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    upload = site.call("POST", "/artifacts/uploads", body)["upload"]
    headers = {"Authorization": f"Bearer {site.token}", "Content-Type": "application/octet-stream"}
    address = f"{site.url}/api/v1/artifacts/uploads/{upload}?offset=0"
    with urllib.request.urlopen(urllib.request.Request(address, data=data, headers=headers, method="PUT"), timeout=30):
        pass
    site.call("POST", f"/artifacts/uploads/{upload}/commit")


def test_an_older_revision_is_brought_back_after_one_look(
    site: Site, open_page: Open, tmp_path: Path, axe: Callable[[Page], list[str]]
) -> None:
    dest = tmp_path / "app.conf"
    for number in (1, 2):
        send(site, "back.conf", f"workers = {number}\n-- a comment\n".encode())
    file = {"op": "apply", "source": "back.conf", "revision": 2, "dest": str(dest)}
    job = site.call("POST", "/jobs", {"target": "node-2", "kind": "file", "file": file})["job"]
    site.stands(f"/jobs/{job}", "succeeded")
    page, _ = open_page(site, "/files?path=back.conf")
    page.get_by_role("button", name="Apply this revision").last.click()
    expect(page.get_by_role("form", name="Revision 1 to nodes")).to_contain_text("Back to revision 1")
    would = page.get_by_role("region", name="What would change")
    expect(would).to_contain_text("-workers = 2", timeout=30_000)
    expect(would).to_contain_text("+workers = 1")
    expect(page.get_by_label("Selector")).to_have_value("node-2")
    assert dest.read_text().startswith("workers = 2")
    assert axe(page) == []
    page.locator("form").get_by_role("button", name="Apply", exact=True).click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator(".state").filter(has_text="succeeded").first).to_be_visible(timeout=30_000)
    assert dest.read_text().startswith("workers = 1")


def test_revisions_are_compared_side_by_side(site: Site, open_page: Open, axe: Callable[[Page], list[str]]) -> None:
    for data in (b"one\n-- gone\ntwo\n", b"one\ntwo\n++ fresh\n", b"".join(b"%d\n" % n for n in range(3000))):
        send(site, "sides.conf", data)
    page, _ = open_page(site, "/files?path=sides.conf")
    page.get_by_role("button", name="Compare").last.click()
    expect(page.locator(".diff .gone")).to_have_text("--- gone")
    page.get_by_role("button", name="Side by side").click()
    assert "diff=beside" in page.url
    page.reload()
    expect(page.locator(".sides .gone")).to_have_text("-- gone")
    expect(page.locator(".sides .added")).to_have_text("++ fresh")
    assert axe(page) == []
    page.get_by_role("combobox", name="to", exact=True).select_option("3")
    expect(page.locator(".diff")).to_contain_text("more lines")
    expect(page.locator(".diff").get_by_role("link", name="Download 3")).to_be_visible()
    assert page.locator(".sides tr").count() <= 2000


def test_what_is_no_text_is_not_compared_and_says_so(site: Site, open_page: Open) -> None:
    for size in (2, 3):
        send(site, "picture.bin", bytes(range(256)) * size)
    page, _ = open_page(site, "/files?path=picture.bin&from=1&to=2")
    expect(page.get_by_text("Not text, or too large")).to_contain_text("512 B before, 768 B now")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download 1").click()
    assert download.value.path().read_bytes() == bytes(range(256)) * 2


def test_an_upload_that_breaks_goes_on_where_the_server_stands(site: Site, open_page: Open) -> None:
    data = hashlib.shake_256(b"upload").digest(9 << 20)
    page, watched = open_page(site, "/files")
    watched.expected.append("net::ERR")
    parts: list[str] = []

    def part(route: Route) -> None:
        parts.append(route.request.url.rpartition("offset=")[2])
        if len(parts) == 2:
            route.abort()
        else:
            route.continue_()

    page.route("**/artifacts/uploads/*?offset=*", part)
    upload(page, "large.bin", data)
    expect(page.get_by_role("alert")).to_contain_text("cannot reach the server")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("status").filter(has_text="Revision 1")).to_be_visible(timeout=30_000)
    assert parts == ["0", str(4 << 20), str(4 << 20), str(8 << 20)]
    (revision,) = site.call("GET", "/artifacts/revisions?source_path=large.bin")
    assert revision["digest"].removeprefix("sha256:") == hashlib.sha256(data).hexdigest()
