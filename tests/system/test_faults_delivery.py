"""Faults at the small scale, one test each: processes die, pause, lie; no promise of docs/delivery.md breaks.

CORRAL_SEED repeats a run: the seed is in the failure's message. The numbers of docs/reliability.md come from `make chaos`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from corral.testing.chaos.catalogue import FAULTS
from corral.testing.chaos.run import run_fault

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(240)]
SEED = int(os.environ.get("CORRAL_SEED") or secrets.randbelow(10**6))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_no_promise_breaks_under(fault: object, tmp_path: Path) -> None:
    record = await run_fault(fault, seed=SEED, scale="ci", keep=tmp_path / "kept")  # type: ignore[arg-type]  # of FAULTS
    if "skipped" in record.outcome.figures:
        pytest.skip(str(record.outcome.figures["skipped"]))
    assert record.outcome.ok, f"seed {SEED}: {list(record.outcome.problems)}"
    assert record.outcome.ran > 0
