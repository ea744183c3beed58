"""Memory and imports of the node's long-lived processes, as they run: from the zipapp, with TLS on, linked (design section 6)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.testing.node_machine import NodeMachine, tls_engine

pytestmark = pytest.mark.engine
GOLDEN = Path(__file__).parents[1] / "golden"
BUDGET = {"daemon": 30_000_000, "worker": 50_000_000}
MARK = "corral-modules"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[NodeMachine]:
    machine = NodeMachine(tmp_path)
    yield machine
    machine.close()


@pytest.mark.parametrize("role", ["daemon", "worker"])
async def test_a_linked_process_stays_within_its_budget(role: str, machine: NodeMachine, tmp_path: Path) -> None:
    flags = ["--keep-worker", "false", "--beat-seconds", "0.2", "--metrics-seconds", "0.2"] if role == "daemon" else []
    async with tls_engine(tmp_path) as (engine, ca_pem):
        await engine.connect()
        machine.enrol(engine, ca_pem=ca_pem)
        child = machine.start(role, *flags)
        await machine.until(role, lambda s: s["linked"] and s.get("beats", 10) >= 10)
        status = Path(f"/proc/{child.pid}/status").read_text()
        resident = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident < BUDGET[role], f"{resident / 1e6:.1f} MB"


@pytest.mark.parametrize("role", ["daemon", "worker"])
def test_a_process_imports_what_its_golden_list_says(role: str, machine: NodeMachine) -> None:
    """Top-level modules (ours in full). Refresh with CORRAL_WRITE_GOLDEN=1 after deciding that a new one is worth its memory."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import corral.agent.main, corral.agent.settings; "
        f"import corral.agent.{role}.main; print('{MARK}', *sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code, str(machine.bundle)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    modules = done.stdout.split(MARK)[1].split()
    found = sorted({name if name.startswith("corral") else name.partition(".")[0] for name in modules})
    public = [name for name in found if not name.startswith("_")]
    golden = GOLDEN / f"modules_{role}.txt"
    if os.environ.get("CORRAL_WRITE_GOLDEN"):
        golden.write_text("\n".join(public) + "\n")
    expected = golden.read_text().split()
    if sys.version_info[:2] != (3, 11):  # the standard library's own imports differ by version; ours do not
        public = [name for name in public if name.startswith("corral")]
        expected = [name for name in expected if name.startswith("corral")]
    assert public == expected
