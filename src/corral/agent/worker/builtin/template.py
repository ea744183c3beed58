"""Templates of file tasks: {{ node.id }}, {{ facts.<name> }} and {{ labels.<name> }}, and nothing else.

No expression, no filter, nothing is evaluated: a placeholder is replaced by one text, once. What looks like a placeholder and is
none fails by its name, so a typing error never reaches a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from corral.agent.worker.builtin.errors import TaskFailed

_PLACEHOLDER: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME: Final = re.compile(r"(node|facts|labels)\.([A-Za-z0-9_][A-Za-z0-9_./-]{0,99})\Z")
_KNOWN: Final = "known are {{ node.id }}, {{ facts.<name> }} and {{ labels.<name> }}"

Names = Mapping[str, Mapping[str, Any]]


class Variables(Mapping[str, Mapping[str, Any]]):
    """node, facts and labels of this node. Facts are collected when the first is asked for, at most once."""

    def __init__(self, node_id: str, labels: Mapping[str, Any], facts: Callable[[], Mapping[str, Any]]) -> None:
        self._groups: dict[str, Mapping[str, Any]] = {"node": {"id": node_id}, "labels": labels}
        self._collect = facts

    def __getitem__(self, group: str) -> Mapping[str, Any]:
        if group == "facts" and group not in self._groups:
            self._groups[group] = self._collect()
        return self._groups[group]

    def __iter__(self) -> Any:
        return iter(("node", "facts", "labels"))

    def __len__(self) -> int:
        return 3


def render(text: str, names: Names) -> str:
    """`text` with every placeholder replaced. Raises TaskFailed naming the one that is not known."""
    return _render(text, names, "the content")


def render_path(path: str, names: Names) -> str:
    """Like `render`, for a path: a value may be one part of a name and never a step to another folder."""
    return _render(path, names, "dest", path=True)


def render_bytes(data: bytes, names: Names) -> bytes:
    """Raises TaskFailed also when `data` is not text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise TaskFailed(
            "cannot render the template: it is not UTF-8 text", hint="leave --template away for binary files"
        ) from None
    return render(text, names).encode()


def _render(text: str, names: Names, what: str, *, path: bool = False) -> str:
    def value_of(match: re.Match[str]) -> str:
        inner = match.group(1).strip()
        found = _NAME.match(inner)
        if found is None:
            raise TaskFailed(f"cannot render {what}: {inner[:60]!r} is not a name", hint=_KNOWN)
        group, name = found.groups()
        value = names[group].get(name)
        if value is None or (group == "node" and name != "id"):
            raise TaskFailed(f"cannot render {what}: this node has no {group}.{name}", hint=_KNOWN)
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif not isinstance(value, (str, int, float)):
            raise TaskFailed(f"cannot render {what}: {group}.{name} is not a single value")
        word = str(value)
        if path and ("/" in word or "\0" in word or word in ("", ".", "..")):
            raise TaskFailed(f"cannot render {what}: {group}.{name} is {word[:60]!r}, which cannot be part of a path")
        return word

    return _PLACEHOLDER.sub(value_of, text)
