"""`corral up`: options in, exit status out."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from corral.domain.errors import CorralError
from corral.up.options import parse


def main(words: Sequence[str]) -> int:
    from corral.up.launch import launch

    try:
        options = parse(words)
        if not options.ephemeral:
            return asyncio.run(launch(options))
        with tempfile.TemporaryDirectory(prefix="corral-up-") as folder:
            return asyncio.run(launch(replace(options, data_dir=Path(folder))))
    except CorralError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
