"""The files of the pages, read once from the package. Only names that are there are served: a path never becomes a file name.

`dist` is what `make ui` builds: `index.html`, which every page of the application begins with, and `assets/`, whose names carry a
hash of their content, so a browser may keep them for ever. `static` is written by hand: the API's description and its looks.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

PAGES: Final = (
    "/",
    "/nodes",
    "/nodes/{node}",
    "/run",
    "/jobs",
    "/jobs/{job}",
    "/rollouts",
    "/rollouts/{rollout}",
    "/files",
    "/access",
    "/access/{part}",
)
"""Addresses inside the application: each is answered with the same page, which reads its own address."""

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class WebFile:
    data: bytes
    packed: bytes
    """The same, compressed once for everybody who takes gzip."""
    media_type: str
    etag: str
    hashed: bool = False
    """Its name changes with its content."""

    @property
    def headers(self) -> dict[str, str]:
        kept = "public, max-age=31536000, immutable" if self.hashed else "no-cache"
        return {"Cache-Control": kept, "ETag": self.etag, "Vary": "Accept-Encoding"}


def web_file(name: str) -> WebFile | None:
    """`docs.html`, or `assets/…` of the application."""
    return _all().get(name)


@cache
def _all() -> Mapping[str, WebFile]:
    package = files("corral.server.interface.web")
    found = dict(_folder(package.joinpath("static"), ""))
    built = package.joinpath("dist")
    if built.is_dir():
        found.update(_folder(built, ""))
        found.update(_folder(built.joinpath("assets"), "assets/"))
    return found


def _folder(folder: Traversable, prefix: str) -> Iterator[tuple[str, WebFile]]:
    for entry in folder.iterdir():
        kind = _TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            data = entry.read_bytes()
            etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            yield prefix + entry.name, WebFile(data, gzip.compress(data, mtime=0), kind, etag, hashed=bool(prefix))
