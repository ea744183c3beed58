"""`corral server`: read the configuration, hold the data directory, run the server until a signal; errors in words, not tracebacks."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import CorralError
from corral.runtime.files import DirectoryLock, private_dir
from corral.runtime.logs import configure
from corral.server.config import LogSection, ServerConfig, default_file, load_server_config

log = logging.getLogger("corral.server")

_CHATTY: Final = {
    "alembic": logging.WARNING,
    "uvicorn": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "httpx2": logging.WARNING,
    # It warns of every HTTPS connection that a client closes.
    "asyncio": logging.ERROR,
}
"""Libraries that tell what nobody running a server wants to know, and from which level on they are heard."""

_EXAMPLES: Final = """\
examples:
  corral server                                    everything on this machine, data in /var/lib/corral
  corral server --data-dir ./data --port 0         a private server on a free port
  corral server --config /etc/corral/corral.toml   the settings of 'corral system init'
  CORRAL__SQL__URL=postgresql://… corral server    any setting as CORRAL__SECTION__KEY

Every setting, with where it comes from: corral config show --origin
"""


SWITCH_SECONDS = 0.0005


def main(words: Sequence[str]) -> int:
    """The entry of `corral server …`; `words` come after `server`. Returns the exit status."""
    options = _parser().parse_args(list(words))
    flags: dict[str, Any] = {
        "server.data_dir": options.data_dir,
        "server.host": options.host,
        "server.port": options.port,
        "server.tls_port": options.tls_port,
        "server.public_url": options.public_url,
        "engine.port": options.engine_port,
        "sql.url": options.sql_url,
        "log.level": options.log_level,
        "log.format": options.log_format,
    }
    try:
        config = load_server_config(file=options.config, env=os.environ, flags=flags).value
        setup_logs(config.log)
        with hold_data(config):
            _run(config, options.config or default_file())
    except CorralError as error:
        return tell(error)
    except KeyboardInterrupt:
        return 130
    return 0


def tell(error: CorralError) -> int:
    """Print an error for a person; the exit status it asks for."""
    print(f"corral: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_status


def setup_logs(section: LogSection) -> None:
    configure(
        section.level,
        "json" if section.format == "json" else "text",
        section.file,
        max_bytes=section.max_bytes,
        files=section.files,
        days=section.days,
    )
    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(logging.DEBUG if section.level == "debug" else level)


@contextlib.contextmanager
def hold_data(config: ServerConfig) -> Iterator[None]:
    """Hold <data>/server.lock while the server runs. A second one gets Conflict naming the holder's pid.

    Whoever calls `serve` holds it around the call (`main` here); `serve` itself does not.
    """
    try:
        private_dir(config.data_dir)
    except OSError as error:
        raise CannotStart(
            f"cannot use the data directory {str(config.data_dir)!r}: {(error.strerror or str(error)).lower()}",
            element="server.data_dir",
            hint="choose another with --data-dir, or start as the user who owns it",
        ) from None
    lock = DirectoryLock(config.data_dir, name="server.lock", what="the data directory")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


class CannotStart(CorralError):
    """The surroundings do not let the server start."""


def _run(config: ServerConfig, file: Path | None) -> None:
    from corral.server.app import serve  # pulls in the whole server: only once the configuration is good

    # SQLite works in threads: at the default of 5 ms every answer of the database waits that long for a busy loop to let go.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(serve(config, config_file=file))
    else:
        uvloop.run(serve(config, config_file=file))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corral server",
        description="Run the Corral server: REST, web page, and the engine unless engine.urls names one.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="default: ./corral.toml, /etc/corral/corral.toml or /var/lib/corral/corral.toml",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="database, keys and the engine's store (server.data_dir)")
    parser.add_argument(
        "--host", metavar="ADDRESS", help="where HTTP listens; off loopback TLS is needed (server.host)"
    )
    parser.add_argument("--port", metavar="PORT", help="HTTP port, 0 = any free one (server.port)")
    parser.add_argument("--tls-port", metavar="PORT", help="HTTPS port (server.tls_port)")
    parser.add_argument("--public-url", metavar="URL", help="what nodes and login links are told (server.public_url)")
    parser.add_argument("--engine-port", metavar="PORT", help="port of the embedded engine (engine.port)")
    parser.add_argument("--sql-url", metavar="URL", help="another database than SQLite in the data directory (sql.url)")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warn or error (log.level)")
    parser.add_argument("--log-format", metavar="FORMAT", help="text or json (log.format)")
    return parser
