"""The shape of every verb: its shared options, its examples, and how its coroutine is run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import click

from corral.cli.output.units import parse_duration, parse_size
from corral.cli.output.writers import FORMATS
from corral.cli.session import Session
from corral.domain.errors import CorralError

Body = Callable[..., Coroutine[Any, Any, int | None]]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Shared options fill the session instead of reaching the verb."""
    if value not in (None, False):
        setattr(context.ensure_object(Session), str(parameter.name), value)


def shared(*words: str, **settings: Any) -> Decorator:
    return click.option(*words, expose_value=False, callback=_store, **settings)


SERVER: tuple[Decorator, ...] = (
    shared("--url", metavar="URL", help="Server to talk to (CORRAL_URL)."),
    shared("--token-file", metavar="FILE", help="File holding the API token, - for stdin (CORRAL_TOKEN)."),
    shared("--ca", metavar="FILE", help="CA certificate of the server (CORRAL_CA)."),
    shared("--no-color", is_flag=True, help="No colours (NO_COLOR)."),
    shared("-q", "--quiet", is_flag=True, help="Only ids and task output, no talk."),
)
FORMAT = shared("-o", "--output", type=click.Choice(FORMATS), help="Output format (default: table).")
YES = shared("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


def _target(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    context.ensure_object(Session).selector = value or ""
    return value


def target(*, required: bool, help: str = "Selector: which nodes (corral exec run --help).") -> Decorator:
    return click.option("-t", "--target", metavar="SELECTOR", required=required, callback=_target, help=help)


class Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except CorralError as error:
            self.fail(f"{error.message}; {error.hint}", param, ctx)


class Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except CorralError as error:
            self.fail(f"{error.message}; {error.hint}", param, ctx)


class Verb(click.Command):
    """A command whose help ends in examples."""

    def __init__(self, *words: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*words, **settings)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def verb(
    group: click.Group | None,
    name: str,
    *,
    examples: Sequence[str],
    formats: bool = True,
    confirms: bool = False,
    server: bool = True,
    **settings: Any,
) -> Callable[[Body], Verb]:
    """Make `async def body(session, …) -> exit status` a verb of `group`. The docstring's first lines are its help."""

    def make(body: Body) -> Verb:
        @click.pass_obj
        @functools.wraps(body)
        def run(session: Session, /, *words: Any, **options: Any) -> int:
            import asyncio

            return asyncio.run(body(session, *words, **options)) or 0

        function: Callable[..., Any] = run
        for decorator in reversed(SERVER if server else SERVER[3:]):
            function = decorator(function)
        if formats:
            function = FORMAT(function)
        if confirms:
            function = YES(function)
        made = click.command(name, cls=Verb, examples=examples, context_settings=HELP, **settings)(function)
        made.params.sort(key=lambda parameter: not parameter.expose_value)  # the verb's own options first
        if group is not None:
            group.add_command(made)
        return made

    return make
