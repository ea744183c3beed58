"""The files of the pages, read once from the package. Only names that are there are served: a path never becomes a file name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class WebFile:
    data: bytes
    media_type: str
    etag: str


def web_file(name: str) -> WebFile | None:
    return _all().get(name)


@cache
def _all() -> Mapping[str, WebFile]:
    found: dict[str, WebFile] = {}
    for entry in files("corral.server.interface.web").joinpath("static").iterdir():
        kind = _TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            data = entry.read_bytes()
            found[entry.name] = WebFile(data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    return found
