"""The first start: one admin token, in <data>/admin.token (0600), for `corral up` and for whoever runs `corral server`.

The file is written before the token is stored: a crash between the two leaves a file whose token the next start stores.
"""

from __future__ import annotations

from pathlib import Path

from corral.runtime.files import write_atomic
from corral.server.application.access.tokens import PREFIX, ApiTokens, new_secret


async def bootstrap_admin(data_dir: Path, tokens: ApiTokens) -> Path | None:
    """The file of a token made just now; None when tokens exist already."""
    path = data_dir / "admin.token"

    def secret() -> str:
        found = path.read_text().strip() if path.exists() else ""
        if found.startswith(PREFIX):
            return found
        made = new_secret()
        write_atomic(path, f"{made}\n".encode(), mode=0o600)
        return made

    return path if await tokens.bootstrap(secret) is not None else None
