"""`corral system install|enable|start|stop|restart|logs|uninstall`: the server as a service of this machine, by systemd."""

from __future__ import annotations

import grp
import importlib
import os
import pwd
import sys
from pathlib import Path
from typing import Any

import click

from corral.cli import exits
from corral.cli.commands.on_server import operate
from corral.cli.install import systemd
from corral.cli.install.unit import FILES_MIN, MARK, UNIT, UNIT_DIR, Service, unit_text
from corral.cli.options import verb
from corral.cli.session import Session
from corral.domain.errors import Conflict, Denied, Invalid, NotFound
from corral.runtime.files import write_atomic

_UNIT_DIR = click.option(
    "--unit-dir", default=str(UNIT_DIR), metavar="DIR", help="Where units lie (default /etc/systemd/system)."
)


@verb(
    None,
    "install",
    server=False,
    formats=False,
    examples=(
        "corral system install --config /var/lib/corral/corral.toml",
        "corral system install --config /etc/corral/corral.toml --user corral --group corral",
        "corral system install --config corral.toml --dry-run",
    ),
)
@click.option("--config", metavar="FILE", help="The server's configuration (default: ./corral.toml, /etc/corral).")
@click.option("--user", metavar="NAME", help="Whom it runs as (default: the owner of the data directory).")
@click.option("--group", metavar="NAME", help="Its group (default: the user's own).")
@click.option("--server-bin", metavar="PATH", help="The corral program to start (default: this one).")
@click.option("--nofile", type=click.IntRange(1024), metavar="N", help=f"Open files allowed (default {FILES_MIN}).")
@_UNIT_DIR
@click.option("--force", is_flag=True, help="Replace a unit somebody else wrote.")
@click.option("--dry-run", is_flag=True, help="Print the unit and write nothing.")
async def install(session: Session, config: str | None, unit_dir: str, force: bool, dry_run: bool, **given: Any) -> int:
    """Write a hardened systemd unit for the server. Starts nothing: corral system enable; corral system start."""
    file, settings = _settings(config)
    service = _service(file, settings, **given)
    text = unit_text(service)
    if dry_run:
        session.out(text.rstrip("\n"))
        return exits.OK
    systemd.find("systemctl")
    target = Path(unit_dir) / UNIT
    if target.exists() and MARK not in target.read_text(errors="replace") and not force:
        raise Conflict(f"cannot write {str(target)!r}: somebody else wrote it", element=str(target), hint="--force")
    _hand_over(session, service)
    try:
        write_atomic(target, text.encode(), mode=0o644)
    except OSError as error:
        raise _refused(target, error) from None
    session.note(f"wrote {target}: runs as {service.user}, data in {service.data_dir}")
    await systemd.systemctl("daemon-reload")
    session.note("next: corral system enable; corral system start")
    return exits.OK


def _settings(config: str | None) -> tuple[Path, Any]:
    operate("texts")  # says what to install when the server is not here
    module = importlib.import_module("corral.server.config")
    file = Path(config) if config else module.default_file()
    if file is None:
        raise NotFound(
            "cannot install the service: there is no corral.toml here or in /etc/corral",
            element="--config",
            hint="make one with: corral system init; or name it with --config",
        )
    return file.absolute(), module.load_server_config(file=file, env={}).value


