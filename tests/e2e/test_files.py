"""Files in the browser: uploaded, compared, looked at before they are applied, and gone on with after a failure."""

from __future__ import annotations

import hashlib
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
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_text("+port = 81")).to_be_visible(timeout=30_000)
    assert not dest.exists()
    page.go_back()
    page.get_by_role("button", name="Apply").first.click()
    page.get_by_label("Selector").fill("node-1")
    page.get_by_label("Where to on the node").fill(str(dest))
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
