"""`python -m corral.server.interface.web.describe [--check] FILE`: the API's description as the page's types are made from it.

Nothing runs for it: the document is made from the route table alone. `--check` writes nothing and exits 1 when FILE is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing
from collections.abc import Sequence
from pathlib import Path

from corral.server.application.ports.access import Caller
from corral.server.interface.rest.openapi import Document
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.table import ROUTES

_APPLICATION = "corral.server.application."


def described() -> str:
    """The document as stable text: the version is left out, so that a release alone does not make it stale."""
    rooms = {name: None for route in ROUTES for name in _rooms(route)}
    document = json.loads(Document(ROUTES, rooms, version="0").json())
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _rooms(route: Route) -> list[str]:
    """What a handler is given by the server instead of the request: objects of the application, and not who calls."""
    hints = typing.get_type_hints(route.handler)
    return [
        name
        for name, kind in hints.items()
        if isinstance(kind, type) and kind is not Caller and kind.__module__.startswith(_APPLICATION)
        if name != "return"
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="describe", description="Write the API's description for the page.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="only say whether the file is as it should be")
    given = parser.parse_args(arguments)
    text = described()
    if not given.check:
        given.file.write_text(text, encoding="utf-8")
        return 0
    if given.file.is_file() and given.file.read_text(encoding="utf-8") == text:
        return 0
    print(f"cannot use {given.file}: the API has changed since it was written", file=sys.stderr)
    print("hint: make ui-types", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
