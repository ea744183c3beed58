"""Asking for passwords: never on the command line, never echoed, from a terminal or from stdin."""

from __future__ import annotations

import getpass
import sys

from corral.cli.session import interactive
from corral.domain.errors import Invalid

_BYTES_MAX = 4096


def ask_password(prompt: str, *, from_stdin: bool, option: str = "--password-stdin") -> str:
    """The password as it was typed or piped; one line end is no part of it."""
    if from_stdin:
        text = sys.stdin.readline(_BYTES_MAX)
        password = text.removesuffix("\n").removesuffix("\r")
    elif interactive():
        password = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    else:
        raise Invalid(
            "cannot ask for a password: this is no terminal", element="password", hint=f"pipe it in: {option}"
        )
    if not password:
        raise Invalid("cannot use an empty password", element="password")
    return password


def ask_new_password(whose: str, *, from_stdin: bool, option: str = "--password-stdin") -> str:
    """Twice on a terminal: nobody sees what he types."""
    password = ask_password(f"New password {whose}", from_stdin=from_stdin, option=option)
    if not from_stdin and getpass.getpass("The same again: ", stream=sys.stderr) != password:
        raise Invalid("cannot use this password: the two are not the same", element="password")
    return password
