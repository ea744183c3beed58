"""The command policy: ordered allow and deny rules over what a task would run. A guard rail, never the boundary.

A rule is {"id", "effect": "deny" | "allow", "match": {…}}. Every key given in `match` has to hold:
  program  [globs]  base name of the command, wrappers such as sudo, env, nohup, xargs and `sh -c` looked through
  args     [globs]  one of the arguments matches one of them; of an allow rule, every argument does
  argv     [globs]  program and arguments one by one; a last "**" stands for any rest
  removes  [paths]  a recursive rm (find -delete, …) of one of these; "/x" = x itself, "/x/*" = x and what is
                   right in it, "/x/**" = x and all below
  changes  [paths]  a recursive chmod, chown or the like of one of these, and moving one away
  writes   [globs]  the target of a redirection, of tee, or of dd of=
  fed_by   [globs]  what it reads comes from one of these programs: earlier in its pipeline, or in a substitution of its words
  text     [globs]  the whole text (argv joined by blanks)
Per simple command the first rule that matches decides; an allow rule covers only what is plain: literal words, writing only to what
its `writes` names, and where it names paths in `removes` or `changes`, only those. What the other commands may do depends on the mode:
  deny-list   whatever no deny rule matches; an allow rule is an exception from the deny rules behind it
  allow-list  nothing, and a shell text or script never: only commands of plain words that an allow rule matches
  (none)      as deny-list without any allow rule; with one, only what it matches, every text readable and every word literal
Each of several policies has to agree, so a node-local one can only narrow. Linear in the text: globs know only `*` and `?`; no
regular expression of a user is ever run.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from corral.domain.effects import shell_glob
from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec
from corral.domain.lookthrough import Command
from corral.domain.policy_reading import Reading, readings
from corral.domain.shelltext import TEXT_BYTES_MAX

_KEYS: Final = ("program", "args", "argv", "removes", "changes", "writes", "fed_by", "text")
ALLOW_LIST_RULE: Final = "allow-list"
TOO_LONG_RULE: Final = "too-long"
FILE_PROGRAM: Final = "corral-file"
"""What a policy rule calls the program of a file task: its argv is `corral-file <op> <path>`."""
_HARMLESS: Final = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})

SYSTEM_PATHS: Final = (
    "/", "/bin/**", "/boot/**", "/dev/**", "/etc/**", "/home", "/lib/**", "/lib32/**", "/lib64/**", "/media", "/mnt", "/opt",
    "/proc/**", "/root", "/run", "/sbin/**", "/srv", "/sys/**", "/usr/**", "/var", "/var/lib", "/var/log", "/var/spool",
    "/tmp",  # noqa: S108  # a path to guard, not a place to write to
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PolicyRule:
    id: str
    deny: bool
    program: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    fed_by: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


class Mode(StrEnum):
    """What may run that no rule matches."""

    DENY_LIST = "deny-list"
    ALLOW_LIST = "allow-list"
    BY_RULES = ""


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[PolicyRule, ...] = ()
    mode: Mode = Mode.BY_RULES

    def __bool__(self) -> bool:
        return bool(self.rules) or self.mode is Mode.ALLOW_LIST

    @property
    def strict(self) -> bool:
        """Whether only what an allow rule matches may run."""
        return self.mode is Mode.ALLOW_LIST or (
            self.mode is Mode.BY_RULES and any(not rule.deny for rule in self.rules)
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` names what decided; `why` is a sentence for the person whose task was refused."""

    allowed: bool
    rule: str = ""
    why: str = ""


ALLOWED: Final = Verdict(True)


def parse_rules(data: Any) -> tuple[PolicyRule, ...]:
    """The rules of a policy message or file. Raises Invalid naming the rule: a rule half understood is no guard."""
    if not isinstance(data, (list, tuple)):
        raise Invalid("cannot read the policy: expected a list of rules", element="rules")
    return tuple(_parse_rule(index, rule) for index, rule in enumerate(data))


def _parse_rule(index: int, rule: Any) -> PolicyRule:
    name = str(rule.get("id", f"rule {index + 1}")) if isinstance(rule, Mapping) else f"rule {index + 1}"
    match = rule.get("match") if isinstance(rule, Mapping) else None
    if not isinstance(match, Mapping) or not match or rule.get("effect") not in ("deny", "allow"):
        raise Invalid(
            f"cannot read policy rule {name!r}: expected effect deny or allow, and a match that is not empty",
            element=name,
            hint='example: {"id": "no-reboot", "effect": "deny", "match": {"program": ["reboot"]}}',
        )
    unknown = sorted(set(match) - set(_KEYS))
    if unknown:
        raise Invalid(f"cannot read policy rule {name!r}: no match is called {unknown[0]!r}", element=name)
    globs: dict[str, tuple[str, ...]] = {}
    for key, value in match.items():
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(v, str) for v in value):
            raise Invalid(f"cannot read policy rule {name!r}: expected a list of texts in {key!r}", element=name)
        globs[key] = tuple(value)
    return PolicyRule(id=name, deny=rule["effect"] == "deny", **globs)


