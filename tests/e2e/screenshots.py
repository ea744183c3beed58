"""The pictures of the page in docs/: `make screenshots` (a real `corral up`, Debian's chromium, both languages).

Not part of the tests: the name is not one pytest collects by itself. Look at every picture before you commit it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from conftest import Open, Site

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
LANGUAGES = ("en", "zh")
TOWNS = ("berlin", "lyon", "oslo")
VERSION = """
case ${CORRAL_TASK%%.*} in
  *7) echo 'nginx/1.22.1'; echo 'worker 3 exited on signal 11' >&2; exit 1;;
  *3|*5) echo 'nginx/1.24.0'; sleep 0.4;;
  *) printf 'nginx/1.26.3 \\033[32mok\\033[0m\\n';;
esac
"""


@pytest.fixture(scope="module")
def busy(site: Site) -> Iterator[dict[str, str]]:
    """A fleet with something to see; the ids of what was made."""
    names = [node["id"] for node in site.call("GET", "/nodes?limit=100")]
    for place, name in enumerate(names):
        labels = {"site": TOWNS[place % 3], "role": "web" if place % 4 else "db"}
        site.call("PATCH", f"/nodes/{name}", {"labels": labels})
    site.run("all", "uptime", name="how long are they up")
    site.run("node-1", "df -h / | tail -1", name="disk of one")
    version = site.run("all", VERSION, name="which nginx")
    folder = Path(tempfile.mkdtemp(prefix="web-", dir="/tmp"))  # short: it stands in a picture
    for text in ("port = 80\nworkers = 2\n", "port = 80\nworkers = 4\nkeepalive = 30\n"):
        upload(site, "web/site.conf", text.encode())
    for target, revision in (("node-1", 1), ("node-2", 2), ("node-3", 2)):
        file = {"op": "apply", "source": "web/site.conf", "revision": revision, "dest": str(folder / "site.conf")}
        job = site.call("POST", "/jobs", {"target": target, "kind": "file", "file": file})["job"]
        site.stands(f"/jobs/{job}", "succeeded")  # the three nodes are one machine
    site.call("POST", "/users", {"name": "vera", "display_name": "Vera", "email": "", "roles": ["viewer"]})
    site.call("POST", "/grants", {"role": "deployer", "subject": "vera", "selector": 'labels["site"] == "oslo"'})
    rollout = site.call(
        "POST",
        "/rollouts",
        {
            "name": "workers of the web",
            "target": "sim-*",
            "change": {"shell": "case ${CORRAL_TASK%%.*} in *9) echo cannot bind port 80 >&2; exit 1;; esac"},
            "strategy": {"kind": "count", "values": [2, 12, 0]},
            "gates": [{"kind": "command", "shell": "true", "attempts": 1}],
            "max_failed": 1,
            "auto_advance": True,
        },
    )["rollout"]
    site.stands(f"/rollouts/{rollout}", "paused")
    yield {"job": version, "rollout": rollout}
    shutil.rmtree(folder)


def upload(site: Site, path: str, data: bytes) -> None:
    body = {"source_path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    begun = site.call("POST", "/artifacts/uploads", body)
    request = urllib.request.Request(
        f"{site.url}/api/v1/artifacts/uploads/{begun['upload']}?offset=0",
        data=data,
        method="PUT",
        headers={"Authorization": f"Bearer {site.token}", "Content-Type": "application/octet-stream"},
    )
    urllib.request.urlopen(request, timeout=30).close()
    site.call("POST", f"/artifacts/uploads/{begun['upload']}/commit", {})


PICTURES: dict[str, tuple[str, str]] = {
    "overview": ("/?group=site&colour=result", "light"),
    "nodes": ("/nodes?selector=labels%5B%22role%22%5D+%3D%3D+%22web%22", "light"),
    "node": ("/nodes/node-1", "light"),
    "run": ("/run?target=labels%5B%22site%22%5D+%3D%3D+%22lyon%22&command=systemctl+reload+nginx", "dark"),
    "job": ("/jobs/{job}", "dark"),
    "jobs": ("/jobs", "light"),
    "rollout": ("/rollouts/{rollout}", "light"),
    "files": ("/files?path=web%2Fsite.conf", "light"),
    "access": ("/access/roles?user=vera&permission=rollout.write&selector=sim-0000*", "light"),
    "audit": ("/access/audit?action=POST+%2Fjobs", "dark"),
}
"""Name: address and theme."""
SETTLED_MS = 800


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, language: str, site: Site, busy: dict[str, Any], open_page: Open) -> None:
    path, theme = PICTURES[name]
    page, _ = open_page(site, path.format(**busy), theme=theme, language=language)
    expect(page.locator(".shell")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.wait_for_timeout(SETTLED_MS)
    folder = IMAGES / language
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
    assert (folder / f"{name}.png").stat().st_size > 10_000, "an empty page"
