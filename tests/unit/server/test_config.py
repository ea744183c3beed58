from __future__ import annotations

from pathlib import Path

import pytest

from corral.domain.errors import Invalid
from corral.server.config import ServerConfig, load_server_config

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
# file → words its error holds: where, which key, which value, what was expected, what to do
MISTAKES = {
    "unknown-key": ["server.prot", "no such key", "'port'"],
    "unknown-section": ["[sever]", "no such section", "'server'"],
    "port-is-not-a-number": ["'eighty'", "server.port", "a whole number"],
    "port-out-of-range": ["70000", "server.port", "at most 65535"],
    "port-is-a-boolean": ["True", "server.port", "a whole number"],
    "not-toml": ["cannot read the configuration", "[section]"],
    "section-is-not-a-table": ["'server'", "expected a table"],
    "size-with-a-wrong-unit": ["'10 parsecs'", "retention.output_max_bytes", "64MiB"],
    "log-level-is-unknown": ["'loud'", "log.level", "debug, info, warn, error"],
    "urls-are-not-texts": ["engine.urls", "a list of texts"],
    "duration-is-negative": ["'-5'", "jobs.lost_after_seconds", "1h30m"],
    "certificate-without-key": ["server.tls_cert", "server.tls_key is missing", "corral system init"],
    "key-twice": ["cannot read the configuration"],
    "public-url-without-scheme": ["server.public_url", "http://", "https://"],
    "database-is-not-supported": ["sql.url", "mysql", "postgresql://"],
}


def test_every_golden_mistake_is_tested() -> None:
    assert {path.stem for path in GOLDEN.glob("*.toml")} == set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_file_is_explained(name: str) -> None:
    file = GOLDEN / f"{name}.toml"
    with pytest.raises(Invalid) as caught:
        load_server_config(file=file, env={})
    error = caught.value
    told = f"{error.message} | {error.element} | {error.hint}"
    assert f"{name}.toml" in told
    assert error.hint
    assert all(word in told for word in MISTAKES[name]), told
    assert "hunter2" not in told


def test_the_defaults_listen_on_loopback_with_sqlite() -> None:
    config = load_server_config(env={}).value
    assert config == ServerConfig()
    assert (config.server.host, config.server.port, config.server.tls_port, config.engine.port) == (
        "127.0.0.1",
        8080,
        8443,
        4222,
    )
    assert config.sql.is_sqlite
    assert (config.retention.jobs_days, config.retention.output_days, config.retention.audit_days) == (30, 14, 365)


def test_settings_of_the_agent_in_the_same_environment_are_left_alone() -> None:
    env = {"CORRAL__AGENT__SLOTS": "3", "CORRAL__SERVER__PORT": "0", "CORRAL_URL": "x", "PATH": "/bin"}
    assert load_server_config(env=env).value.server.port == 0


@pytest.mark.parametrize(
    ("env", "element"),
    [
        ({"CORRAL__SERVER__HOST": "0.0.0.0"}, "server.host"),
        ({"CORRAL__ENGINE__HOST": "0.0.0.0"}, "engine.host"),
        ({"CORRAL__ENGINE__URLS": "http://x"}, "engine.urls"),
        ({"CORRAL__ENGINE__TLS_KEY": "/k"}, "engine.tls_key"),
        ({"CORRAL__SERVER__PUBLIC_URL": "ftp://x"}, "server.public_url"),
    ],
)
def test_what_would_be_unsafe_or_senseless_is_refused(env: dict[str, str], element: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_server_config(env=env)
    assert caught.value.element == element
    assert next(iter(env)) in caught.value.message  # where it stands


def test_plain_http_on_the_network_has_to_be_asked_for() -> None:
    env = {"CORRAL__SERVER__HOST": "0.0.0.0", "CORRAL__SERVER__PLAIN_HTTP": "true"}
    assert load_server_config(env=env).value.server.host == "0.0.0.0"


def test_a_database_password_is_never_shown() -> None:
    loaded = load_server_config(env={"CORRAL__SQL__URL": "postgresql://corral:hunter2@db/corral"})
    assert not loaded.value.sql.is_sqlite
    assert loaded.value.sql.url.reveal().endswith("hunter2@db/corral")
    assert "hunter2" not in f"{loaded!r} {loaded.settings} {loaded.value.sql.url}"
    assert loaded.origin("sql.url") == "env CORRAL__SQL__URL"


OIDC = {
    "CORRAL__OIDC__ISSUER": "https://id.example.org",
    "CORRAL__OIDC__CLIENT_ID": "corral",
    "CORRAL__OIDC__CLIENT_SECRET": "hunter2-hunter2",
}


@pytest.mark.parametrize(
    ("change", "element"),
    [
        ({"CORRAL__OIDC__ISSUER": "http://id.example.org"}, "oidc.issuer"),
        ({"CORRAL__OIDC__ISSUER": "id.example.org"}, "oidc.issuer"),
        ({"CORRAL__OIDC__CLIENT_ID": ""}, "oidc.client_id"),
        ({"CORRAL__OIDC__CLIENT_SECRET": ""}, "oidc.client_secret"),
        ({"CORRAL__OIDC__SCOPES": "profile,email"}, "oidc.scopes"),
    ],
)
def test_an_identity_provider_has_to_be_whole_and_encrypted(change: dict[str, str], element: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_server_config(env={**OIDC, **change})
    assert caught.value.element == element
    assert "hunter2" not in caught.value.message


def test_the_secret_of_the_identity_provider_is_never_shown() -> None:
    loaded = load_server_config(env={**OIDC, "CORRAL__OIDC__ROLE_MAP": "ops=operator, admins=admin"})
    assert loaded.value.oidc.client_secret.reveal() == "hunter2-hunter2"
    assert loaded.value.oidc.role_map == ["ops=operator", "admins=admin"]
    assert "hunter2" not in f"{loaded!r} {loaded.value.oidc.client_secret}"
    assert load_server_config(
        env={"CORRAL__OIDC__ISSUER": "http://127.0.0.1:9", **{k: OIDC[k] for k in list(OIDC)[1:]}}
    )
