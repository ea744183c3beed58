"""The live view of a job under a flood: nodes x lines a second for so long, in Debian's chromium, against a real `corral up`.

python -m benchmarks.page --seconds 600
python -m benchmarks.page --nodes 10 --seconds 30

What a line says of its own time is compared with the page's clock when it stands on the page (the followed node's newest row):
that is the lag. Heap and resident memory are those of the page's process, live heap is what is left after a collection; a frame
is late when it took over 100 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from benchmarks.processes import tree, usage
from benchmarks.report import write

WRITER = """
import sys, time
seconds, lines = float(sys.argv[1]), int(sys.argv[2])
begun, tick = time.monotonic(), 0
while tick < seconds * 10:
    time.sleep(max(0.0, begun + tick / 10 - time.monotonic()))
    now = int(time.time() * 1000)
    sys.stdout.write("".join(f"{now} line {tick}.{n} the quick brown fox jumps over it\\n" for n in range(lines // 10)))
    sys.stdout.flush()
    tick += 1
"""
FRAMES = """() => {
  window.__frames = [];
  let last = performance.now();
  const tick = (now) => { window.__frames.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
}"""
LOOK = """() => {
  const frames = window.__frames; window.__frames = [];
  const rows = [...document.querySelectorAll('[role=log] .log-row')].map((row) => row.textContent ?? '');
  const times = rows.flatMap((text) => { const found = /(\\d{13}) line/.exec(text); return found ? [Number(found[1])] : []; });
  return {now: Date.now(), newest: times.length ? Math.max(...times) : 0, rows: rows.length, frames};
}"""
EVERY_SECONDS = 5.0
LATE_MS = 100.0
LIVE_EVERY_SECONDS = 60.0
"""How often what is really held is looked at, after a collection."""


@dataclass(frozen=True, kw_only=True)
class Site:
    url: str
    login: str
    token: str
    process: subprocess.Popen[str]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]


def started(folder: Path, nodes: int) -> Site:
    process = subprocess.Popen(
        [sys.executable, "-m", "corral", "up", "--port", "0", "--nodes", "0", "--sim", str(nodes)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"(http://127\.0\.0\.1:\d+)(/login\?code=\S+)", line):
            token = (folder / ".corral/server/admin.token").read_text().strip()
            site = Site(url=found.group(1), login=found.group(1) + found.group(2), token=token, process=process)
            while len(site.call("GET", "/nodes?presence=online")) < nodes:
                time.sleep(0.2)
            return site
    raise SystemExit("cannot start corral up")


def flood(page: Page, devtools: CDPSession, browser: int, seconds: float) -> dict[str, Any]:
    lags, heaps, live, resident, frames, most_rows = [], [], [], [], [], 0
    end = time.monotonic() + seconds
    look = time.monotonic() + LIVE_EVERY_SECONDS
    while time.monotonic() < end:
        page.wait_for_timeout(EVERY_SECONDS * 1000)
        seen = page.evaluate(LOOK)
        if seen["newest"]:
            lags.append(seen["now"] - seen["newest"])
        frames += seen["frames"]
        most_rows = max(most_rows, seen["rows"])
        metrics = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
        heaps.append(metrics["JSHeapUsedSize"] / 1e6)
        if time.monotonic() > look:
            look += LIVE_EVERY_SECONDS
            devtools.send("HeapProfiler.collectGarbage")
            after = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
            live.append(round(after["JSHeapUsedSize"] / 1e6, 1))
            page.evaluate("window.__frames = []")  # the frame that waited for this is ours
        resident.append(max(usage(pid).rss_bytes for pid in tree(browser)) / 1e6)
    half = len(heaps) // 2
    return {
        "lag_ms": {"p50": statistics.median(lags), "worst": max(lags)},
        "frame_ms": {"p50": round(statistics.median(frames), 1), "worst": round(max(frames), 1)},
        "late_frames_percent": round(100 * sum(frame > LATE_MS for frame in frames) / len(frames), 2),
        "frames_a_second": round(len(frames) / seconds, 1),
        "heap_mb": {"first_half_most": round(max(heaps[:half]), 1), "second_half_most": round(max(heaps[half:]), 1)},
        "live_heap_mb": live,
        "page_rss_mb": {
            "first_half_most": round(max(resident[:half])),
            "second_half_most": round(max(resident[half:])),
        },
        "rows_in_the_document_most": most_rows,
    }


def measure(nodes: int, lines: int, seconds: float) -> dict[str, Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if chromium is None:
        raise SystemExit("no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="corral-page-") as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        site = started(folder, nodes)
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            (folder / "writer.py").write_text(WRITER)
            shell = f"exec {sys.executable} -S {folder}/writer.py {seconds + 10} {lines}"
            order = {"target": "all", "shell": shell, "timeout": seconds + 120, "max_output": 256 << 20}
            page = browser.new_page()
            page.goto(site.login)
            page.wait_for_selector(".shell")
            job = site.call("POST", "/jobs", order)["job"]
            page.goto(f"{site.url}/jobs/{job}?node=sim-00001")
            page.get_by_role("log").wait_for()
            devtools = page.context.new_cdp_session(page)
            devtools.send("Performance.enable")
            page.evaluate(FRAMES)
            before = sum(usage(pid).cpu_seconds for pid in tree(site.process.pid))
            page_before = sum(usage(pid).cpu_seconds for pid in tree(os.getpid()))
            found = flood(page, devtools, os.getpid(), seconds)
            found["cores"] = {
                "corral_and_nodes": round(
                    (sum(usage(pid).cpu_seconds for pid in tree(site.process.pid)) - before) / seconds, 2
                ),
                "with_browser": round(
                    (sum(usage(pid).cpu_seconds for pid in tree(os.getpid())) - page_before) / seconds, 2
                ),
            }
            while (state := site.call("GET", f"/jobs/{job}?limit=1")["state"]) == "open":
                time.sleep(0.5)
            page.wait_for_timeout(3000)
            last = page.evaluate(LOOK)
            wanted = f"{int((seconds + 10) * 10) - 1}.{lines // 10 - 1}"
            found["ended"] = {"job": state, "last_line_stands_there": wanted in page.get_by_role("log").inner_text()}
            found["after_rows"] = last["rows"]
            return {"nodes": nodes, "lines_a_second_each": lines, "seconds": seconds, **found}
        finally:
            site.process.send_signal(signal.SIGTERM)
            site.process.wait(60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--lines", type=int, default=200, help="lines a second of each node")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", help="write the result there")
    options = parser.parse_args()
    result = measure(options.nodes, options.lines, options.seconds)
    write({"benchmark": "page", **result}, options.json)
    good = result["ended"]["last_line_stands_there"] and result["ended"]["job"] == "succeeded"
    print(f"lag p50 {result['lag_ms']['p50']} ms, worst {result['lag_ms']['worst']} ms; heap {result['heap_mb']}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