def parse_policy(data: Any) -> Policy:
    """The policy of a file: a list of rules, or {"mode", "rules"}. Raises Invalid."""
    if not isinstance(data, Mapping):
        return Policy(parse_rules(data))
    return Policy(parse_rules(data.get("rules")), parse_mode(data.get("mode", "")))


def parse_mode(text: Any) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise Invalid(
            f"cannot use {str(text)[:40]!r} as the policy's mode: expected deny-list or allow-list", element="mode"
        ) from None


def check(spec: CommandSpec, *policies: Policy | Sequence[PolicyRule]) -> Verdict:
    """Whether `spec` may run under every one of `policies`."""
    asked = [policy for policy in map(_as_policy, policies) if policy]
    if not asked:
        return ALLOWED
    return next((v for v in (judge(r, p) for r in readings(spec) for p in asked) if not v.allowed), ALLOWED)


def check_file(
    op: str, *policies: Policy | Sequence[PolicyRule], writes: Sequence[str] = (), removes: Sequence[str] = ()
) -> Verdict:
    """Whether a file task may do `op` to these paths. For rules it is the command `corral-file <op> <paths>`."""
    command = Command((FILE_PROGRAM, op, *writes, *removes), True, removes=tuple(removes), writes=tuple(writes))
    reading = Reading(commands=[command], text=" ".join(command.words))
    asked = [policy for policy in map(_as_policy, policies) if policy]
    return next((v for v in (judge(reading, policy) for policy in asked) if not v.allowed), ALLOWED)


def _as_policy(policy: Policy | Sequence[PolicyRule]) -> Policy:
    return policy if isinstance(policy, Policy) else Policy(tuple(policy))


def judge(reading: Reading, policy: Policy) -> Verdict:
    """What one policy says of what was read."""
    if reading.too_long:
        return Verdict(
            False,
            TOO_LONG_RULE,
            f"a text over {TEXT_BYTES_MAX >> 10} KiB, or nested without end, is not read, so it is refused: bring it out as a "
            "file and run that",
        )
    if policy.strict and not reading.readable:
        return Verdict(False, ALLOW_LIST_RULE, "under an allow list a text that cannot be read is refused")
    if policy.mode is Mode.ALLOW_LIST and reading.is_text:
        return Verdict(
            False, ALLOW_LIST_RULE, "only listed commands may run, so no shell text and no script: give it word by word"
        )
    seen: set[Hashable] = set()
    for command in reading.commands:
        key = command.key()
        if key in seen:
            continue
        seen.add(key)
        verdict = _judge_one(policy, command, reading)
        if not verdict.allowed:
            return verdict
    if not reading.commands and policy.strict:
        return Verdict(False, ALLOW_LIST_RULE, "no rule allows an empty command")
    if not reading.commands:
        rule = next((r for r in policy.rules if r.deny and _only_text(r) and _any_glob(r.text, reading.text)), None)
        if rule is not None:
            return Verdict(False, rule.id, f"rule {rule.id!r} refuses this text")
    return ALLOWED


def _judge_one(policy: Policy, command: Command, reading: Reading) -> Verdict:
    shown = " ".join(command.words)[:80]
    hidden = " (look-alike characters taken for what they look like)" if reading.folded else ""
    for rule in policy.rules:
        if not _matches(rule, command, reading.text):
            continue
        if rule.deny:
            return Verdict(False, rule.id, f"rule {rule.id!r} refuses {shown!r}{hidden}")
        beyond = _beyond(rule, command, shown)
        if not beyond:
            return ALLOWED
        if policy.strict:
            return Verdict(False, ALLOW_LIST_RULE, beyond)
    return Verdict(False, ALLOW_LIST_RULE, f"no rule allows {shown!r}") if policy.strict else ALLOWED


def _beyond(rule: PolicyRule, command: Command, shown: str) -> str:
    """Why an allow rule does not cover a command that it matches; empty when it does."""
    asked = [path for path in command.writes if path not in _HARMLESS and not _any_glob(rule.writes, path)]
    if asked:
        return f"rule {rule.id!r} allows {shown!r}, but not to write to {asked[0]!r}"
    if not command.literal:
        return f"{shown!r} is only known when it runs; an allow list needs plain words"
    for what, paths, named in (("remove", command.removes, rule.removes), ("change", command.changes, rule.changes)):
        # an argv names every word; anything looser has to name the paths
        if named and (other := [path for path in paths if not inside(path, named)]):
            return f"rule {rule.id!r} allows {shown!r}, but not to {what} {other[0]!r}"
    return ""


