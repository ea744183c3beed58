"""The page in a real browser against a real `corral up`: three nodes of this machine and forty simulated ones. Nothing is mocked.

Every page opened here is watched: a dialog, an error in the console, a broken policy or a request to another host fails the test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-headless-shell")
ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "ui/node_modules/axe-core/axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The browser's driver keeps an event loop running until the end, beside which no asynchronous test can have its own.
    items.sort(key=lambda item: item.path.parent == Path(__file__).parent)
    missing = pytest.mark.skip(reason="no chromium here: apt-get install chromium")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(missing)


@dataclass
class Site:
    url: str
    token: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def run(self, target: str, shell: str, **more: Any) -> str:
        """Submit and wait for its end; the job's id."""
        job = str(self.call("POST", "/jobs", {"target": target, "shell": shell, **more})["job"])
        until(lambda: self.call("GET", f"/jobs/{job}")["state"] != "open", f"the end of {job}")
        return job

    def stands(self, path: str, state: str) -> None:
        """Wait until what is at `path` is in that state."""
        until(lambda: self.call("GET", path)["state"] == state, f"{path} {state}")


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def _started(folder: Path, *flags: str) -> tuple[subprocess.Popen[str], Site]:
    process = subprocess.Popen(
        [sys.executable, "-m", "corral", "up", "--port", "0", *flags],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "CORRAL__SERVER__REQUESTS_PER_SECOND": "0"},
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(r"(http://127\.0\.0\.1:\d+)/login\?code=", line)
        if found:
            local = json.loads((folder / ".corral/local.json").read_text())
            token = local.get("token") or (folder / ".corral/server/admin.token").read_text().strip()
            return process, Site(found.group(1), token)
    pytest.fail(f"cannot start corral up: {said[-2000:]}")


def _stopped(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, site = _started(tmp_path_factory.mktemp("up"), "--nodes", "3", "--sim", "40")
    until(lambda: len(site.call("GET", "/nodes?presence=online")) == 43, "43 nodes online", 60)
    yield site
    _stopped(process)


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process, site = _started(tmp_path_factory.mktemp("empty"), "--nodes", "0")
    yield site
    _stopped(process)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


_WATCH = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.__violations.push(event.violatedDirective + " " + event.blockedURI));
"""


@dataclass
class Watched:
    """What must not happen on a page."""

    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Patterns of console errors the test provokes itself."""

    def watch(self, page: Page, url: str) -> None:
        def dialog(shown: Dialog) -> None:
            self.dialogs.append(shown.message)
            shown.dismiss()

        def console(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.errors.append(message.text)

        def request(sent: Request) -> None:
            if not sent.url.startswith((url, "blob:" + url)):
                self.foreign.append(sent.url)

        page.on("dialog", dialog)
        page.on("console", console)
        page.on("request", request)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def check(self, page: Page) -> None:
        assert self.dialogs == []
        assert self.foreign == []
        assert [text for text in self.errors if not any(re.search(one, text) for one in self.expected)] == []
        assert page.evaluate("window.__violations") == []


Open = Callable[..., tuple[Page, Watched]]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """`open_page(site, path, theme=, language=, width=)`: a page of a fresh browser, logged in by a one-time link."""
    contexts: list[BrowserContext] = []
    opened: list[tuple[Page, Watched]] = []

    def show(
        site: Site,
        path: str = "/",
        *,
        theme: str = "light",
        language: str = "en",
        width: int = 1280,
        logged_in: bool = True,
    ) -> tuple[Page, Watched]:
        context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, locale="en-GB")
        contexts.append(context)
        context.set_default_timeout(15_000)
        context.add_init_script(_WATCH)
        context.add_init_script(
            f"localStorage.getItem('corral.theme') ?? localStorage.setItem('corral.theme', '{theme}');"
            f"localStorage.getItem('corral.language') ?? localStorage.setItem('corral.language', '{language}');"
        )
        page, watched = context.new_page(), Watched()
        watched.watch(page, site.url)
        if logged_in:
            code = site.call("POST", "/login-codes", {})["code"]
            page.goto(f"{site.url}/login?code={code}")
            page.wait_for_selector(".shell")
            if path != "/":
                page.goto(site.url + path)
        else:
            page.goto(site.url + path)
        opened.append((page, watched))
        return page, watched

    yield show
    for page, watched in opened:
        watched.check(page)
    for context in contexts:
        context.close()


@pytest.fixture
def axe() -> Callable[[Page], list[str]]:
    """The serious findings of axe on a page as it stands."""
    if not AXE.is_file():
        pytest.skip("no axe-core here: cd ui && npm ci")
    source = AXE.read_text(encoding="utf-8")

    def findings(page: Page) -> list[str]:
        page.evaluate(source)
        found = page.evaluate(
            "async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})).violations"
        )
        return [
            f"{one['id']} ({one['impact']}): {node['target']} {node['failureSummary'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"][:3]
        ]

    return findings
