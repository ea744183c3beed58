"""`corral completion`: a script for the shell's completion."""

from __future__ import annotations

import click

from corral.cli import exits
from corral.cli.options import verb
from corral.cli.session import Session


@verb(
    None,
    "completion",
    formats=False,
    server=False,
    examples=(
        "corral completion bash > /etc/bash_completion.d/corral",
        "corral completion zsh  > ~/.zfunc/_corral",
        "corral completion fish > ~/.config/fish/completions/corral.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
async def command(session: Session, shell: str) -> int:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from corral.cli.main import root

    made = get_completion_class(shell)
    assert made is not None
    session.out(made(root, {}, "corral", "_CORRAL_COMPLETE").source())
    return exits.OK
