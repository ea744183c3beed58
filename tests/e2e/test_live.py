"""What changes by itself: output that outruns the eye, a line that breaks, five thousand cells."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, Route, expect

if TYPE_CHECKING:
    from conftest import Open, Site


class Line:
    """A way to the server that can be cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_broken_line_is_taken_up_where_it_was(site: Site, open_page: Open) -> None:
    shell = "for i in $(seq 1 12); do echo step $i; sleep 1; done"
    job = str(site.call("POST", "/jobs", {"target": "node-1", "shell": shell})["job"])
    line = Line(int(site.url.rpartition(":")[2]))
    near = replace(site, url=f"http://127.0.0.1:{line.port}")
    page, watched = open_page(near, f"/jobs/{job}?node=node-1")
    watched.expected.append("ERR_")
    resumed: list[str] = []
    page.on("request", lambda sent: resumed.append(sent.headers.get("last-event-id", "")))
    log = page.get_by_role("log")
    expect(log).to_contain_text("step 2")
    line.cut()
    expect(log).to_contain_text("step 12", timeout=40_000)
    rows = [row for row in log.locator(".log-row").all_text_contents() if row.startswith("step")]
    assert rows == [f"step {n}" for n in range(1, 13)]
    assert [last for last in resumed if last.isdigit()], "the stream was not continued by its id"
    line.close()


def test_a_log_is_narrowed_to_what_is_searched_and_jumped_to_a_time(site: Site, open_page: Open) -> None:
    shell = "seq 1 900; sleep 2.2; echo late; seq 901 1800"
    job = site.run("node-1", shell)
    page, _ = open_page(site, f"/jobs/{job}?node=node-1")
    log = page.get_by_role("log")
    expect(log).to_contain_text("1800")
    assert log.locator(".log-row").count() < 200
    jump = page.get_by_label("Jump to a time")
    jump.fill("+2")
    jump.press("Enter")
    expect(log).to_contain_text("late")
    expect(log).not_to_contain_text("1800")
    jump.fill("tomorrow")
    jump.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("“tomorrow” is no time")
    page.get_by_label("Search in this log").fill("99")
    page.get_by_role("button", name="Only matches").click()
    page.get_by_role("button", name="Times").click()
    rows = log.locator(".log-row")
    expect(rows).to_have_count(27)
    assert rows.first.text_content() == "99"
    page.get_by_role("button", name="Only matches").click()
    expect(rows).not_to_have_count(27)


@pytest.mark.slow
def test_a_flood_of_output_is_kept_up_with_in_bounded_memory(site: Site, open_page: Open) -> None:
    line = "the quick brown fox jumps over the lazy dog"
    shell = f"for i in $(seq 1 3000); do echo $i {line}; [ $((i % 20)) = 0 ] && sleep 0.1; done; true"
    job = str(site.call("POST", "/jobs", {"target": "node-*", "shell": shell, "concurrency": 3})["job"])
    page, _ = open_page(site, f"/jobs/{job}?node=node-1")
    expect(page.get_by_role("log")).to_contain_text("3000 the quick", timeout=90_000)
    worst = page.evaluate(
        "() => new Promise((done) => { const took = []; let last = performance.now(); const tick = (now) => {"
        " took.push(now - last); last = now;"
        " took.length < 60 ? requestAnimationFrame(tick) : done(Math.max(...took)); };"
        " requestAnimationFrame(tick); })"
    )
    assert worst < 500
    assert page.locator(".log-row").count() < 300
    expect(page.get_by_label("Result of 3 nodes")).to_be_visible(timeout=30_000)


def five_thousand(node: dict[str, Any]) -> list[dict[str, Any]]:
    racks = [f"r{number:02}" for number in range(40)]
    return [
        {
            **node,
            "id": f"cell-{number:05}",
            "labels": {"rack": racks[number % 40]},
            "presence": "offline" if number % 50 == 0 else "online",
        }
        for number in range(5000)
    ]


def answer_with(page: Page, nodes: list[dict[str, Any]]) -> None:
    """The only answer that is made up here: five thousand nodes are not to be had on the machine of a test."""

    def answer(route: Route) -> None:
        found = re.search(r"cursor=(\d+)", route.request.url)
        begin = int(found.group(1)) if found else 0
        following = str(begin + 1000) if begin + 1000 < len(nodes) else None
        body = {"data": nodes[begin : begin + 1000], "code": 0, "message": "ok", "timestamp": "", "next": following}
        route.fulfill(status=200, content_type="application/json", body=json.dumps(body))

    page.route(re.compile(r"/api/v1/nodes(\?.*)?$"), answer)


def test_five_thousand_cells_are_drawn_within_a_frame_or_two(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/")
    answer_with(page, five_thousand(site.call("GET", "/nodes/sim-00001")))
    page.goto(f"{site.url}/nodes?view=picture&group=rack")
    expect(page.get_by_text("5000 nodes").or_(page.get_by_text("5,000 nodes")).first).to_be_visible()
    took = hover(page)
    print(f"5000 cells: {took}")
    assert took["median"] < 50


def test_five_thousand_rows_are_selected_within_a_moment(site: Site, open_page: Open) -> None:
    page, _ = open_page(site, "/")
    answer_with(page, five_thousand(site.call("GET", "/nodes/sim-00001")))
    page.goto(f"{site.url}/nodes")
    bar = page.get_by_role("region", name="Selected nodes")
    rows = page.get_by_role("row")
    page.get_by_label("Select cell-00000").click()
    expect(bar).to_contain_text("1 selected")
    took = {}
    for name, label in (("all", "Select all 5000 nodes that match"), ("one", "Select cell-00001")):
        took[name] = page.get_by_label(label).evaluate(
            "(box) => new Promise((done) => { const from = performance.now(); box.click();"
            " requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - from))); })"
        )
    expect(bar).to_contain_text("4999 selected")
    expect(bar.get_by_role("button", name="Run on them…")).to_be_disabled()
    expect(bar).to_contain_text("a selector holds 4096 characters")
    page.get_by_role("region", name="Nodes", exact=True).evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
    last = page.get_by_label("Select cell-04999")
    expect(last).to_be_checked()
    assert rows.count() < 80
    print(f"5000 rows: {took}")
    assert max(took.values()) < 500


def hover(page: Page) -> dict[str, float]:
    """Moves over the picture, which draws it anew each time; milliseconds of script a frame."""
    box = page.locator("canvas").first.bounding_box()
    assert box is not None
    page.evaluate(
        "() => { window.__took = []; const real = window.requestAnimationFrame.bind(window);"
        " window.requestAnimationFrame = (act) => real((now) => { const from = performance.now(); act(now);"
        " window.__took.push(performance.now() - from); }); }"
    )
    for step in range(60):
        page.mouse.move(box["x"] + 10 + step * 9, box["y"] + 40 + (step * 37) % max(60, int(box["height"]) - 60))
        page.wait_for_timeout(16)
    took = sorted(page.evaluate("window.__took"))
    assert len(took) >= 10
    return {"median": took[len(took) // 2], "worst": took[-1]}
