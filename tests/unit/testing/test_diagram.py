from __future__ import annotations

from pathlib import Path

from corral.testing.diagram import redraw, task_states

ROOT = Path(__file__).parents[3]


def test_the_diagrams_in_the_docs_are_the_tables_in_the_code() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    assert "stateDiagram-v2" in text
    assert redraw(text) == text, "run: python -m corral.testing.diagram docs/architecture.md"


def test_every_state_is_drawn() -> None:
    assert "queued --> delivered" in task_states() and "lost --> [*]" in task_states()
