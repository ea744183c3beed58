"""The command policy: its rules, its mode, and what it would say of a command."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.params import HeaderParameter

from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec, Interpreter
from corral.domain.policy import Mode, parse_mode
from corral.domain.policy_rules import EVERYWHERE, FleetRule, parse_fleet_rule, parse_fleet_rules
from corral.runtime.clock import iso
from corral.server.application.policies.room import PolicyRoom
from corral.server.application.policies.trial import Judged
from corral.server.application.ports.access import Caller
from corral.server.application.ports.policies import StoredPolicy
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("policy",)
IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", required=False)]


class RuleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule. Every key of `match` has to hold; `roles` empty: everybody; `selector`: ids, labels and groups, never facts."""

    id: str
    effect: str
    match: dict[str, list[str]]
    roles: list[str] = []
    selector: str = EVERYWHERE
    comment: str = ""


class PolicyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole list, in order. Without `mode` that stays. `shipped`: begin again with what this release ships."""

    rules: list[RuleBody] | None = None
    mode: str | None = None
    shipped: bool = False


class PolicyView(msgspec.Struct, kw_only=True):
    """`revision` grows by one with every change and is what If-Match takes."""

    revision: int
    mode: str
    rules: list[RuleBody]
    changed_at: str | None
    changed_by: str


class PutRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`position` counts from 1; without it a new rule comes last and a known one stays where it is."""

    effect: str
    match: dict[str, list[str]]
    roles: list[str] = []
    selector: str = EVERYWHERE
    comment: str = ""
    position: int | None = None


class MoveBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    position: int


class ModeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """deny-list or allow-list."""

    mode: str


class TestBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of argv, shell and script. `target`: as on these nodes; `role`: as if only that role were held."""

    argv: list[str] = []
    shell: str | None = None
    script: str | None = None
    interpreter: str = "sh"
    stdin: str | None = None
    env: dict[str, str] = {}
    cwd: str | None = None
    target: str | None = None
    role: str | None = None


class SeenCommand(msgspec.Struct, kw_only=True):
    """A program that would run, as its words were understood. Not `plain`: part of it is only known when it runs."""

    words: list[str]
    plain: bool
    removes: list[str] = []
    changes: list[str] = []
    writes: list[str] = []
    fed_by: list[str] = []


class JudgedView(msgspec.Struct, kw_only=True):
    """`nodes` empty: every node. `asks`: the rule that wants a second person."""

    nodes: list[str]
    allowed: bool
    rule: str
    why: str
    asks: str


class TrialView(msgspec.Struct, kw_only=True):
    allowed: bool
    revision: int
    mode: str
    judged: list[JudgedView]
    commands: list[SeenCommand]
    readable: bool
    unseen: list[str]


async def get_policy(policy: PolicyRoom, caller: Caller) -> Envelope[PolicyView]:
    """Every rule, in the order in which they are asked."""
    return ok(_view(await policy.book.get(caller)))


async def replace_policy(
    policy: PolicyRoom, caller: Caller, data: PolicyBody, if_match: IfMatch = None
) -> Envelope[PolicyView]:
    """Replace the whole list. `If-Match: <revision>` refuses when it changed meanwhile (409)."""
    version = _version(if_match)
    if data.shipped:
        return ok(_view(await policy.book.ship(caller, if_match=version)))
    if data.rules is None:
        raise Invalid("cannot replace the policy: rules are missing", element="rules")
    rules = parse_fleet_rules([msgspec.to_builtins(rule) for rule in data.rules])
    mode = None if data.mode is None else _mode(data.mode)
    return ok(_view(await policy.book.replace(caller, rules, mode=mode, if_match=version)))


async def put_rule(
    policy: PolicyRoom, caller: Caller, rule: str, data: PutRule, if_match: IfMatch = None
) -> Envelope[PolicyView]:
    """Add a rule, or replace the one of that id."""
    given = {key: value for key, value in msgspec.to_builtins(data).items() if key != "position"}
    parsed = parse_fleet_rule({"id": rule, **given})
    return ok(_view(await policy.book.put(caller, parsed, position=data.position, if_match=_version(if_match))))


async def remove_rule(policy: PolicyRoom, caller: Caller, rule: str, if_match: IfMatch = None) -> Envelope[PolicyView]:
    return ok(_view(await policy.book.remove(caller, rule, if_match=_version(if_match))))


async def move_rule(
    policy: PolicyRoom, caller: Caller, rule: str, data: MoveBody, if_match: IfMatch = None
) -> Envelope[PolicyView]:
    """Rules are asked in order; the first that matches decides."""
    return ok(_view(await policy.book.move(caller, rule, data.position, if_match=_version(if_match))))


async def set_mode(
    policy: PolicyRoom, caller: Caller, data: ModeBody, if_match: IfMatch = None
) -> Envelope[PolicyView]:
    """allow-list: only commands of plain words that an allow rule matches may run, and no shell text at all."""
    return ok(_view(await policy.book.set_mode(caller, _mode(data.mode), if_match=_version(if_match))))


async def test_policy(policy: PolicyRoom, caller: Caller, data: TestBody) -> Envelope[TrialView]:
    """What would be decided, by which rule, and what was seen of the command. Nothing runs."""
    try:
        interpreter = Interpreter(data.interpreter)
    except ValueError:
        raise Invalid(
            f"cannot test a script for {data.interpreter[:20]!r}: expected sh, bash, python3 or pwsh",
            element="interpreter",
        ) from None
    spec = CommandSpec(
        argv=tuple(data.argv),
        shell=data.shell,
        script=data.script,
        interpreter=interpreter,
        env=data.env,
        cwd=data.cwd,
        stdin=None if data.stdin is None else data.stdin.encode("utf-8", "replace"),
    )
    trial = await policy.trials.test(caller, spec, target=data.target, role=data.role)
    return ok(
        TrialView(
            allowed=trial.allowed,
            revision=trial.revision,
            mode=trial.mode,
            judged=[_judged(part) for part in trial.judged],
            commands=[
                SeenCommand(
                    words=list(command.words),
                    plain=command.literal,
                    removes=list(command.removes),
                    changes=list(command.changes),
                    writes=list(command.writes),
                    fed_by=list(command.fed_by),
                )
                for command in trial.commands
            ],
            readable=trial.readable,
            unseen=list(trial.unseen),
        )
    )


def _judged(part: Judged) -> JudgedView:
    return JudgedView(
        nodes=list(part.nodes),
        allowed=part.verdict.allowed,
        rule=part.verdict.rule,
        why=part.verdict.why,
        asks=part.asks,
    )


def _mode(text: str) -> Mode:
    mode = parse_mode(text)
    if mode is Mode.BY_RULES:
        raise Invalid("cannot use '' as the policy's mode: expected deny-list or allow-list", element="mode")
    return mode


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text.strip().strip('"'))
    except ValueError:
        raise Invalid(f"cannot read If-Match {text[:40]!r}: expected a revision", element="If-Match") from None


def _rule(rule: FleetRule) -> RuleBody:
    return msgspec.convert(rule.as_mapping(), RuleBody)


def _view(stored: StoredPolicy) -> PolicyView:
    policy = stored.policy
    return PolicyView(
        revision=policy.revision,
        mode=policy.mode.value,
        rules=[_rule(rule) for rule in policy.rules],
        changed_at=iso(stored.changed_at),
        changed_by=stored.changed_by,
    )


def _route(method: str, path: str, handler: Any, summary: str, permission: str = "policy.write") -> Route:
    return Route(method=method, path=path, permission=permission, handler=handler, summary=summary, tags=TAGS)


ROUTES: Final[tuple[Route, ...]] = (
    _route("GET", "/policy", get_policy, "The command policy", "policy.read"),
    _route("PUT", "/policy", replace_policy, "Replace the command policy"),
    _route("PUT", "/policy/rules/{rule:str}", put_rule, "Add or replace a policy rule"),
    _route("DELETE", "/policy/rules/{rule:str}", remove_rule, "Remove a policy rule"),
    _route("POST", "/policy/rules/{rule:str}/move", move_rule, "Move a policy rule"),
    _route("PUT", "/policy/mode", set_mode, "Deny list or allow list"),
    _route("POST", "/policy/test", test_policy, "What the policy would say of a command", "policy.read"),
)
