"""The command policy in force on this node: the server's latest, and the node's own file, which can only narrow it.

Both have to agree. A node-local file that cannot be read refuses everything: whoever wrote it wanted less, not more.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec
from corral.domain.policy import ALLOWED, Policy, Verdict, check, check_file, parse_mode, parse_policy, parse_rules
from corral.runtime.clock import Clock

log = logging.getLogger("corral.worker.guard")

_LOOK_SECONDS: Final = 1.0


@functools.lru_cache(maxsize=4)
def _read(rules: str, mode: str) -> Policy:
    """Simulated nodes share a process, and all of them the same rules."""
    return Policy(parse_rules(json.loads(rules)), parse_mode(mode))


class Guard:
    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._server = Policy()
        self._local = Policy()
        self._broken = ""
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self.revision = 0

    def adopt(self, revision: int, rules: Any, mode: Any = "") -> None:
        """Put the server's rules in force. Raises Invalid: then the old ones stay."""
        self._server = _read(json.dumps(rules), str(mode))
        self.revision = revision

    def check(self, spec: CommandSpec) -> Verdict:
        """Whether a command may run."""
        self._look()
        if self._broken:
            return Verdict(False, "policy.json", self._broken)
        if not self._server and not self._local:
            return ALLOWED
        return check(spec, self._server, self._local)

    def check_file(self, op: str, *, writes: Sequence[str] = (), removes: Sequence[str] = ()) -> Verdict:
        """Whether a file task may do this."""
        self._look()
        if self._broken:
            return Verdict(False, "policy.json", self._broken)
        return check_file(op, self._server, self._local, writes=writes, removes=removes)

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._read_local()

    def _read_local(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            data = json.loads(self._path.read_bytes())
            self._local, self._broken = parse_policy(data), ""
        except FileNotFoundError:
            self._seen, self._local, self._broken = None, Policy(), ""
        except (OSError, ValueError, Invalid) as error:
            self._broken = f"the node's own policy file cannot be read, so nothing may run: {error}"
            log.error("Cannot read %s: %s; every task is refused", self._path, error, extra={"action": "policy"})
