"""Kinds of task: what each needs of its caller, how plugins join, and that what was stored stays readable."""

from dataclasses import replace

import pytest

from corral.domain import kinds
from corral.domain.errors import Invalid
from corral.domain.executors.contract import ExecutorKind
from corral.domain.executors.registry import BUILT_IN
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, JobSpec
from corral.domain.schema import check_schema
from corral.domain.secret import fill, references

GREET = ExecutorKind(
    name="greet",
    summary="greets",
    module="greet_plugin",
    permission="exec.run",
    schema={
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
    line=lambda params: str(params["name"]),
    engines=("phone",),
)


@pytest.fixture
def greet(monkeypatch):
    monkeypatch.setattr(kinds, "KINDS", dict(kinds.KINDS))
    kinds.install([GREET])


def job(**changes):
    spec = ExecutorSpec(kind="greet", params={"name": "ana"}, connection="office")
    return JobSpec(target="all", kind="greet", command=replace(spec, **changes))


def test_a_plugins_kind_is_submitted_like_any_other(greet):
    assert kinds.check_job(job()).permission == "exec.run"
    assert kinds.needed(job().command) == ("exec.run",)
    assert kinds.line(job(dry_run=True).command) == "greet ana (dry run)"


@pytest.mark.parametrize(
    ("changes", "element"),
    [({"params": {}}, "params.name"), ({"params": {"name": 1}}, "params.name"), ({"connection": None}, "connection")],
)
def test_params_and_connection_are_checked_before_anything_is_stored(greet, changes, element):
    with pytest.raises(Invalid) as caught:
        kinds.check_job(job(**changes))
    assert caught.value.element == element


@pytest.mark.parametrize(
    "bad",
    [replace(GREET, name="exec"), replace(GREET, name="fine", schema={"oneOf": []}), replace(GREET, module="another")],
)
def test_a_plugin_may_not_take_a_name_or_bring_a_schema_nobody_enforces(greet, bad):
    with pytest.raises(Invalid):
        kinds.install([bad])


def test_what_a_plugin_stored_stays_readable_without_it(greet, monkeypatch):
    stored = kinds.as_mapping(job(dry_run=True, user="ana").command)
    monkeypatch.delitem(kinds.KINDS, "greet")
    spec = kinds.from_mapping("greet", stored)
    assert spec == job(dry_run=True, user="ana").command
    assert "not installed" in kinds.line(spec)
    with pytest.raises(Invalid, match="'greet'"):
        kinds.check_job(job())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (CommandSpec(argv=("true",)), ("exec.run",)),
        (CommandSpec(shell="true"), ("exec.run", "exec.shell")),
        (CommandSpec(script="true", host=True), ("exec.run", "exec.shell", "exec.host")),
    ],
)
def test_a_command_needs_a_permission_for_each_power_it_asks_for(spec, words):
    assert kinds.needed(spec) == words


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_shipped_kind_has_a_schema_that_is_enforced_and_a_line(kind):
    check_schema(kind.schema)
    assert kind.schema["additionalProperties"] is False
    assert kind.summary and not kind.summary.endswith(".")


def test_references_are_found_and_filled_at_any_depth():
    value = {"a": ["x {{ secret.A }}", {"{{secret.B}}": 1}], "n": 3, "b": "{{ secret.A }}{{ other }}"}
    assert references(value) == {"A", "B"}
    assert fill(value, {"A": "{{ secret.B }}", "B": "k"}) == {
        "a": ["x {{ secret.B }}", {"k": 1}],
        "n": 3,
        "b": "{{ secret.B }}{{ other }}",
    }
    with pytest.raises(KeyError):
        fill("{{ secret.C }}", {})
