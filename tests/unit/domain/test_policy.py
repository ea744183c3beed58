"""The command policy against golden cases, and what must hold for any text."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec, Interpreter
from corral.domain.policy import check, glob, parse_rules
from corral.domain.policy_shipped import SHIPPED
from corral.domain.shelltext import simple_commands
from corral.domain.shellwords import Unreadable

FOLDER = Path(__file__).parents[2] / "golden" / "policy"
DEMO = parse_rules(SHIPPED)


def cases():
    for path in sorted(FOLDER.glob("*.json")):
        data = json.loads(path.read_text())
        rules = DEMO if data["rules"] in ("demo", "shipped") else parse_rules(data["rules"])
        for case in data["cases"]:
            what = {k: v for k, v in case.items() if k != "refused_by"}
            yield pytest.param(rules, what, case["refused_by"], id=f"{path.stem}: {json.dumps(what)[:60]}")


@pytest.mark.parametrize(("rules", "what", "refused_by"), list(cases()))
def test_golden_case(rules, what, refused_by):
    interpreter = Interpreter(what.pop("interpreter", "sh"))
    stdin = what.pop("stdin", None)
    spec = CommandSpec(
        **{**what, "argv": tuple(what.get("argv", ()))},
        interpreter=interpreter,
        stdin=None if stdin is None else stdin.encode(),
    )
    verdict = check(spec, rules)
    assert (verdict.allowed, verdict.rule) == (not refused_by, refused_by), verdict.why


def test_no_rules_allow_everything():
    assert check(CommandSpec(argv=("reboot",))).allowed
    assert check(CommandSpec(argv=("reboot",)), (), ()).allowed


def test_a_second_policy_can_only_narrow():
    everything = parse_rules([{"id": "all", "effect": "allow", "match": {"program": ["*"]}}])
    spec = CommandSpec(argv=("reboot",))
    assert not check(spec, DEMO, everything).allowed
    assert not check(spec, everything, DEMO).allowed
    assert check(CommandSpec(argv=("true",)), everything, DEMO).allowed


@pytest.mark.parametrize(
    "rules",
    [
        None,
        {},
        [1],
        [{}],
        [{"effect": "deny"}],
        [{"effect": "deny", "match": {}}],
        [{"effect": "maybe", "match": {"program": ["x"]}}],
        [{"effect": "deny", "match": {"regex": ["(a+)+$"]}}],
        [{"effect": "deny", "match": {"program": "reboot"}}],
        [{"effect": "deny", "match": {"program": [1]}}],
        [{"effect": "deny", "match": {"program": []}}],
    ],
)
def test_a_rule_half_understood_is_refused(rules):
    with pytest.raises(Invalid):
        parse_rules(rules)


@given(st.text(max_size=300))
def test_any_text_gets_a_verdict(text):
    check(CommandSpec(shell=text), DEMO)
    check(CommandSpec(argv=tuple(text.split()) or ("x",)), DEMO)


@given(st.lists(st.text(alphabet="abc$'\"\\`(){};&|<>\n #*/", max_size=12), max_size=8).map("".join))
def test_shell_like_text_never_breaks_the_lexer(text):
    try:
        simple_commands(text)
    except Unreadable:
        pass


@given(
    st.sampled_from(
        ["", "true; ", "true && ", "(", "{ ", "! ", "x=1 ", "\n", "cd /tmp; ", "echo $(", "sudo ", "nohup "]
    )
)
def test_whatever_stands_before_it_a_plain_reboot_is_seen(prefix):
    closing = {"(": ")", "{ ": "; }", "echo $(": ")"}.get(prefix, "")
    assert not check(CommandSpec(shell=f"{prefix}reboot{closing}"), DEMO).allowed


@pytest.mark.parametrize(
    "text",
    [
        "a" * 65536,
        "'" * 65535,
        '"$(`' * 16384,
        "$(" * 30000,
        "`\\`" * 20000,
        "( " * 30000,
        "sudo " * 13000,
        "sh -c '" * 9000,
        "<<A " * 16000,
        "\\\n" * 30000,
        "${" * 30000,
        "a=" * 30000,
        "x" * (1 << 20),
    ],
    ids=lambda text: f"{text[:6]!r} x {len(text)}",
)
def test_no_text_takes_long(text):
    began = time.process_time()
    check(CommandSpec(shell=text), DEMO)
    assert time.process_time() - began < 3


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_globs_agree_with_fnmatch(pattern, text):
    import fnmatch

    assert glob(pattern, text) == fnmatch.fnmatchcase(text, pattern)
