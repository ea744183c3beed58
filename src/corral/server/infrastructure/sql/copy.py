"""A consistent copy of a live SQLite database: one moment of it, readers and the writer undisturbed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from corral.server.infrastructure.sql.errors import translate


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy `source` to the new file `target` (0600). Blocks: call it in a thread. Raises Unavailable, OutOfSpace."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    try:
        with sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30) as live:
            with sqlite3.connect(target) as copy:
                live.backup(copy)  # all pages in one step: one read transaction, one moment
                # The copy is a single file: no write-ahead log to forget.
                copy.execute("pragma journal_mode = delete")
            copy.close()
        live.close()
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise translate(error, str(source)) from error