def _service(
    file: Path, settings: Any, *, user: str | None, group: str | None, server_bin: str | None, nofile: int | None
) -> Service:
    data = Path(settings.data_dir).absolute()
    if user is None:
        try:
            user = pwd.getpwuid(data.stat().st_uid).pw_name
        except (OSError, KeyError):
            raise NotFound(
                f"cannot tell whom the server runs as: {str(data)!r} is not there",
                element="--user",
                hint="corral system init makes the data directory; or give --user",
            ) from None
    try:
        account = pwd.getpwnam(user)
        own = group or grp.getgrgid(account.pw_gid).gr_name
        grp.getgrnam(own)
    except KeyError:
        raise NotFound(
            f"cannot run the server as {user!r}{f' in group {group!r}' if group else ''}: no such account",
            element="--user",
            hint=f"useradd --system --home-dir {data} --shell /usr/sbin/nologin {user}",
        ) from None
    program = [server_bin] if server_bin else [sys.executable, "-m", "corral"]
    if server_bin and not (os.path.isabs(server_bin) and os.access(server_bin, os.X_OK)):
        raise Invalid(
            f"cannot use {server_bin!r} as the program: expected the absolute path of an executable",
            element="--server-bin",
        )
    ports = (settings.server.port, settings.server.tls_port, settings.engine.port)
    return Service(
        command=[*program, "server", "--config", str(file)],
        user=user,
        group=own,
        data_dir=data,
        files=nofile or FILES_MIN,
        low_port=any(0 < port < 1024 for port in ports),
    )


def _hand_over(session: Session, service: Service) -> None:
    """The data directory has to belong to whom the server runs as."""
    try:
        there = service.data_dir.stat()
    except OSError:
        return
    uid, gid = pwd.getpwnam(service.user).pw_uid, grp.getgrnam(service.group).gr_gid
    if there.st_uid == uid:
        return
    if os.geteuid() != 0:
        raise Denied(
            f"cannot let {service.user!r} run the server: {str(service.data_dir)!r} belongs to somebody else",
            element="--user",
            hint=f"as root: chown -R {service.user}: {service.data_dir}",
        )
    for folder, _, names in os.walk(service.data_dir):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.chown(path, uid, gid, follow_symlinks=False)
    session.note(f"{service.data_dir} now belongs to {service.user}")


def _refused(target: Path, error: OSError) -> Denied:
    return Denied(
        f"cannot write {str(target)!r}: {(error.strerror or str(error)).lower()}",
        element="--unit-dir",
        hint="run it as root, or choose another --unit-dir",
    )


def _plain(name: str, help: str) -> Any:
    """A verb that is one call of systemctl."""

    async def body(session: Session) -> int:
        return await systemd.systemctl(name, UNIT)

    body.__doc__ = help
    return verb(None, name, server=False, formats=False, examples=(f"corral system {name}",))(body)


enable = _plain("enable", "Start the server whenever the machine starts.")
start = _plain("start", "Start the server now.")
stop = _plain("stop", "Stop the server. Running tasks go on; nodes come back when it does.")
restart = _plain("restart", "Stop and start the server.")


@verb(
    None,
    "logs",
    server=False,
    formats=False,
    examples=(
        "corral system logs",
        "corral system logs --follow",
        "corral system logs --lines 500 --since '1 hour ago'",
    ),
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--lines", type=click.IntRange(0), default=100, help="How many of the last lines (default 100).")
@click.option("--since", metavar="TIME", help="From then on, as journalctl takes it.")
async def logs(session: Session, follow: bool, lines: int, since: str | None) -> int:
    """What the server's service has logged (journalctl)."""
    words = ["--unit", UNIT, "--no-pager", "--lines", str(lines)]
    words += ["--since", since] if since else []
    words += ["--follow"] if follow else []
    return exits.OK if await systemd.run("journalctl", *words) == 0 else exits.FAILED


@verb(None, "uninstall", server=False, formats=False, confirms=True, examples=("corral system uninstall",))
@_UNIT_DIR
async def uninstall(session: Session, unit_dir: str) -> int:
    """Stop the service and remove its unit. Data, keys and configuration stay where they are."""
    target = Path(unit_dir) / UNIT
    if not target.exists():
        raise NotFound(f"cannot remove {str(target)!r}: there is none", element=str(target), hint="--unit-dir DIR")
    session.confirm("Stop the server and remove its service? Its data stays.")
    await systemd.systemctl("disable", "--now", UNIT)
    try:
        target.unlink()
    except OSError as error:
        raise _refused(target, error) from None
    await systemd.systemctl("daemon-reload")
    session.note(f"removed {target}; the data directory is untouched")
    return exits.OK
