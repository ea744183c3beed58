"""The fleet's policy as people write it: ordered rules, each perhaps only for some nodes (`selector`) or some roles.

A node gets what it can decide: the deny rules whose selector picks it and that are for everybody, and the allow rules. It never
learns who asked, so a deny rule for roles is the server's alone, and an allow rule for roles reaches the node as one for everybody:
the server has refused everybody else before. A rule that asks for approval holds a job back at the server; a refusal wins over it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from corral.domain.errors import Conflict, Invalid, NotFound, TooMany
from corral.domain.policy import Mode, Policy, PolicyRule, parse_rules
from corral.domain.selector.standing import check_standing

EVERYWHERE: Final = "all"
RULES_MAX: Final = 200
POLICY_CHARS_MAX: Final = 64 << 10
"""All rules as JSON: they travel in one message."""
MATCH_CHARS_MAX: Final = 8192
COMMENT_CHARS_MAX: Final = 500
_ID: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_ROLE: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_KEYS: Final = frozenset({"id", "effect", "match", "roles", "selector", "comment"})


class Effect(StrEnum):
    DENY = "deny"
    ALLOW = "allow"
    APPROVAL = "approval"


@dataclass(frozen=True, kw_only=True)
class FleetRule:
    """`match` is that of domain.policy; empty `roles` = everybody."""

    id: str
    effect: Effect
    match: Mapping[str, Sequence[str]]
    roles: tuple[str, ...] = ()
    selector: str = EVERYWHERE
    comment: str = ""
    parsed: PolicyRule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parsed", parse_rules([self.for_node()])[0])

    def for_node(self) -> dict[str, Any]:
        """As a node reads it."""
        effect = Effect.ALLOW if self.effect is Effect.ALLOW else Effect.DENY
        return {"id": self.id, "effect": effect.value, "match": {k: list(v) for k, v in self.match.items()}}

    def as_mapping(self) -> dict[str, Any]:
        """As people write it: what is left at its default is left out."""
        out: dict[str, Any] = {**self.for_node(), "effect": self.effect.value}
        if self.roles:
            out["roles"] = list(self.roles)
        if self.selector != EVERYWHERE:
            out["selector"] = self.selector
        if self.comment:
            out["comment"] = self.comment
        return out


@dataclass(frozen=True, kw_only=True)
class FleetPolicy:
    """All rules at one revision; every change is revision + 1."""

    revision: int
    rules: tuple[FleetRule, ...] = ()
    mode: Mode = Mode.DENY_LIST

    def on_node(self, covers: Callable[[str], bool]) -> list[dict[str, Any]]:
        """What is sent to a node; `covers` says whether a selector picks it."""
        return [rule.for_node() for rule in self.rules if _sent(rule) and covers(rule.selector)]

    def sent_selectors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule.selector for rule in self.rules if _sent(rule) and rule.selector != EVERYWHERE))

    def refusing(self, applies: Callable[[FleetRule], bool]) -> Policy:
        """What decides for somebody on some node."""
        return Policy(tuple(r.parsed for r in self.rules if r.effect is not Effect.APPROVAL and applies(r)), self.mode)

    def asking(self, applies: Callable[[FleetRule], bool]) -> Policy:
        """What decides whether a second person is asked: an allow rule before the asking one is an exception from it."""
        rules = [r for r in self.rules if r.effect is not Effect.DENY and applies(r)]
        asks = any(rule.effect is Effect.APPROVAL for rule in rules)
        return Policy(tuple(rule.parsed for rule in rules) if asks else (), Mode.DENY_LIST)


def _sent(rule: FleetRule) -> bool:
    return rule.effect is Effect.ALLOW or (rule.effect is Effect.DENY and not rule.roles)


def parse_fleet_rules(data: Any) -> tuple[FleetRule, ...]:
    """Raises Invalid or BadSelector naming the rule, TooMany; ids are unique."""
    if not isinstance(data, (list, tuple)):
        raise Invalid("cannot read the policy: expected a list of rules", element="rules")
    if len(data) > RULES_MAX:
        raise TooMany(f"cannot keep {len(data)} rules: at most {RULES_MAX}", element="rules")
    rules = tuple(parse_fleet_rule(rule) for rule in data)
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise Conflict(f"cannot keep two rules called {rule.id!r}", element=rule.id, hint="give each its own id")
        seen.add(rule.id)
    size = len(json.dumps([rule.as_mapping() for rule in rules]))
    if size > POLICY_CHARS_MAX:
        raise TooMany(f"cannot keep a policy of {size} characters: at most {POLICY_CHARS_MAX}", element="rules")
    return rules


def parse_fleet_rule(data: Any) -> FleetRule:
    if not isinstance(data, Mapping):
        raise Invalid("cannot read a policy rule: expected an object", element="rules")
    name = data.get("id")
    if not isinstance(name, str) or _ID.fullmatch(name) is None:
        raise Invalid(
            f"cannot name a policy rule {str(name)[:64]!r}: expected 1-63 characters a-z, 0-9, '.', '_' and '-'",
            element="id",
            hint="for example no-reboot",
        )
    if unknown := sorted(map(str, set(data) - _KEYS)):
        raise Invalid(f"cannot read policy rule {name!r}: it has no {unknown[0][:40]!r}", element=name)
    effect = _effect(name, data.get("effect"))
    selector, comment = data.get("selector") or EVERYWHERE, data.get("comment") or ""
    if not isinstance(selector, str) or not isinstance(comment, str) or len(comment) > COMMENT_CHARS_MAX:
        raise Invalid(
            f"cannot read policy rule {name!r}: selector and comment are texts, a comment of at most {COMMENT_CHARS_MAX}",
            element=name,
        )
    check_standing(selector)
    match = data.get("match")
    if len(str(match)) > MATCH_CHARS_MAX:
        raise Invalid(f"cannot keep policy rule {name!r}: its match is too large", element=name)
    # says what is wrong with the match; the effect is known to be right
    parse_rules([{"id": name, "effect": "deny", "match": match}])
    roles = data.get("roles") or ()
    if not isinstance(roles, (list, tuple)) or not all(isinstance(r, str) and _ROLE.fullmatch(r) for r in roles):
        raise Invalid(f"cannot read policy rule {name!r}: roles is a list of role names", element=name)
    return FleetRule(
        id=name,
        effect=effect,
        match={str(key): tuple(value) for key, value in dict(match or {}).items()},
        roles=tuple(roles),
        selector=selector,
        comment=comment,
    )


def _effect(name: str, text: Any) -> Effect:
    try:
        return Effect(text)
    except ValueError:
        raise Invalid(
            f"cannot read policy rule {name!r}: expected effect deny, allow or approval, not {str(text)[:40]!r}",
            element=name,
            hint='example: {"id": "no-reboot", "effect": "deny", "match": {"program": ["reboot"]}}',
        ) from None


# --- editing ----------------------------------------------------------------------------------------------------------


def with_rule(rules: Sequence[FleetRule], rule: FleetRule, position: int | None) -> tuple[FleetRule, ...]:
    """`rule` in the place of the one of its id, or last; at `position` (from 1) when that is given."""
    kept = [other for other in rules if other.id != rule.id]
    if position is None:
        at = next((index for index, other in enumerate(rules) if other.id == rule.id), len(kept))
    else:
        at = _place(position, len(kept) + 1)
    return parse_again([*kept[:at], rule, *kept[at:]])


def moved(rules: Sequence[FleetRule], name: str, position: int) -> tuple[FleetRule, ...]:
    """Raises NotFound."""
    return with_rule(rules, rule_named(rules, name), position)


def without(rules: Sequence[FleetRule], name: str) -> tuple[FleetRule, ...]:
    """Raises NotFound."""
    gone = rule_named(rules, name)
    return tuple(rule for rule in rules if rule is not gone)


def rule_named(rules: Iterable[FleetRule], name: str) -> FleetRule:
    found = next((rule for rule in rules if rule.id == name), None)
    if found is None:
        raise NotFound(f"cannot find policy rule {name!r}", element="rule", hint="corral policy list")
    return found


def parse_again(rules: Sequence[FleetRule]) -> tuple[FleetRule, ...]:
    return parse_fleet_rules([rule.as_mapping() for rule in rules])


def _place(position: int, last: int) -> int:
    if not 1 <= position <= last:
        raise Invalid(f"cannot put a rule at position {position}: expected 1 to {last}", element="position")
    return position - 1


def roles_in(rules: Iterable[FleetRule]) -> Collection[str]:
    return {role for rule in rules for role in rule.roles}
