"""Every command explains itself: it has help, and every verb has an example that is a real command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

from corral.cli.lazy import NOUNS
from corral.cli.main import root
from corral.cli.options import Verb


def tree(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name="corral")
    for name in group.list_commands(context):
        if not path and NOUNS[name].program:
            continue
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from tree(command, (*path, name))


ALL = dict(tree(root))
VERBS = {path: command for path, command in ALL.items() if isinstance(command, Verb)}


@pytest.mark.parametrize("path", sorted(p for p, c in ALL.items() if isinstance(c, Verb | click.Group)), ids=" ".join)
def test_help_works_and_is_short(path: tuple[str, ...], cli: Callable[..., Any]) -> None:
    result = cli(*path, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: corral {' '.join(path)}")
    assert len(result.out.splitlines()) <= 65
    assert cli(*path, "-h").out == result.out


@pytest.mark.parametrize("path", sorted(VERBS), ids=" ".join)
def test_every_verb_has_an_example_of_itself(path: tuple[str, ...], cli: Callable[..., Any]) -> None:
    verb = VERBS[path]
    assert verb.help
    own = [example for example in verb.examples if f"corral {' '.join(path)}" in example]
    assert own
    assert own[0] in cli(*path, "--help").out


@pytest.mark.parametrize("path", sorted(VERBS), ids=" ".join)
def test_the_options_in_the_examples_exist(path: tuple[str, ...]) -> None:
    verb = VERBS[path]
    known = {name for parameter in verb.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for example in verb.examples:
        if not example.startswith(f"corral {' '.join(path)}"):
            continue
        for word in shlex.split(example.split("   ")[0])[len(path) + 1 :]:
            if word in ("--", "|"):
                break
            if word.startswith("-") and word != "-":
                assert word in known | {"-h", "--help"}


def test_nodes_verbs_of_the_agent_are_listed_too(cli: Callable[..., Any]) -> None:
    out = cli("agent", "--help").out
    assert all(f"  {verb}" in out for verb in ("enroll", "status", "daemon", "worker", "bundle", "list"))


def test_secrets_cannot_be_given_as_an_option() -> None:
    for path, verb in VERBS.items():
        names = {name for parameter in verb.params for name in parameter.opts if name.startswith("--")}
        assert not names & {"--token", "--password", "--secret"}, path
