"""The table of nouns. `corral --help` reads it without importing one of them; using a noun imports that noun alone."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final

import click

from corral.cli.options import HELP


@dataclass(frozen=True)
class Entry:
    """`module` holds the click command `attribute`; with `program` it is a program with `main(words)` of its own.

    `words` are put before what the user typed.
    """

    module: str
    help: str
    attribute: str = "command"
    program: bool = False
    words: tuple[str, ...] = ()


NOUNS: Final[dict[str, Entry]] = {
    "exec": Entry("corral.cli.commands.exec", "Run commands on nodes: run, get, list, cancel, logs, retry, repeat."),
    "file": Entry("corral.cli.commands.file", "Files on nodes: apply, fetch, delete, history, rollback, clear."),
    "task": Entry("corral.cli.commands.task", "Tasks of any kind, services and databases: run, kinds, schema."),
    "http": Entry("corral.cli.commands.http", "One HTTP request from each node, checked."),
    "sql": Entry("corral.cli.commands.sql", "SQL from nodes, reviewed first: run, review."),
    "rollout": Entry(
        "corral.cli.commands.rollout",
        "Changes in stages: create, status, list, advance, pause, resume, abort, rollback.",
    ),
    "node": Entry("corral.cli.commands.node", "Nodes: list, show, set, tasks, files, presence, remove, top."),
    "why": Entry("corral.cli.commands.why", "Say why a job, a rollout or a node stands where it stands."),
    "token": Entry("corral.cli.commands.token", "Join tokens, which enrol nodes: create, list, revoke."),
    "agent": Entry("corral.cli.commands.agent", "The agent of a node: enroll, status, bundle, list, remove."),
    "audit": Entry("corral.cli.commands.audit", "Who did what: list, show, verify, export, replay."),
    "approval": Entry("corral.cli.commands.approval", "Four eyes: list, show, approve, deny, rule-set, rule-list."),
    "secret": Entry("corral.cli.commands.secret", "Values tasks may use and nobody reads: set, list, delete."),
    "policy": Entry("corral.cli.commands.policy", "Which commands may run: list, set, test, mode."),
    "connection": Entry("corral.cli.commands.connection", "Databases and clusters by name: set, list, show, delete."),
    "role": Entry("corral.cli.commands.role", "Roles and grants: list, create, set, grant, revoke, grants."),
    "can-i": Entry("corral.cli.commands.can_i", "Say whether somebody may do something, where, and why."),
    "system": Entry("corral.cli.commands.system", "The control plane: init, backup, restore, install, status."),
    "config": Entry("corral.cli.commands.config", "Which server and settings are in use, and from where: show."),
    "user": Entry("corral.cli.commands.user", "People: create, list, show, set, delete, passwd, invite, sessions."),
    "login": Entry("corral.cli.commands.login", "Log in as a user, or remember a server and an API token."),
    "logout": Entry("corral.cli.commands.logout", "End the session, forget what login remembered."),
    "whoami": Entry("corral.cli.commands.whoami", "As whom the server knows you, and what you may do."),
    "doctor": Entry("corral.cli.commands.doctor", "Check an installation and say what to do."),
    "completion": Entry("corral.cli.commands.completion", "Shell completion for bash, zsh and fish."),
    "up": Entry("corral.up.main", "Start server, engine and demo nodes on this machine.", program=True),
    "server": Entry("corral.server.main", "Start the server.", program=True),
    "sim": Entry("corral.testing.sim.main", "Simulate a fleet.", program=True),
}


class LazyGroup(click.Group):
    """A group whose commands come from a table of entries."""

    def __init__(self, *words: Any, entries: dict[str, Entry] | None = None, **settings: Any) -> None:
        super().__init__(*words, **settings)
        self._entries = entries or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self._entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        if entry.program:
            return program(cmd_name, entry)
        loaded: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(90)) for name, command in self.commands.items()]
        rows += [(name, entry.help) for name, entry in self._entries.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def program(name: str, entry: Entry) -> click.Command:
    """A command that hands its words over to another program's `main`, untouched."""

    def run(rest: tuple[str, ...]) -> int:
        status: int = importlib.import_module(entry.module).main([*entry.words, *rest])
        return status

    return click.Command(
        name,
        callback=run,
        params=[click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        add_help_option=False,
        context_settings={**HELP, "ignore_unknown_options": True, "allow_interspersed_args": False},
        help=entry.help,
    )
