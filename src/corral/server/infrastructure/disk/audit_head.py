"""The newest signed head of the audit chain in a file beside the database (ports/audit.py Witness).

It is not in a backup: after a restore the record really is shorter than what was signed, and removing the file is how somebody
says that he knows.
"""

from __future__ import annotations

import json
from pathlib import Path

from corral.domain.audit import Checkpoint, CheckpointKind
from corral.runtime.files import write_atomic


class HeadFile:
    """Written at most once a second while something happens; losing the last write costs one second of proof."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: Checkpoint | None = None
        self._read = False

    def load(self) -> Checkpoint | None:
        """None when there is none, or none that can be read."""
        if self._kept is not None and not self._path.exists():
            self._kept = None
        if not self._read:
            self._read, self._kept = True, self._from_file()
        return self._kept

    def keep(self, checkpoint: Checkpoint) -> None:
        fields = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
        write_atomic(self._path, json.dumps(fields).encode(), durable=False)
        self._kept = checkpoint

    def _from_file(self) -> Checkpoint | None:
        try:
            data = json.loads(self._path.read_bytes())
            return Checkpoint(**data | {"kind": CheckpointKind(data["kind"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
