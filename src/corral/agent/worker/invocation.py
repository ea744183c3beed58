"""From a command spec to what is really started: absolute program, small environment, working directory, stdin.

Whatever cannot be started is found here, with the remedy, before a process exists: `CannotStart` becomes `failed` / `spawn`.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.domain.errors import CorralError
from corral.domain.job import CommandSpec, Interpreter
from corral.runtime.process import DEFAULT_PATH, base_environment, find_program

_ARGUMENT_BYTES_MAX: Final = 100 << 10
"""The kernel takes at most 128 KiB in one argument; a longer shell text runs from a file."""
_INTERPRETERS: Final[Mapping[Interpreter, tuple[str, ...]]] = {
    Interpreter.SH: ("/bin/sh",),
    Interpreter.BASH: ("bash",),
    Interpreter.PYTHON3: ("python3",),
    Interpreter.PWSH: ("pwsh", "-NoProfile", "-NonInteractive", "-File"),
}
_INSTALL: Final[Mapping[Interpreter, str]] = {
    Interpreter.BASH: "install bash on the node, or use --interpreter sh",
    Interpreter.PYTHON3: "install python3 on the node and have it on PATH",
    Interpreter.PWSH: "install PowerShell 7 (pwsh) on the node",
}
_SCRIPT_FD: Final = 9
RESULT_FD: Final = 8
_HOST: Final = ("--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--")
"""The namespaces of process 1, entered by util-linux's nsenter: what a container shares with its host only when it is told to."""


