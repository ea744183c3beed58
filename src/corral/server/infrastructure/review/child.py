"""`python -m corral.server.infrastructure.review.child`: one review, in a process whose memory and time are limited.

stdin is {"engine", "texts"}, stdout {"statements": […]} or {"refused": "why"}. sqlglot is imported here and nowhere else.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from dataclasses import asdict
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.executors.sqltask import STATEMENTS_MAX
from corral.server.infrastructure.review.judge import judge
from corral.server.infrastructure.review.split import split

MEMORY_BYTES: Final = 1 << 30
CPU_SECONDS: Final = 5
NICE: Final = 10


def answer(document: dict[str, Any]) -> dict[str, Any]:
    engine = document["engine"]
    try:
        pieces = [piece for text in document["texts"] for piece in split(engine, text)]
    except Invalid as error:
        return {"refused": error.message}
    if len(pieces) > STATEMENTS_MAX:
        return {"refused": f"cannot review {len(pieces)} statements at once: at most {STATEMENTS_MAX}"}
    return {"statements": [asdict(judge(engine, piece)) for piece in pieces]}


def main() -> None:
    logging.disable(logging.CRITICAL)  # sqlglot warns of every statement it knows by its first word only
    os.nice(NICE)  # the server's own loop comes first
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))


if __name__ == "__main__":
    main()
