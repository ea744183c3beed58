"""The committed build: made of the committed sources, small enough, and fit for the policy it is served under."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from corral.server.interface.rest.routing import RouteIndex
from corral.server.interface.rest.table import ROUTES
from corral.server.interface.web.describe import described
from corral.server.interface.web.files import PAGES, web_file

ROOT = Path(__file__).resolve().parents[5]
UI = ROOT / "ui"
DIST = ROOT / "src/corral/server/interface/web/dist"

pytestmark = pytest.mark.skipif(not UI.is_dir(), reason="the sources of the page are not here")


def built(suffix: str) -> list[Path]:
    return sorted(DIST.rglob(f"*{suffix}"))


def sources() -> list[str]:
    names = [path.relative_to(UI).as_posix() for path in (UI / "src").rglob("*") if path.is_file()]
    kept = [name for name in names if not name.endswith(".test.ts")]
    return sorted([*kept, "index.html", "package-lock.json", "vite.config.ts"])


def test_the_build_is_of_these_sources() -> None:
    digest = hashlib.sha256()
    for name in sources():
        digest.update(name.encode() + b"\0" + (UI / name).read_bytes() + b"\0")
    assert (DIST / "source.sha256").read_text().strip() == digest.hexdigest(), "make ui"


def test_the_description_the_types_are_made_of_is_the_api_s() -> None:
    assert (UI / "openapi.json").read_text(encoding="utf-8") == described(), "make ui-types"


def test_every_path_of_the_description_is_in_the_types() -> None:
    types = (UI / "src/api/schema.d.ts").read_text(encoding="utf-8")
    for path in json.loads(described())["paths"]:
        assert f'"{path}": {{' in types, "make ui-types"


def test_the_first_load_is_small() -> None:
    index = (DIST / "index.html").read_text()
    first = [DIST / name for name in re.findall(r'(?:src|href)="/(assets/[^"]+)"', index)]
    scripts = sum(len(gzip.compress(path.read_bytes())) for path in first if path.suffix == ".js")
    styles = sum(len(gzip.compress(path.read_bytes())) for path in first if path.suffix == ".css")
    assert 0 < scripts <= 300 << 10
    assert 0 < styles <= 45 << 10
    assert sum(path.stat().st_size for path in DIST.rglob("*") if path.is_file()) <= 3 << 20


def test_the_first_page_holds_no_script_and_no_style_of_its_own() -> None:
    index = (DIST / "index.html").read_text()
    assert re.findall(r"<script[^>]*>\s*[^\s<]", index) == []
    assert "<style" not in index
    assert re.findall(r"\son\w+=", index) == []


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in [*built(".html"), *built(".css")]:
        assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", path.read_text()) == []
        assert "@import" not in path.read_text()
    assert [path for path in DIST.rglob("*") if path.suffix in {".woff", ".woff2", ".map"}] == []


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((UI / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_files_with_a_hash_in_their_name_are_kept_for_ever_and_the_first_page_never() -> None:
    index = web_file("index.html")
    assert index is not None
    assert index.headers["Cache-Control"] == "no-cache"
    assert index.media_type == "text/html"
    for path in (DIST / "assets").iterdir():
        file = web_file(f"assets/{path.name}")
        assert file is not None
        assert "immutable" in file.headers["Cache-Control"]
        assert re.search(r"-[A-Za-z0-9_-]{8}\.(js|css)$", path.name)
        assert file.media_type == {".js": "text/javascript", ".css": "text/css"}[path.suffix]


@pytest.mark.parametrize("name", ["../files.py", "assets/../index.html", "/etc/passwd", "assets/", "", "source.sha256"])
def test_only_names_that_are_there_are_served(name: str) -> None:
    assert web_file(name) is None


def test_every_page_of_the_application_has_an_address_the_server_answers() -> None:
    inside = re.findall(r'<Route path="(/[^"*]*)"', (UI / "src/App.tsx").read_text())
    served = [re.sub(r"\{\w+\}", "x", page) for page in PAGES]
    assert len(inside) >= 6
    for path in inside:
        assert re.sub(r":\w+", "x", path) in served, path


def test_no_page_hides_a_route_of_the_api() -> None:
    index = RouteIndex(ROUTES, ())
    assert [page for page in PAGES if index.match("GET", page) is not None] == []
