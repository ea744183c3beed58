"""A managed machine: identity, what the server says of it (labels, groups), what it says of itself (facts), and presence.

Labels and groups belong to the server; facts are the node's own claim, and no grant, approval or secret may depend on one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from corral.domain.errors import Invalid

LABEL_KEY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?\Z")
LABEL_VALUE_CHARS: Final = 256
GROUP: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z")


class Presence(StrEnum):
    """Whether the node's daemon is connected. `unknown` = enrolled, never seen."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One managed machine as the server sees it. Times are aware UTC."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    facts: Mapping[str, Any] = field(default_factory=dict)
    presence: Presence = Presence.UNKNOWN
    presence_since: datetime | None = None
    presence_reason: str = ""
    worker_down: bool = False
    last_seen: datetime | None = None
    enrolled_at: datetime | None = None
    daemon_key: str = ""
    worker_key: str = ""
    resource_version: int = 1
    revoked: bool = False
    revoked_reason: str = ""


def check_label(key: str, value: str) -> None:
    """Raise Invalid when `key`=`value` cannot be a label."""
    if LABEL_KEY.match(key) is None:
        raise Invalid(
            f"cannot use {key!r} as a label key: expected 1-63 characters A-Z a-z 0-9 _ . / -",
            element="labels",
            hint="example: role=web",
        )
    if len(value) > LABEL_VALUE_CHARS or any(ord(c) < 32 for c in value):
        raise Invalid(
            f"cannot use {value[:40]!r} as the value of label {key!r}: expected at most {LABEL_VALUE_CHARS} printable characters",
            element="labels",
        )


def check_group(name: str) -> None:
    """Raise Invalid when `name` cannot be a group."""
    if GROUP.match(name) is None:
        raise Invalid(
            f"cannot use {name!r} as a group: expected 1-63 characters A-Z a-z 0-9 _ . -",
            element="groups",
            hint="example: canary",
        )


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """What becomes of the labels and groups of a node. `groups` replaces them all (None: as they are); then come `add` and `drop`."""

    merge: Mapping[str, str] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    groups: frozenset[str] | None = None
    add: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()

    def labels_of(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {key: value for key, value in labels.items() if key not in self.remove} | dict(self.merge)

    def groups_of(self, groups: frozenset[str]) -> frozenset[str]:
        return ((groups if self.groups is None else self.groups) | self.add) - self.drop

    def check(self) -> None:
        """Raise Invalid naming the part that cannot be."""
        for key, value in self.merge.items():
            check_label(key, value)
        for group in (*(self.groups or ()), *self.add, *self.drop):
            check_group(group)
        if self.groups is not None and (self.add or self.drop):
            raise Invalid(
                "cannot replace the groups and also add or remove some: expected one of both",
                element="groups",
                hint="groups holds all of them; leave it out to change some",
            )
        if both := self.add & self.drop:
            raise Invalid(
                f"cannot add group {min(both)!r} and remove it too",
                element="remove_groups",
                hint="leave one of them out",
            )


def relabelling(
    *,
    labels: Mapping[str, str | None] | None = None,
    groups: Iterable[str] | None = None,
    add_groups: Iterable[str] | None = None,
    remove_groups: Iterable[str] | None = None,
) -> Relabelling:
    """As people say it: a label of None is removed. Raises Invalid when nothing is said at all."""
    if (labels, groups, add_groups, remove_groups) == (None, None, None, None):
        raise Invalid(
            "cannot change the node: expected labels or groups",
            element="labels",
            hint="example: corral node set web-1 --labels role=web,old- --add-groups canary",
        )
    said = labels or {}
    return Relabelling(
        merge={key: value for key, value in said.items() if value is not None},
        remove=frozenset(key for key, value in said.items() if value is None),
        groups=None if groups is None else frozenset(groups),
        add=frozenset(add_groups or ()),
        drop=frozenset(remove_groups or ()),
    )


def parse_labels(text: str) -> tuple[dict[str, str], frozenset[str]]:
    """`k=v,k2=v2,gone-` → ({k: v, k2: v2}, {gone}): what to merge and what to remove.

    Raises Invalid naming the part that is neither.
    """
    merge: dict[str, str] = {}
    remove: set[str] = set()
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, eq, value = part.partition("=")
        if eq:
            check_label(key, value)
            merge[key] = value
        elif part.endswith("-"):
            remove.add(part[:-1])
        else:
            raise Invalid(
                f"cannot read label {part!r}: expected key=value, or key- to remove it",
                element="labels",
                hint="example: role=web,old-",
            )
    return merge, frozenset(remove)
