"""TLS to real servers: what each mode accepts and what it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from corral.testing import clickhouse, mariadb, postgres
from corral.testing.ports import free_port


@dataclass(frozen=True)
class Keys:
    """A certificate for localhost that the server can read, its authority, and an authority nobody asked."""

    directory: Path
    authority: str
    stranger: str
    client: dict[str, str]

    def given_to(self, user: str) -> Keys:
        """The server's user owns the key, or the server refuses it."""
        if os.geteuid() == 0:
            owner = pwd.getpwnam(user)
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        return self


@pytest.fixture
def keys() -> Iterator[Keys]:
    directory = Path(tempfile.mkdtemp(prefix="corral-tls-", dir="/tmp"))
    try:
        authority, stranger = trustme.CA(), trustme.CA()
        made = authority.issue_cert("localhost", "127.0.0.1")
        made.cert_chain_pems[0].write_to_path(directory / "server.crt")
        made.private_key_pem.write_to_path(directory / "server.key")
        (directory / "server.key").chmod(0o600)
        asked = authority.issue_cert(common_name="corral")
        client = {
            "cert": asked.cert_chain_pems[0].bytes().decode(),
            "key": asked.private_key_pem.bytes().decode(),
        }
        (directory / "clients.crt").write_bytes(authority.cert_pem.bytes())
        yield Keys(directory, authority.cert_pem.bytes().decode(), stranger.cert_pem.bytes().decode(), client)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def modes_hold(child: Callable[..., Any], keys: Keys, encrypted: str, is_on: Callable[[Any], bool]) -> None:
    """`encrypted` is a query whose only value `is_on` judges."""

    def value(**tls: str) -> Any:
        (row,) = child(tls).ok(sql=encrypted, format="json").rows
        return next(iter(row.values()))

    assert is_on(value())
    assert is_on(value(mode="require"))
    assert is_on(value(ca_data=keys.authority))
    assert not is_on(value(mode="off"))
    for tls in ({"ca_data": keys.stranger}, {"mode": "verify"}):
        ran = child(tls).run(sql="select 1")
        assert ran.status == 1
        assert "cannot connect" in ran.err
        assert "certificate" in ran.err.lower()


@pytest.mark.postgres
def test_postgres_encrypts_and_verifies(keys: Keys, pg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    folder = keys.given_to("postgres").directory
    settings = ("listen_addresses=127.0.0.1", f"port={port}", "ssl=on", f"ssl_cert_file={folder}/server.crt")
    settings += (f"ssl_ca_file={folder}/clients.crt",)
    monkeypatch.setenv("PGPORT", str(port))  # the fixture's own clients look there
    with postgres.running(*settings, f"ssl_key_file={folder}/server.key") as server:
        (server.directory / "data" / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
        server.sql("postgres", "select pg_reload_conf()")

        def child(tls: dict[str, str]) -> Any:
            connection = {**pg.connection, "host": "localhost", "port": port, "database": "postgres", "tls": tls}
            return type(pg)("postgres", connection, pg.directory)

        query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        modes_hold(child, keys, query, lambda value: value is True)

        (server.directory / "data" / "pg_hba.conf").write_text(
            "local all all trust\nhostssl all all 127.0.0.1/32 cert\n"
        )
        server.sql("postgres", "select pg_reload_conf()")
        assert child({"ca": keys.authority, **keys.client}).ok(sql=query, format="json").rows == [{"ssl": True}]
        assert "certificate" in child({"ca": keys.authority}).run(sql=query).err


@pytest.mark.mariadb
def test_mariadb_encrypts_and_verifies(keys: Keys, my: Any) -> None:
    port = free_port()
    folder = keys.given_to("mysql").directory
    flags = ("--skip-networking=0", "--bind-address=127.0.0.1", f"--port={port}", f"--ssl-cert={folder}/server.crt")
    with mariadb.running(*flags, f"--ssl-key={folder}/server.key") as server:
        server.sql("create user ana@'%' identified by 'pw'; grant all on *.* to ana@'%'; create database d")

        def child(tls: dict[str, str]) -> Any:
            connection = {**my.connection, "host": "localhost", "port": port, "user": "ana", "password": "pw"}
            return type(my)("mysql", {**connection, "database": "d", "tls": tls}, my.directory)

        query = "select variable_value as v from information_schema.session_status where variable_name = 'Ssl_cipher'"
        modes_hold(child, keys, query, bool)


@pytest.mark.clickhouse
def test_clickhouse_encrypts_and_verifies(keys: Keys, ch: Any) -> None:
    port = free_port()
    folder = keys.given_to("clickhouse").directory
    files = (
        f"<certificateFile>{folder}/server.crt</certificateFile><privateKeyFile>{folder}/server.key</privateKeyFile>"
    )
    server = (
        f"<server>{files}<verificationMode>none</verificationMode><loadDefaultCAFile>false</loadDefaultCAFile></server>"
    )
    with clickhouse.running(f"<https_port>{port}</https_port><openSSL>{server}</openSSL>"):

        def child(**tls: str) -> Any:
            connection = {**ch.connection, "host": "localhost", "port": port, "database": "", "tls": tls}
            return type(ch)("clickhouse", connection, ch.directory)

        for tls in ({"mode": "require"}, {"ca": keys.authority}):
            assert child(**tls).ok(sql="select 1 as n", format="json").rows == [{"n": 1}]
        for tls in ({"ca": keys.stranger}, {"mode": "verify"}, {"mode": "off"}):
            ran = child(**tls).run(sql="select 1")
            assert ran.status == 1
            assert "the connection to 'facts' failed" in ran.err
