"""Every setting of the server, by section, with its default. Flag > CORRAL__SECTION__KEY > corral.toml > default (runtime/config.py).

Rules between keys of one section stand in that section's `__post_init__`; a rule that needs two sections stands in ServerConfig.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from corral.domain.errors import Invalid
from corral.domain.netguard import parse_networks
from corral.runtime.config import Loaded, load
from corral.runtime.secret import Secret, SecretUrl

DEFAULT_DATA_DIR: Final = Path("/var/lib/corral")
DEFAULT_FILES: Final = (Path("corral.toml"), Path("/etc/corral/corral.toml"), DEFAULT_DATA_DIR / "corral.toml")
OTHER_SECTIONS: Final = ("agent", "cli")
"""Environment sections that belong to our other programs on the same machine."""
_PORT: Final = {"min": 0, "max": 65535}
_POSITIVE: Final = {"min": 1}
_DATABASES: Final = ("sqlite", "postgresql", "postgres")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pair(section: str, first: tuple[str, Path | None], second: tuple[str, Path | None]) -> None:
    """A certificate and its key come together."""
    for (given, value), (missing, other) in ((first, second), (second, first)):
        if value is not None and other is None:
            raise Invalid(
                f"cannot use {section}.{given} alone: {section}.{missing} is missing",
                element=f"{section}.{given}",
                hint=f"set {section}.{missing} too; 'corral system init' makes both",
            )


def _url(section: str, key: str, value: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(value)
    if parts.scheme not in schemes or not parts.hostname:
        raise Invalid(
            f"cannot use {value!r} as {section}.{key}: expected a URL with {' or '.join(f'{s}://' for s in schemes)}",
            element=f"{section}.{key}",
            hint=f"for example {schemes[-1]}://corral.example.org",
        )


@dataclass(frozen=True, kw_only=True)
class ServerSection:
    """Where the server listens and keeps its things. Port 0 = any free one, printed at start."""

    data_dir: Path = DEFAULT_DATA_DIR
    host: str = "127.0.0.1"
    port: int = field(default=8080, metadata=_PORT)
    plain_http: bool = False
    """Allow unencrypted HTTP on an address that is not loopback: only behind a proxy that ends TLS."""
    trusted_proxies: list[str] = field(default_factory=list)
    """Addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed; nobody's otherwise."""
    tls_host: str = "0.0.0.0"  # noqa: S104  # the encrypted port is the one meant for the network
    tls_port: int = field(default=8443, metadata=_PORT)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_url: str = ""
    """What enrolment and login links hand out; empty = the address that is listened on."""
    body_max_bytes: int = field(default=8 << 20, metadata=_POSITIVE)
    requests_per_second: float = field(default=500.0, metadata={"min": 0})
    """Per caller, with a burst of twice that; 0 = no cap."""

    def __post_init__(self) -> None:
        _pair("server", ("tls_cert", self.tls_cert), ("tls_key", self.tls_key))
        if self.public_url:
            _url("server", "public_url", self.public_url, ("http", "https"))
        parse_networks(self.trusted_proxies, "server.trusted_proxies")
        if not is_loopback(self.host) and not self.plain_http:
            raise Invalid(
                f"cannot listen on {self.host!r} without TLS: passwords and tokens would travel in clear",
                element="server.host",
                hint="keep server.host on 127.0.0.1 and set server.tls_cert and server.tls_key (see 'corral system init'); "
                "behind a proxy that ends TLS set server.plain_http = true",
            )


@dataclass(frozen=True, kw_only=True)
class EngineSection:
    """The engine: embedded on `host`:`port`, or external when `urls` is given."""

    urls: list[str] = field(default_factory=list)
    public_urls: list[str] = field(default_factory=list)
    """What nodes are told at enrolment; empty = derived from where the engine listens."""
    host: str = "127.0.0.1"
    port: int = field(default=4222, metadata=_PORT)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    store_max_bytes: int = field(default=10 << 30, metadata={"min": 64 << 20})
    binary: Path | None = None

    def __post_init__(self) -> None:
        _pair("engine", ("tls_cert", self.tls_cert), ("tls_key", self.tls_key))
        for key, urls in (("urls", self.urls), ("public_urls", self.public_urls)):
            for url in urls:
                _url("engine", key, url, ("nats", "ws", "wss", "tls"))
        if not self.urls and not is_loopback(self.host) and self.tls_cert is None:
            raise Invalid(
                f"cannot let the engine listen on {self.host!r} without TLS",
                element="engine.host",
                hint="set engine.tls_cert and engine.tls_key (see 'corral system init')",
            )


@dataclass(frozen=True, kw_only=True)
class SqlSection:
    """Empty = SQLite in <data_dir>/corral.db."""

    url: SecretUrl = field(default_factory=SecretUrl)

    def __post_init__(self) -> None:
        scheme = self.url.reveal().partition(":")[0].partition("+")[0]
        if self.url and scheme not in _DATABASES:
            raise Invalid(
                f"cannot use {str(self.url)!r} as sql.url: no such database kind {scheme!r}",
                element="sql.url",
                hint="use sqlite:///path/to/corral.db or postgresql://user:password@host/corral",
            )

    @property
    def is_sqlite(self) -> bool:
        return not self.url or self.url.reveal().startswith("sqlite")


@dataclass(frozen=True, kw_only=True)
class NodesSection:
    beat_seconds: float = field(default=10.0, metadata={"min": 0.1})
    """How often nodes beat: the same as agent.beat_seconds there. Three missed make a node offline."""


