"""How fast the registry answers selectors on a large fleet.

    python -m benchmarks.selector [--nodes 10000] [--rounds 50] [--json FILE]

Each figure is the whole way from text to the sorted list of ids. `first` parses the text too, `median` finds the tree remembered.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from datetime import UTC, datetime

from corral.domain.node import Node, Presence
from corral.domain.selector.parser import parse
from corral.server.application.nodes.registry import Registry

SELECTORS = {
    "all": "all",
    "three terms": 'labels["role"] == "web" and not ("canary" in groups) and online',
    "three terms, pattern": 'labels["rack"] =~ "^r1[0-9]$" and facts["mem_total"] >= 16GiB and online',
    "three terms, glob": 'node-*7* and version(facts["kernel"]) < "6.5" and labels["env"] in ["prod", "stage"]',
    "distinct fact": 'facts["hostname"] == "host-4711.example"',
    "distinct fact, pattern": 'facts["hostname"] =~ "^host-47.*e$"',
}


def fleet(size: int) -> Registry:
    registry = Registry()
    gib, now = 1 << 30, datetime(2027, 1, 1, tzinfo=UTC)
    registry.load(
        Node(
            id=f"node-{i:05d}",
            labels={
                "role": ("web", "db", "cache")[i % 3],
                "rack": f"r{i % 40}",
                "env": ("prod", "stage", "dev")[i % 7 % 3],
            },
            groups=frozenset({"canary"} if i % 10 == 0 else ()),
            facts={
                "hostname": f"host-{i}.example",
                "boot_id": f"{i * 7919:032x}",
                "mem_total": (8 + i % 64) * gib,
                "kernel": f"6.{i % 9}.0-{i % 30}-amd64",
            },
            presence=Presence.ONLINE if i % 20 else Presence.OFFLINE,
            enrolled_at=now,
        )
        for i in range(size)
    )
    return registry


def measure(registry: Registry, selector: str, rounds: int) -> dict[str, float]:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        chosen = registry.ids(selector)
        times.append((time.perf_counter() - start) * 1000)
    parse.cache_clear()
    start = time.perf_counter()
    registry.ids(selector)
    first = (time.perf_counter() - start) * 1000
    return {"picked": len(chosen), "first_ms": round(first, 3), "median_ms": round(statistics.median(times), 3)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--nodes", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=50)
    options.add_argument("--json")
    chosen = options.parse_args()
    start = time.perf_counter()
    registry = fleet(chosen.nodes)
    result = {
        "nodes": chosen.nodes,
        "load_ms": round((time.perf_counter() - start) * 1000, 1),
        "selectors": {name: measure(registry, text, chosen.rounds) for name, text in SELECTORS.items()},
    }
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(result, file, indent=1)
    print(json.dumps(result))
    worst = max(figures["median_ms"] for name, figures in result["selectors"].items() if name.startswith("three"))
    print(f"{chosen.nodes} nodes: three-term selectors in at most {worst} ms (aim: 5 ms)", file=sys.stderr)


if __name__ == "__main__":
    main()
