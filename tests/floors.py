"""Hold the coverage floors of OSF-22: application 80 %, sql 70 %, executors 80 %. Prints each; exits 1 below a floor."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FLOORS = {
    "src/corral/server/application/": 80.0,
    "src/corral/server/infrastructure/sql/": 70.0,
    "src/corral/agent/worker/": 80.0,
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(out)], check=True)
        files = json.loads(out.read_text())["files"]
    failed = False
    for prefix, floor in FLOORS.items():
        totals = [data["summary"] for name, data in files.items() if name.startswith(prefix)]
        statements = sum(t["num_statements"] for t in totals)
        covered = sum(t["covered_lines"] for t in totals)
        percent = 100 * covered / statements if statements else 0.0
        verdict = "ok" if percent >= floor else "BELOW"
        print(f"coverage {prefix}: {percent:.1f} % (floor {floor:.0f} %) {verdict}")
        failed |= percent < floor
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
