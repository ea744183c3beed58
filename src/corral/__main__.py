"""`corral …`: the first word picks the module, lazily, so that `corral agent …` on a node never imports a library."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final

_NODE_VERBS: Final = frozenset({"daemon", "worker", "enroll", "renew", "status"})
"""`corral agent <verb>` that run on a node, from the zipapp, with the standard library only."""


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["agent"] and (words[1:2] and words[1] in _NODE_VERBS):
        return _call("corral.agent.main", words[1:])
    if words[:1] == ["server"]:
        return _call("corral.server.main", words[1:])
    if words[:1] == ["up"]:
        return _call("corral.up.main", words[1:])
    if words[:1] == ["sim"]:
        return _call("corral.testing.sim.main", words[1:])
    return _call("corral.cli.main", words)


def _call(module: str, words: Sequence[str]) -> int:
    """Every entry module offers `main(words) -> exit status`."""
    try:
        entry = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("corral"):
            raise
        extra = "cli" if module.startswith("corral.cli") else "server"
        print(f"cannot start: {error.name!r} is not installed\nhint: pip install 'corral[{extra}]'", file=sys.stderr)
        return 1
    result: int = entry.main(words)
    return result


if __name__ == "__main__":
    sys.exit(main())