@dataclass(frozen=True, kw_only=True)
class JobsSection:
    lost_after_seconds: float = field(default=3600.0, metadata=_POSITIVE)
    """A node gone this long makes its running tasks `lost`."""


@dataclass(frozen=True, kw_only=True)
class RetentionSection:
    jobs_days: int = field(default=30, metadata=_POSITIVE)
    output_days: int = field(default=14, metadata=_POSITIVE)
    output_max_bytes: int = field(default=0, metadata={"min": 0})
    """0 = two fifths of engine.store_max_bytes."""
    audit_days: int = field(default=365, metadata=_POSITIVE)


@dataclass(frozen=True, kw_only=True)
class LogSection:
    level: str = field(default="info", metadata={"choices": ("debug", "info", "warn", "error")})
    format: str = field(default="text", metadata={"choices": ("text", "json")})
    file: Path | None = None
    max_bytes: int = field(default=10_000_000, metadata={"min": 10_000})
    files: int = field(default=5, metadata={"min": 0, "max": 1000})
    days: int = field(default=7, metadata=_POSITIVE)


@dataclass(frozen=True, kw_only=True)
class AccessSection:
    """Sessions of people in a browser, and what slows down guessing."""

    session_seconds: float = field(default=600.0, metadata={"min": 10})
    refresh_seconds: float = field(default=7 * 86400.0, metadata={"min": 60})
    code_seconds: float = field(default=600.0, metadata={"min": 10})
    """How long a one-time login link works."""
    login_attempts: int = field(default=5, metadata=_POSITIVE)
    lockout_seconds: float = field(default=30.0, metadata=_POSITIVE)
    """The first lock-out; each further one is twice as long, up to a quarter of an hour."""


@dataclass(frozen=True, kw_only=True)
class OidcSection:
    """An OpenID Connect provider that people log in at. It is told <server.public_url>/auth/oidc/callback as the way back."""

    issuer: str = ""
    """As its /.well-known/openid-configuration says, to the letter; empty = none."""
    client_id: str = ""
    client_secret: Secret = field(default_factory=Secret)
    scopes: list[str] = field(default_factory=lambda: ["openid", "profile", "email"])
    name_claim: str = "preferred_username"
    """Becomes the user's name: a claim that people cannot choose freely there."""
    groups_claim: str = "groups"
    role_map: list[str] = field(default_factory=list)
    """group=role: whoever is in that group there has that role on every node."""
    new_users: bool = True
    """Whether somebody unknown becomes a user, with what his groups have and nothing else."""
    ca: Path | None = None
    """Who signed the provider's certificate, when the system does not know it."""

    def __post_init__(self) -> None:
        if not self.issuer:
            return
        _url("oidc", "issuer", self.issuer, ("http", "https"))
        if not self.issuer.startswith("https://") and not is_loopback(urlsplit(self.issuer).hostname or ""):
            raise Invalid(
                f"cannot use {self.issuer!r} as oidc.issuer: expected https://",
                element="oidc.issuer",
                hint="http:// only on loopback",
            )
        for key in ("client_id", "client_secret"):
            if not getattr(self, key):
                raise Invalid(
                    f"cannot log people in at {self.issuer!r}: oidc.{key} is missing",
                    element=f"oidc.{key}",
                    hint="register Corral at the provider as a confidential client with the authorization code flow",
                )
        if "openid" not in self.scopes:
            raise Invalid("cannot use oidc.scopes: 'openid' is missing", element="oidc.scopes")


@dataclass(frozen=True, kw_only=True)
class RolloutsSection:
    probe_allow: list[str] = field(default_factory=list)
    """Addresses and networks that HTTP gates may ask although they are loopback, link-local or a metadata service."""


@dataclass(frozen=True, kw_only=True)
class SecretsSection:
    """The master key of stored secrets; without any it is made in <data_dir>/keys/master.json."""

    master_key: Secret = field(default_factory=Secret)
    """32 bytes in base64, best given as CORRAL__SECRETS__MASTER_KEY."""
    master_key_file: Path | None = None
    """A file that holds it, such as a systemd credential."""
    old_master_keys: list[Secret] = field(default_factory=list)
    """Keys that still open what they sealed, until 'corral secret rotate-master-key' was run."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    server: ServerSection = field(default_factory=ServerSection)
    engine: EngineSection = field(default_factory=EngineSection)
    sql: SqlSection = field(default_factory=SqlSection)
    nodes: NodesSection = field(default_factory=NodesSection)
    jobs: JobsSection = field(default_factory=JobsSection)
    rollouts: RolloutsSection = field(default_factory=RolloutsSection)
    retention: RetentionSection = field(default_factory=RetentionSection)
    log: LogSection = field(default_factory=LogSection)
    access: AccessSection = field(default_factory=AccessSection)
    oidc: OidcSection = field(default_factory=OidcSection)
    secrets: SecretsSection = field(default_factory=SecretsSection)

    @property
    def data_dir(self) -> Path:
        return self.server.data_dir


def default_file() -> Path | None:
    return next((path for path in DEFAULT_FILES if path.exists()), None)


def load_server_config(
    *, file: Path | None = None, env: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Loaded[ServerConfig]:
    """`file` None = ./corral.toml, /etc/corral/corral.toml or /var/lib/corral/corral.toml, whichever is there first."""
    chosen = file or default_file()
    return load(ServerConfig, file=chosen, env=env, flags=flags or {}, required=file is not None, ignore=OTHER_SECTIONS)
