"""`corral system init`: keys, CA, certificates and configuration of a server that is reached over the network.

Run again it repairs and renews: what is there stays, certificates that are due or lack a name are signed anew, a configuration
nobody has edited follows the options. Keys are replaced with `force` alone, and then what was there is moved aside, not deleted:
every enrolled node pins the CA and the signing keys.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from corral.bus.realm import Realm
from corral.domain.errors import Conflict, CorralError, Invalid
from corral.runtime.clock import Clock
from corral.runtime.files import DirectoryLock, private_dir, write_atomic
from corral.server.config import DEFAULT_DATA_DIR, ServerConfig, is_loopback, load_server_config
from corral.server.infrastructure.auth.keyfile import load_key
from corral.server.infrastructure.pki.ca import Authority, Certificate
from corral.server.infrastructure.pki.signing import KeyRing
from corral.server.operate.texts import Addresses, compose_yaml, is_untouched, server_toml

ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
"""The server itself and the command line beside it come this way."""
CONFIG: Final = "corral.toml"
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[^\W_]([\w-]{0,61}[^\W_])?(\.[^\W_]([\w-]{0,61}[^\W_])?)*\Z")
COMPOSE: Final = "docker-compose.example.yml"


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """What is empty or None is as the configuration and the certificate that are there say, else the default.

    `hosts`: this machine's name; `public_url`: https on the first host.
    """

    output_dir: Path = DEFAULT_DATA_DIR
    hosts: Sequence[str] = ()
    public_url: str = ""
    http_port: int | None = None
    https_port: int | None = None
    engine_port: int | None = None
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """`did`: made, kept, renewed, replaced, or edited (kept, because a person changed it)."""

    path: Path
    did: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Initialised:
    config: Path
    public_url: str
    hosts: Sequence[str]
    fingerprint: str
    """Of the CA; empty in a dry run that would make one."""
    steps: Sequence[Step] = field(default_factory=tuple)


def init(options: InitOptions, clock: Clock, *, dry_run: bool = False) -> Initialised:
    """Make what is missing. Raises Invalid for a bad name or URL, Conflict when `force` meets a running server."""
    root = options.output_dir.absolute()
    setup = _Setup(root, options, clock, dry_run)
    if dry_run:
        return setup.run()
    try:
        private_dir(root)
        return _write_all(setup, root, force=options.force)
    except OSError as error:
        raise Invalid(
            f"cannot write {str(error.filename or root)!r}: {(error.strerror or str(error)).lower()}",
            element="--output-dir",
            hint="choose another with --output-dir, or run it as the user who owns it",
        ) from None


def _write_all(setup: _Setup, root: Path, *, force: bool) -> Initialised:
    if not force:
        return setup.run()
    lock = DirectoryLock(root, name="server.lock", what="the data directory")
    lock.acquire()  # keys are not replaced under a running server
    try:
        setup.move_aside()
        return setup.run()
    finally:
        lock.release()


class _Setup:
    def __init__(self, root: Path, options: InitOptions, clock: Clock, dry_run: bool) -> None:
        self._root = root
        self._options = options
        self._clock = clock
        self._dry = dry_run
        self._fresh = dry_run and options.force
        self._authority = Authority(root / "pki", clock)
        self._config = root / CONFIG
        self._steps: list[Step] = []

    def run(self) -> Initialised:
        hosts = self._hosts()
        addresses = self._addresses(hosts)
        keys = self._root / "keys"
        self._make(self._authority.certificate, self._authority.create)
        self._sign("server", [*hosts, *ALWAYS])
        self._sign("engine", [*hosts, *ALWAYS])
        self._make(keys / "realm.json", lambda: Realm.create(self._clock).save(keys / "realm.json"))
        self._make(keys / "signing.json", lambda: KeyRing.create(self._clock).save(keys / "signing.json"))
        for name in ("session.key", "nonce.key", "artifacts.key"):
            self._make(keys / name, lambda path=keys / name: load_key(path))  # type: ignore[misc]  # bound now
        self._write_config(server_toml(self._root, addresses))
        self._make(self._root / COMPOSE, lambda: _write(self._root / COMPOSE, compose_yaml(self._root, addresses)))
        return Initialised(
            config=self._config,
            public_url=addresses.public_url,
            hosts=hosts,
            fingerprint=self._authority.fingerprint() if self._authority.exists() else "",
            steps=tuple(self._steps),
        )

    def move_aside(self) -> None:
        """Everything a forced run makes anew goes into one folder; nothing is deleted."""
        there = [path for name in ("pki", "keys", CONFIG, COMPOSE) if (path := self._root / name).exists()]
        if not there:
            return
        aside = self._root / f"replaced-{self._clock.now():%Y%m%dT%H%M%S}"
        if aside.exists():
            raise Conflict(f"cannot move the old keys aside: {str(aside)!r} exists", hint="try again in a second")
        private_dir(aside)
        for path in there:
            path.rename(aside / path.name)
        self._steps.append(Step(path=aside, did="made", note="what was there before; every node has to enrol again"))

    def _hosts(self) -> list[str]:
        given = [host.strip().strip("[]") for host in self._options.hosts if host.strip()]
        if given:
            return list(dict.fromkeys(_checked(host) for host in given))
        signed = self._authority.hosts_of(self._files("server")) if not self._fresh else []
        return [host for host in signed if host not in ALWAYS] or signed[:1] or [socket.gethostname().lower()]

    def _addresses(self, hosts: Sequence[str]) -> Addresses:
        options, known = self._options, self._known()
        https_port = _first(options.https_port, known.server.tls_port if known else None, 8443)
        engine_port = _first(options.engine_port, known.engine.port if known else None, 4222)
        same_place = known is not None and not options.hosts and options.https_port is None
        url = options.public_url or (known.server.public_url if known is not None and same_place else "")
        url = (url or f"https://{_in_url(hosts[0])}:{https_port}").rstrip("/")
        _check_url(url, hosts)
        outside = [host for host in hosts if not is_loopback(host)] or hosts[:1]
        return Addresses(
            public_url=url,
            engine_urls=[f"tls://{_in_url(host)}:{engine_port}" for host in outside],
            http_port=_first(options.http_port, known.server.port if known else None, 8080),
            https_port=https_port,
            engine_port=engine_port,
        )

    def _known(self) -> ServerConfig | None:
        """The configuration that is there."""
        if self._fresh or not self._config.exists():
            return None
        try:
            return load_server_config(file=self._config, env={}).value
        except CorralError:
            return None  # a person is in the middle of editing it; the server will say what is wrong

    def _files(self, name: str) -> Certificate:
        pki = self._root / "pki"
        return Certificate(certificate=pki / f"{name}.pem", key=pki / f"{name}.key")

    def _make(self, path: Path, make: Callable[[], object]) -> None:
        there = path.exists() and not self._fresh
        if not there and not self._dry:
            make()
        self._steps.append(Step(path=path, did="kept" if there else "made"))

    def _sign(self, name: str, hosts: Sequence[str]) -> None:
        files = self._files(name)
        before = files.certificate.read_bytes() if files.certificate.exists() and not self._fresh else b""
        if self._dry:
            due = not before or self._authority.needs_renewal(files)
            due = due or set(self._authority.hosts_of(files)) != set(hosts)
        else:
            due = self._authority.server_certificate(name, hosts).certificate.read_bytes() != before
        did = ("renewed" if before else "made") if due else "kept"
        note = f"for {', '.join(dict.fromkeys(hosts))}" if due else ""
        self._steps.append(Step(path=files.certificate, did=did, note=note))

    def _write_config(self, text: str) -> None:
        old = self._config.read_text(errors="replace") if self._config.exists() and not self._fresh else None
        if old == text:
            self._steps.append(Step(path=self._config, did="kept"))
            return
        if old is not None and not is_untouched(old):
            beside = self._config.with_name(f"{CONFIG}.new")
            if not self._dry:
                _write(beside, text)
            note = f"you have edited it; what these options ask for is in {beside.name}"
            self._steps.append(Step(path=self._config, did="edited", note=note))
            return
        if not self._dry:
            _write(self._config, text)
        self._steps.append(Step(path=self._config, did="made" if old is None else "renewed"))


def _write(path: Path, text: str) -> None:
    write_atomic(path, text.encode(), mode=0o600)


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _checked(host: str) -> str:
    """Raises Invalid for what is neither a host name nor an address others can come to."""
    try:
        usable = not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        usable = _HOST_NAME.match(host) is not None
    if not usable:
        raise Invalid(
            f"cannot use {host[:80]!r} as a host: it is not a host name or an address",
            element="--hosts",
            hint="without scheme and port: --hosts corral.example.org,10.0.0.5",
        )
    return host


def _check_url(url: str, hosts: Sequence[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise Invalid(
            f"cannot use {url!r} as the public URL: expected https://host:port",
            element="--public-url",
            hint=f"--public-url https://{_in_url(hosts[0])}:8443",
        )
    if parts.hostname not in [host.lower() for host in (*hosts, *ALWAYS)]:
        raise Invalid(
            f"cannot use {url!r} as the public URL: the certificate would not name {parts.hostname!r}",
            element="--public-url",
            hint=f"--hosts {','.join([*hosts, parts.hostname])}",
        )
