"""`python -m corral.testing.chaos` (= `make chaos SEED=n`): carry out the faults and print the verdicts."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from corral.testing.chaos.catalogue import FAULTS
from corral.testing.chaos.ground import Fault, Scale
from corral.testing.chaos.run import run_fault, table

_EXAMPLES = """\
examples:
  python -m corral.testing.chaos --quick                 every fault, small: a few minutes
  python -m corral.testing.chaos --seed 7                every fault at the numbers of docs/reliability.md
  python -m corral.testing.chaos --seed 7 --only F2,F3   two of them again
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m corral.testing.chaos",
        description="Kill, pause and wipe real processes, then check that no promise broke.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="repeat the run of this seed (default: a new one, printed)")
    parser.add_argument("--only", metavar="F1,F2", help="these faults only")
    parser.add_argument("--quick", action="store_true", help="the short form the tests run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the history there")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy logs and databases there")
    parser.add_argument("--list", action="store_true", help="say which faults there are")
    options = parser.parse_args(words)
    known = {fault.name: fault for fault in FAULTS}
    names = list(known) if options.only is None else options.only.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no fault {unknown[0]!r}; there are {', '.join(known)}")
    options.faults = [known[name] for name in names]
    return options


async def _run(options: argparse.Namespace) -> int:
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    scale: Scale = "ci" if options.quick else "full"
    print(f"seed {seed}, scale {scale}", flush=True)
    # asked to stop we still end what we started
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    records = []
    for fault in options.faults:
        record = await run_fault(fault, seed=seed, scale=scale, keep=options.keep)
        records.append(record)
        print(f"{record.line()}  {json.dumps(dict(record.outcome.figures))}", flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps({"seed": seed, "faults": [r.json() for r in records]}, indent=1))
    print(f"\n{table(records)}\nseed {seed}")
    return 0 if all(record.outcome.ok for record in records) else 1


def _list(faults: Sequence[Fault]) -> int:
    for fault in faults:
        print(f"{fault.name:<5} {fault.title:<34} {fault.asked}")
    return 0


def main(words: Sequence[str]) -> int:
    options = parse(words)
    return _list(options.faults) if options.list else asyncio.run(_run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