class CannotStart(CorralError):
    """`exit_code` is what a shell would say: 127 not found, 126 found but not to be run."""

    def __init__(self, message: str, *, exit_code: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """`plain`: no other user and only ordinary variable names, so a shell kept warm may run it."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    added: Mapping[str, str]
    cwd: str
    directory: str
    stdin: str = "/dev/null"
    script_fd: str = ""
    result_fd: str = ""
    plain: bool = True


class Preparer:
    """Knows the environment that tasks of this worker start from."""

    def __init__(self) -> None:
        self.base = base_environment()
        self._home = self.base.get("HOME", "/")

    def prepare(
        self, spec: CommandSpec, directory: str, mark: str, *, private: bool = False, result: str = ""
    ) -> Invocation:
        """Write stdin and script into `directory` and resolve everything else. Raises CannotStart, OSError.

        `private`: its texts hold secrets, so none of them may become an argument. `result` is a file that the command gets as
        descriptor RESULT_FD.
        """
        base, home = self.base, self._home
        account = None if spec.user is None else _account(spec.user)
        if account is not None:
            base = base_environment(account.pw_name)
            home = account.pw_dir
        name, _, value = mark.partition("=")
        added = {**spec.env, name: value}
        cwd = spec.cwd or (home if os.path.isdir(home) else "/")
        argv, script = self._argv(spec, directory, private)
        whole = argv
        if not spec.host:
            # on the host it may lie elsewhere, or there alone
            whole = (self._program(argv[0], {**base, **added}.get("PATH", DEFAULT_PATH), cwd), *argv[1:])
        odd = [f"{key}={text}" for key, text in spec.env.items() if not key.isidentifier() or not key.isascii()]
        if odd and private:
            raise CannotStart(
                f"cannot set {odd[0].partition('=')[0]!r} for a task with secrets: such a name would show its value to everybody",
                hint="use a name of letters, digits and _",
            )
        if odd:
            # no shell passes these names on, `env` does
            whole = ("/usr/bin/env", *odd, *whole)
            added = {key: text for key, text in added.items() if key.isidentifier() and key.isascii()}
        stdin = "/dev/null"
        if spec.stdin is not None:
            stdin = f"{directory}/stdin"
            _write(stdin, spec.stdin)
        script_fd = ""
        if script is not None and (account is not None or spec.host):
            # its path is closed to that user, or means nothing on the host
            whole = tuple(f"/dev/fd/{_SCRIPT_FD}" if word == script else word for word in whole)
            script_fd = script
        if account is not None:
            whole = _as_user(account, whole)
            for path in filter(None, (script, result, f"{directory}/out", f"{directory}/err")):
                # the spool is closed to that user: it gets these by descriptor, and may open them again through /proc
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                os.chown(path, account.pw_uid, account.pw_gid)
        if spec.host:
            whole = (*_into_host(), *whole)
        return Invocation(
            argv=whole,
            environment={**base, **added},
            added=added,
            cwd=cwd,
            directory=directory,
            stdin=stdin,
            script_fd=script_fd,
            result_fd=result,
            plain=account is None and not odd and not spec.host,
        )

    def _argv(self, spec: CommandSpec, directory: str, private: bool) -> tuple[tuple[str, ...], str | None]:
        """The words to run, and the file of the script they name, if any."""
        if spec.script is not None:
            path = f"{directory}/script" + (".ps1" if spec.interpreter is Interpreter.PWSH else "")
            _write(path, spec.script.encode())
            program, *options = _INTERPRETERS[spec.interpreter]
            found = find_program(program, self.base.get("PATH", DEFAULT_PATH), "/")
            if found is None:
                raise CannotStart(
                    f"cannot run the script: no {program!r} on this node's PATH",
                    exit_code=127,
                    hint=_INSTALL.get(spec.interpreter),
                )
            return (found, *options, path), path
        if spec.shell is not None:
            short = len(spec.shell) * 4 <= _ARGUMENT_BYTES_MAX or len(spec.shell.encode()) <= _ARGUMENT_BYTES_MAX
            if short and not private:
                return ("/bin/sh", "-c", spec.shell), None
            path = f"{directory}/script"
            _write(path, spec.shell.encode())
            return ("/bin/sh", path), path
        return spec.argv, None

    def _program(self, name: str, path: str, cwd: str) -> str:
        found = find_program(name, path, cwd)
        if found is not None:
            return found
        whole = os.path.join(cwd, name)
        if "/" in name and os.path.exists(whole):
            raise CannotStart(f"cannot run {whole!r}: it is not an executable file", exit_code=126)
        where = "no such file" if "/" in name else f"no such program on PATH {path}"
        raise CannotStart(
            f"cannot run {name!r}: {where}",
            exit_code=127,
            hint="a shell builtin or a pipe needs --shell" if "/" not in name else None,
        )


def _account(user: str) -> pwd.struct_passwd | None:
    """The account to become; None when we are it already."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise CannotStart(f"cannot run as {user!r}: no such user on this node") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise CannotStart(
            f"cannot run as {user!r}: the agent is not root",
            hint="run the agent as root, or leave --user away",
        )
    return entry


def _into_host() -> tuple[str, ...]:
    """What leaves the container this agent lives in. The program that follows is looked up on the host."""
    if os.geteuid() != 0:
        raise CannotStart(
            "cannot enter the host: the agent is not root", hint="run its container as root and privileged"
        )
    nsenter = find_program("nsenter", DEFAULT_PATH, "/")
    if nsenter is None:
        raise CannotStart("cannot enter the host: no nsenter on this node", exit_code=127, hint="install util-linux")
    return (nsenter, *_HOST)


def _as_user(account: pwd.struct_passwd, argv: tuple[str, ...]) -> tuple[str, ...]:
    setpriv = find_program("setpriv", DEFAULT_PATH, "/")
    if setpriv is not None:
        ids = ("--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--init-groups")
        return (setpriv, *ids, "--", *argv)
    su = find_program("su", DEFAULT_PATH, "/")
    if su is None:
        raise CannotStart(
            f"cannot run as {account.pw_name!r}: neither setpriv nor su is installed", hint="install util-linux"
        )
    return (su, "-s", "/bin/sh", account.pw_name, "-c", 'exec "$@"', "--", "sh", *argv)


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def attempt_directory(spool: Path | str, job: str, attempt: int, generation: int) -> str:
    """`<job>.<attempt>`, and with a suffix for each time a claim had to be taken back before anything ran."""
    name = f"{job}.{attempt}" + (f".g{generation}" if generation else "")
    return f"{spool}/{name}"
