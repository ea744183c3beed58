"""Every benchmark after the other: `python -m benchmarks`, JSON into bench-<name>.json."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("selector", "fanout", "cli", "output", "files", "node", "api", "audit", "page", "scale")


def main() -> int:
    failed = []
    for name in NAMES:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--json", f"bench-{name}.json"]).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
