"""The command policy: ordered allow and deny rules over what a task would run. A guard rail, never the boundary.

A rule is {"id", "effect": "deny" | "allow", "match": {…}}. Every key given in `match` has to hold:
  program  [globs]  base name of the command, wrappers such as sudo, env, nohup, xargs and `sh -c` looked through
  args     [globs]  one of the arguments matches one of them
  argv     [globs]  program and arguments one by one; a last "**" stands for any rest
  removes  [paths]  a recursive rm (or find -delete) of one of these; "/x" = x itself, "/x/**" = x and all below
  writes   [globs]  the target of a redirection, of tee, or of dd of=
  text     [globs]  the whole text (argv joined by blanks)
Per simple command the first rule that matches decides; an allow rule covers writing only to what its `writes` names. Without
any allow rule the rest may run; with one, only what matches may, and then every word has to be literal and every text readable.
Each of several policies has to agree, so a node-local one can only narrow. Linear in the text: globs know only `*` and `?`; no
regular expression of a user is ever run.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec, Interpreter
from corral.domain.lookthrough import Command, commands_of
from corral.domain.shelltext import TEXT_BYTES_MAX, SimpleCommand, Unreadable, Word, simple_commands

_KEYS: Final = ("program", "args", "argv", "removes", "writes", "text")
FILE_PROGRAM: Final = "corral-file"
"""What a policy rule calls the program of a file task: its argv is `corral-file <op> <path>`."""
_HARMLESS: Final = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})
_SHELLS: Final = frozenset({Interpreter.SH, Interpreter.BASH})


@dataclass(frozen=True, kw_only=True)
class PolicyRule:
    id: str
    deny: bool
    program: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


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


def check(spec: CommandSpec, *policies: Sequence[PolicyRule]) -> Verdict:
    """Whether `spec` may run under every one of `policies`."""
    if not any(policies):
        return ALLOWED
    text = spec.shell if spec.shell is not None else spec.script
    if text is None:
        text = " ".join(spec.argv)
        simple = [SimpleCommand(words=[Word(part) for part in spec.argv])]
    else:
        simple = []
    readable = True
    try:
        if len(text) > TEXT_BYTES_MAX:
            raise Unreadable("too long")
        if not spec.argv and (spec.shell is not None or spec.interpreter in _SHELLS):
            simple = simple_commands(text)
        elif not spec.argv:
            readable = False
        commands = commands_of(simple, cwd=spec.cwd)
    except Unreadable:
        readable = False
        commands = _crude(text)
    for policy in policies:
        verdict = _judge(policy, commands, text, readable)
        if not verdict.allowed:
            return verdict
    return ALLOWED


def check_file(
    op: str, *policies: Sequence[PolicyRule], writes: Sequence[str] = (), removes: Sequence[str] = ()
) -> Verdict:
    """Whether a file task may do `op` to these paths. For rules it is the command `corral-file <op> <paths>`."""
    command = Command((FILE_PROGRAM, op, *writes, *removes), True, removes=tuple(removes), writes=tuple(writes))
    text = " ".join(command.words)
    for policy in policies:
        verdict = _judge(policy, [command], text, True) if policy else ALLOWED
        if not verdict.allowed:
            return verdict
    return ALLOWED


def _judge(policy: Sequence[PolicyRule], commands: Sequence[Command], text: str, readable: bool) -> Verdict:
    strict = any(not rule.deny for rule in policy)
    if strict and not readable:
        return Verdict(False, "allow-list", "under an allow list a text that cannot be read is refused")
    for command in commands:
        rule = next((rule for rule in policy if _matches(rule, command, text)), None)
        shown = " ".join(command.words)[:80]
        if rule is None:
            if strict:
                return Verdict(False, "allow-list", f"no rule allows {shown!r}")
        elif rule.deny:
            return Verdict(False, rule.id, f"rule {rule.id!r} refuses {shown!r}")
        elif unasked := [path for path in command.writes if path not in _HARMLESS and not _any_glob(rule.writes, path)]:
            return Verdict(
                False, "allow-list", f"rule {rule.id!r} allows {shown!r}, but not to write to {unasked[0]!r}"
            )
        elif not command.literal:
            return Verdict(
                False, "allow-list", f"{shown!r} is only known when it runs; an allow list needs plain words"
            )
    if not commands and strict:
        return Verdict(False, "allow-list", "no rule allows an empty command")
    if not commands:
        rule = next((r for r in policy if r.deny and _only_text(r) and _any_glob(r.text, text)), None)
        if rule is not None:
            return Verdict(False, rule.id, f"rule {rule.id!r} refuses this text")
    return ALLOWED


def _only_text(rule: PolicyRule) -> bool:
    return not (rule.program or rule.args or rule.argv or rule.removes or rule.writes)


def _matches(rule: PolicyRule, command: Command, text: str) -> bool:
    if rule.program and not _any_glob(rule.program, command.program):
        return False
    if rule.args and not any(_any_glob(rule.args, word) for word in command.words[1:]):
        return False
    if rule.argv and not _argv(rule.argv, command.words):
        return False
    if rule.removes and not any(under(path, rule.removes) for path in command.removes):
        return False
    if rule.writes and not any(_any_glob(rule.writes, path) for path in command.writes):
        return False
    return not rule.text or _any_glob(rule.text, text)


def _argv(globs: Sequence[str], words: Sequence[str]) -> bool:
    if globs[-1] == "**":
        globs = globs[:-1]
        words = words[: len(globs)]
    if len(globs) != len(words):
        return False
    first = words[0] if "/" in globs[0] else posixpath.basename(words[0])
    return glob(globs[0], first) and all(map(glob, globs[1:], words[1:]))


def under(path: str, roots: Iterable[str]) -> bool:
    """Whether removing `path` removes something of `roots` (`/x/**` = all below /x too)."""
    for root in roots:
        base = root.removesuffix("/**") or "/"
        # removing a folder removes all that is in it: a parent of a guarded path counts as the path
        if path == base or path == "/" or base.startswith(path.rstrip("/") + "/"):
            return True
        if base != root and path.startswith(base.rstrip("/") + "/"):
            return True
    return False


def _any_glob(globs: Iterable[str], text: str) -> bool:
    return any(glob(pattern, text) for pattern in globs)


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


def _crude(text: str) -> list[Command]:
    """What is left of an unreadable text: every line and every piece between operators, split at blanks."""
    for mark in ";&|()`\n":
        text = text.replace(mark, "\n")
    simple = [
        SimpleCommand(words=[Word(part.strip("'\""), False) for part in line.split()])
        for line in text.split("\n")
        if line.strip()
    ]
    try:
        return commands_of(simple, cwd=None)
    except Unreadable:
        return []


def _deny(name: str, **match: Sequence[str]) -> dict[str, Any]:
    return {"id": name, "effect": "deny", "match": {key: list(value) for key, value in match.items()}}


SYSTEM_PATHS: Final = (
    "/", "/bin/**", "/boot/**", "/dev/**", "/etc/**", "/home", "/lib/**", "/lib32/**", "/lib64/**", "/media", "/mnt", "/opt",
    "/proc/**", "/root", "/run", "/sbin/**", "/srv", "/sys/**", "/usr/**", "/var", "/var/lib", "/var/log", "/var/spool",
    "/tmp",  # noqa: S108  # a path to guard, not a place to write to
)  # fmt: skip
_DEVICES: Final = (
    "/dev/sd*", "/dev/vd*", "/dev/xvd*", "/dev/nvme*", "/dev/hd*", "/dev/mmcblk*", "/dev/mapper/*", "/dev/md*", "/dev/dm-*",
    "/dev/loop*", "/dev/disk/*", "/dev/mem", "/dev/kmem", "/dev/port",
)  # fmt: skip

DEMO_RULES: Final[Sequence[Mapping[str, Any]]] = (
    _deny("no-power-off", program=("shutdown", "reboot", "halt", "poweroff", "kexec")),
    _deny("no-power-off-init", program=("init", "telinit"), args=("0", "1", "6", "s", "S", "q", "u")),
    _deny(
        "no-power-off-systemctl",
        program=("systemctl", "loginctl"),
        args=("reboot", "poweroff", "halt", "kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep",
              "suspend-then-hibernate", "rescue", "emergency", "exit", "reboot.target", "poweroff.target", "halt.target",
              "rescue.target", "emergency.target"),
    ),
    _deny("no-sysrq", writes=("/proc/sysrq-trigger",)),
    _deny("no-mkfs", program=("mkfs", "mkfs.*", "mke2fs", "mkswap", "wipefs", "blkdiscard", "fdisk", "sfdisk", "cfdisk",
                              "sgdisk", "gdisk", "parted", "mkntfs", "mkdosfs")),
    _deny("no-raw-disk", writes=_DEVICES),
    _deny("no-system-removal", removes=SYSTEM_PATHS),
)  # fmt: skip
"""What the demo nodes of `corral up` refuse: they ARE this machine."""
