"""The files room as interfaces receive it: one object per use case, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.files.clearing import Clearing
from corral.server.application.files.revisions import Revisions
from corral.server.application.files.uploads import Uploads
from corral.server.application.files.whereabouts import Whereabouts


@dataclass(frozen=True, kw_only=True)
class FileRoom:
    uploads: Uploads
    revisions: Revisions
    clearing: Clearing
    whereabouts: Whereabouts
