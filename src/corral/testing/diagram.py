"""Draws the state diagrams in the docs from the transition tables: `python -m corral.testing.diagram docs/architecture.md`.

Between `<!-- diagram: NAME -->` and `<!-- end -->` the text is replaced. With --check nothing is written and a difference is an
error, so that a diagram can never tell another story than the table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from corral.domain.rollout_state import TERMINAL as ROLLOUT_TERMINAL
from corral.domain.rollout_state import TRANSITIONS as ROLLOUT_TRANSITIONS
from corral.domain.rollout_state import RolloutState
from corral.domain.task import TERMINAL, TRANSITIONS, TaskState


def task_states() -> str:
    """The mermaid text of domain.task.TRANSITIONS; terminal states that every open state may reach are drawn once per edge."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> queued"]
    for state in TaskState:
        lines += [f"    {state.value} --> {new.value}" for new in TaskState if new in TRANSITIONS[state]]
    lines += [f"    {state.value} --> [*]" for state in TaskState if state in TERMINAL]
    return "\n".join([*lines, "```"])


def rollout_states() -> str:
    """The mermaid text of domain.rollout.TRANSITIONS."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> created"]
    for state in RolloutState:
        lines += [f"    {state.value} --> {new.value}" for new in RolloutState if new in ROLLOUT_TRANSITIONS[state]]
    lines += [f"    {state.value} --> [*]" for state in RolloutState if state in ROLLOUT_TERMINAL]
    return "\n".join([*lines, "```"])


DIAGRAMS = {"task": task_states, "rollout": rollout_states}


def redraw(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        return f"<!-- diagram: {match[1]} -->\n{DIAGRAMS[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- diagram: (\w+) -->.*?<!-- end -->", replace, text, flags=re.DOTALL)


def main(words: Sequence[str]) -> int:
    check = "--check" in words
    stale = 0
    for path in (Path(word) for word in words if not word.startswith("--")):
        old = path.read_text()
        new = redraw(old)
        if new != old:
            stale += 1
            print(f"{path}: diagrams are stale" if check else f"{path}: redrawn")
            if not check:
                path.write_text(new)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
