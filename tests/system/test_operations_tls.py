"""The way of the README from nothing to a command on a remote node: every step as typed, HTTPS and TLS to the engine throughout."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.runtime.clock import SystemClock
from corral.runtime.tls import client_context, fingerprint_of_pem
from corral.server.infrastructure.pki.ca import Authority
from corral.testing.clock import FakeClock
from corral.testing.installation import Installation

pytestmark = pytest.mark.engine


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.close()


def test_from_init_to_a_command_on_a_node_with_tls_on_every_wire(installation: Installation) -> None:
    said = installation.init()
    config = installation.data / "corral.toml"
    assert f"corral server --config {config}" in said
    assert f"corral login --url {installation.url}" in said
    installation.start_server()

    made = installation.run("token", "create", "--labels", "role=web", env=installation.admin())
    token = made.stdout.strip()
    assert f"corral agent enroll --server {installation.url} --token {token}" in made.stderr
    assert token.endswith(fingerprint_of_pem((installation.data / "pki" / "ca.pem").read_text()))

    enrolled = installation.enroll("web-1", token)
    assert enrolled.returncode == 0, enrolled.stderr
    assert "enrolled web-1" in enrolled.stdout
    identity = json.loads((installation.state("web-1") / "identity.json").read_text())
    assert identity["engine_urls"] == [f"tls://127.0.0.1:{installation.engine_port}"]
    assert "BEGIN CERTIFICATE" in identity["ca_pem"]

    installation.start_node("web-1")
    installation.online("web-1")
    job = installation.json("exec", "run", "-t", 'labels["role"] == "web"', "--", "echo", "over", "TLS")
    assert job["state"] == "succeeded"
    assert job["tasks"][0]["stdout"] == "over TLS\n"

    # Both ports speak TLS 1.3 and nothing older.
    old = client_context((installation.data / "pki" / "ca.pem").read_text())
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", installation.https_port), timeout=5) as raw:
        with pytest.raises(ssl.SSLError):
            old.wrap_socket(raw, server_hostname="127.0.0.1").close()


def test_login_with_the_line_that_init_printed_is_good_for_every_directory(installation: Installation) -> None:
    said = installation.init()
    installation.start_server()
    line = next(line for line in said.splitlines() if "corral login" in line).split()
    done = installation.run(*line[1:])
    assert done.returncode == 0, done.stderr
    assert installation.run("node", "list").returncode == 0
    shown = installation.run("config", "show", "-o", "json")
    assert json.loads(shown.stdout)["url"] == installation.url
    link = installation.run("login", "--link")
    assert link.stdout.startswith(f"{installation.url}/login?code=")
    gone = installation.run("logout")
    assert gone.returncode == 0, gone.stderr
    assert installation.run("logout").returncode == 0
    left = installation.run("node", "list")
    assert left.returncode in (4, 5), "the default address: nobody there, or somebody who does not know us"
    assert str(installation.url) not in left.stderr, "nothing names the server any more"


def test_a_token_of_another_ca_and_a_client_without_the_ca_are_told_so(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    installation.start_server()
    token = installation.json("token", "create")["token"]
    wrong = installation.enroll("web-1", token.rpartition(".")[0] + "." + "0" * 64)
    assert wrong.returncode != 0
    assert "does not show the CA this token was made under" in wrong.stderr
    assert "hint:" in wrong.stderr

    unpinned = installation.enroll("web-1", token.rpartition(".")[0] + ".-")
    assert "this token pins no CA" in unpinned.stderr

    plain = installation.enroll("web-1", token, server=f"http://127.0.0.1:{installation.https_port}")
    assert plain.returncode != 0
    assert "cannot" in plain.stderr
    assert "Traceback" not in plain.stderr

    without = installation.run("node", "list", env={**installation.admin(), "CORRAL_CA": ""})
    assert without.returncode == 4
    assert "CORRAL_CA=FILE" in without.stderr
    missing = installation.run("node", "list", env={**installation.admin(), "CORRAL_CA": str(tmp_path / "none.pem")})
    assert missing.returncode != 0
    assert "none.pem" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_an_expired_certificate_is_renewed_at_the_next_start_and_named_until_then(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    pki = installation.data / "pki"
    before = (pki / "ca.pem").read_bytes()
    past = FakeClock(SystemClock(0).wall() - 2 * 365 * 86400)
    # As it would look had nobody restarted the server for a year: signed long ago, expired.
    old = Authority(pki, past)
    (pki / "server.pem").unlink()
    old.server_certificate("server", ["127.0.0.1", "localhost", "::1"])
    expired = (pki / "server.pem").read_bytes()

    key = (pki / "ca.key").read_bytes()
    (
        pki / "ca.key"
    ).unlink()  # kept elsewhere: the server cannot renew, runs all the same, and clients say what is wrong
    installation.start_server()
    assert (pki / "server.pem").read_bytes() == expired
    done = installation.run("node", "list", env=installation.admin())
    assert done.returncode == 4
    assert "expired" in done.stderr
    installation.end(installation.servers[-1])

    (pki / "ca.key").write_bytes(key)
    installation.start_server()
    assert (pki / "server.pem").read_bytes() != expired
    assert (pki / "ca.pem").read_bytes() == before
    assert installation.corral("node", "list")


def test_a_certificate_that_is_missing_or_damaged_stops_the_server_with_its_setting(installation: Installation) -> None:
    installation.init()
    (installation.data / "pki" / "engine.key").write_text("no key")
    done = installation.run("server", "--config", str(installation.data / "corral.toml"))
    assert done.returncode == 2
    assert "engine.tls_cert" in done.stderr
    assert "corral system init" in done.stderr
    assert "Traceback" not in done.stderr


def test_on_the_servers_own_machine_plain_http_enrols_and_the_engine_is_tls_all_the_same(
    installation: Installation,
) -> None:
    installation.init()
    installation.start_server()
    token = installation.json("token", "create", "--uses", "2")["token"]
    done = installation.enroll("local-1", token, server=f"http://127.0.0.1:{installation.http_port}")
    assert done.returncode == 0, done.stderr
    installation.start_node("local-1")
    installation.online("local-1")

    # 127.0.0.2 is this machine too, but no name in the certificate: whoever asks for it is told so.
    elsewhere = installation.enroll("other-1", token, server=f"https://127.0.0.2:{installation.https_port}")
    assert elsewhere.returncode != 0
    assert "server.public_url" in elsewhere.stderr
    by_name = installation.enroll("named-1", token, server=f"https://localhost:{installation.https_port}")
    assert by_name.returncode == 0, by_name.stderr
    renewed = installation.on_node("named-1", "renew")
    assert renewed.returncode == 0, renewed.stderr
    assert "renewed the credential of named-1" in renewed.stdout


def test_other_hosts_and_new_certificates_cost_no_node_its_enrolment(installation: Installation) -> None:
    installation.init()
    installation.start_server()
    installation.add_node("web-1")
    installation.end(installation.servers[-1])
    installation.init("--hosts", "127.0.0.1,127.0.0.2")
    installation.start_server()
    installation.online("web-1")
    token = installation.json("token", "create")["token"]
    again = installation.enroll("web-2", token, server=f"https://127.0.0.2:{installation.https_port}")
    assert again.returncode == 0, again.stderr