def _only_text(rule: PolicyRule) -> bool:
    return not (rule.program or rule.args or rule.argv or rule.removes or rule.changes or rule.writes or rule.fed_by)


def _matches(rule: PolicyRule, command: Command, text: str) -> bool:
    if rule.program and not _program(rule, command.program):
        return False
    if rule.args:
        hits = [_any_glob(rule.args, word) for word in command.words[1:]]
        if not (any(hits) if rule.deny else all(hits)):
            return False
    if rule.argv and not _argv(rule.argv, command.words):
        return False
    if rule.removes and not any(under(path, rule.removes) for path in command.removes):
        return False
    if rule.changes and not any(under(path, rule.changes) for path in command.changes):
        return False
    if rule.writes and rule.deny and not any(_written(rule.writes, path) for path in command.writes):
        return False
    if rule.fed_by and not any(_any_glob(rule.fed_by, name) for name in command.fed_by):
        return False
    return not rule.text or _any_glob(rule.text, text)


def _program(rule: PolicyRule, program: str) -> bool:
    if _any_glob(rule.program, program):
        return True
    # `/sbin/reb*t`: the shell makes a name of it, which a deny rule has to expect
    named = _is_glob(program) and any(c.isalnum() for c in program)
    return rule.deny and named and any(shell_glob(program, name) for name in rule.program)


def _is_glob(word: str) -> bool:
    return ("*" in word or "?" in word or "[" in word) and word not in ("[", "[[")


def _written(globs: tuple[str, ...], path: str) -> bool:
    return _any_glob(globs, path) or (
        _is_glob(path) and any(shell_glob(path, pattern.replace("*", "a")) for pattern in globs)
    )


def _argv(globs: Sequence[str], words: Sequence[str]) -> bool:
    if not words:
        return False
    if globs[-1] == "**":
        globs = globs[:-1]
        words = words[: len(globs)]
    if len(globs) != len(words):
        return False
    if not globs:
        return True
    first = words[0] if "/" in globs[0] else posixpath.basename(words[0])
    return glob(globs[0], first) and all(map(glob, globs[1:], words[1:]))


def under(path: str, roots: Iterable[str]) -> bool:
    """Whether removing `path` removes something of `roots` (`/x/*` = what is right in /x too, `/x/**` = all below)."""
    pattern = _is_glob(path)
    for root in roots:
        if root.endswith("/*") and posixpath.dirname(path) == root[:-2]:
            return True
        base = root.removesuffix("/**").removesuffix("/*") or "/"
        # removing a folder removes all that is in it: a parent of a guarded path counts as the path
        if path == base or path == "/" or base.startswith(path.rstrip("/") + "/"):
            return True
        if root.endswith("/**") and path.startswith(base.rstrip("/") + "/"):
            return True
        if pattern and base != "/" and _reaches(path, base, below=root.endswith("/**")):
            return True
    return False


def _reaches(path: str, base: str, *, below: bool) -> bool:
    """Whether a path with `*`, `?` or `[…]` in it may be `base` or a parent of it; with `below`, or something in it."""
    asked, guarded = path.strip("/").split("/"), base.strip("/").split("/")
    if len(asked) > len(guarded) and not below:
        return False
    return all(shell_glob(a, g) for a, g in zip(asked, guarded, strict=False))


def inside(path: str, roots: Iterable[str]) -> bool:
    """Whether `path` is one of `roots`, or with `/x/**` lies below it; a pattern or an unknown part is never inside."""
    if any(c in path for c in "*?[$"):
        return False
    return any(
        path == root.removesuffix("/**") or (root.endswith("/**") and path.startswith(root.removesuffix("**")))
        for root in roots
    )


@functools.lru_cache(maxsize=2048)
def _split(globs: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Plain texts, patterns."""
    patterns = tuple(pattern for pattern in globs if "*" in pattern or "?" in pattern)
    return frozenset(globs) - frozenset(patterns), patterns


def _any_glob(globs: tuple[str, ...], text: str) -> bool:
    plain, patterns = _split(globs)
    return text in plain or any(glob(pattern, text) for pattern in patterns)


def glob(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, where `*` is any run and `?` any one character. At most len(pattern) × len(text) steps."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == text
    p = t = mark = 0
    star = -1
    while t < len(text):
        if p < len(pattern) and pattern[p] == "*":
            star, mark = p, t
            p += 1
        elif p < len(pattern) and pattern[p] in ("?", text[t]):
            p, t = p + 1, t + 1
        elif star >= 0:
            mark += 1
            p, t = star + 1, mark
        else:
            return False
    return pattern[p:].strip("*") == ""
