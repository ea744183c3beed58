"""Enrolling against a server that checks every proof: the good way, each refusal, and answers that are lost on the way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from corral.agent.config import StateDir, load_identity
from corral.agent.main import main
from corral.runtime.crypto import ed25519_verify
from corral.runtime.nkeys import decode_public
from corral.runtime.tls import fingerprint_of_pem

SECRET = "s3cret-of-the-token"
FAR = 4_000_000_000.0


class FakeServer:
    """The three enrolment calls of the server, over http or https, and what a test wants to go wrong."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.keys: dict[str, str] = {}
        self.refuse: tuple[int, int, str] | None = None
        self.lose_answers = 0
        self.raw: bytes | None = None
        self.expires_at = FAR
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append((self.path, body))
                status, answer = server.answer(self.path, body)
                if self.path.endswith("/enroll") and server.lose_answers:
                    server.lose_answers -= 1
                    return
                raw = server.raw or json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # a client that leaves during the handshake is what some tests are about

        self._http = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_address[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        node = body["node_id"]
        if path == "/api/v1/enroll/challenge":
            return 200, {"code": 0, "data": {"nonce": f"nonce-{len(self.requests)}"}}
        if path == "/api/v1/enroll":
            if self.refuse is not None:
                status, code, message = self.refuse
                return status, {"code": code, "message": message, "data": None, "element": "token", "hint": "remedy"}
            text = f"corral-enroll-v1\n{body['nonce']}\n{node}\n{body['daemon_key']}\n{body['worker_key']}".encode()
            expected = hmac.new(hashlib.sha256(SECRET.encode()).digest(), text, hashlib.sha256).hexdigest()
            assert body["proof"] == expected
            self.check(body["daemon_key"], body["daemon_signature"], text)
            self.check(body["worker_key"], body["worker_signature"], text)
            if node in self.keys:
                return 403, {"code": 2003, "message": "cannot enrol: the token was used", "hint": "make a new one"}
            self.keys[node] = body["daemon_key"]
        else:
            assert path == "/api/v1/enroll/renew"
            if self.keys.get(node) != body["daemon_key"]:
                return 404, {"code": 1005, "message": "cannot renew: no such node"}
            self.check(
                body["daemon_key"], body["daemon_signature"], f"corral-renew-v1\n{body['nonce']}\n{node}".encode()
            )
        return 200, {
            "code": 0,
            "data": {
                "node_id": node,
                "daemon_jwt": f"daemon-{len(self.requests)}",
                "worker_jwt": f"worker-{len(self.requests)}",
                "expires_at": self.expires_at,
                "signing_keys": {"k1": base64.b64encode(bytes(32)).decode()},
                "engine_urls": ["nats://127.0.0.1:4222"],
                "engine_ca": "",
            },
        }

    @staticmethod
    def check(key: str, signature: str, text: bytes) -> None:
        kind, public = decode_public(key)
        assert kind == "U"
        assert ed25519_verify(public, base64.b64decode(signature), text)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(ca: trustme.CA) -> Iterator[Callable[[str], FakeServer]]:
    """An https server for a certificate name; it shows the CA too, as ours does."""
    servers = []

    def make(name: str = "127.0.0.1") -> FakeServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = ca.issue_cert(name)
        with (
            certificate.private_key_and_cert_chain_pem.tempfile() as leaf,
            trustme.Blob(
                certificate.private_key_pem.bytes() + certificate.cert_chain_pems[0].bytes() + ca.cert_pem.bytes()
            ).tempfile() as chain,
        ):
            assert leaf
            context.load_cert_chain(chain)
        servers.append(FakeServer(context))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def token(pin: str = "-") -> str:
    return f"cj1.T01.{SECRET}.{pin}"


def enrol(url: str, state: Path, *more: str, pin: str = "-") -> int:
    words = ["enroll", "--server", url, "--token", token(pin), "--state", str(state), "--node-id", "web-1"]
    return main([*words, *more])


def test_a_machine_becomes_a_node_and_hears_how_to_start(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enrol(server.url, tmp_path / "state") == 0
    identity = load_identity(StateDir(tmp_path / "state"))
    assert identity.node_id == "web-1"
    assert identity.server_url == server.url
    assert stat.S_IMODE((tmp_path / "state" / "identity.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    out = capsys.readouterr().out
    assert "enrolled web-1" in out
    assert "agent daemon --state" in out
    assert "agent worker --state" in out
    sent = json.dumps(server.requests)
    assert SECRET not in sent
    assert identity.daemon_seed not in sent
    assert identity.worker_seed not in sent
    assert identity.daemon_seed != identity.worker_seed
    assert not (tmp_path / "state" / "enrolling.json").exists()


def test_enrolling_twice_says_so_and_asks_the_server_nothing(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(server.url, tmp_path)
    before, saved = len(server.requests), (tmp_path / "identity.json").read_bytes()
    assert enrol(server.url, tmp_path) == 0
    assert "already enrolled: web-1" in capsys.readouterr().out
    assert len(server.requests) == before
    assert (tmp_path / "identity.json").read_bytes() == saved


def test_enrolling_again_with_an_expired_credential_renews_it(server: FakeServer, tmp_path: Path) -> None:
    server.expires_at = 1.0
    enrol(server.url, tmp_path)
    server.expires_at = FAR
    assert enrol(server.url, tmp_path) == 0
    assert load_identity(StateDir(tmp_path)).expires_at == FAR


def test_renewing_keeps_the_keys_and_takes_the_new_credentials(server: FakeServer, tmp_path: Path) -> None:
    enrol(server.url, tmp_path)
    before = load_identity(StateDir(tmp_path))
    assert main(["renew", "--state", str(tmp_path)]) == 0
    after = load_identity(StateDir(tmp_path))
    assert after.daemon_seed == before.daemon_seed
    assert after.daemon_jwt != before.daemon_jwt
    assert after.worker_jwt != before.worker_jwt


def test_a_state_directory_of_another_server_is_left_alone(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(server.url, tmp_path)
    assert enrol("http://127.0.0.1:1", tmp_path) == 1
    err = capsys.readouterr().err
    assert "already is node 'web-1'" in err
    assert "--reset" in err


def test_reset_enrols_anew_with_new_keys(server: FakeServer, tmp_path: Path) -> None:
    enrol(server.url, tmp_path)
    before = load_identity(StateDir(tmp_path))
    server.keys.clear()
    assert enrol(server.url, tmp_path, "--reset") == 0
    assert load_identity(StateDir(tmp_path)).daemon_seed != before.daemon_seed


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ((403, 2003, "cannot enrol with token 'T01': it was used"), 5),
        ((403, 2003, "cannot enrol with token 'T01': it expired"), 5),
        ((404, 1005, "cannot find token 'T01'"), 3),
        ((409, 2001, "cannot enrol 'web-1': this id belongs to a node with other keys"), 1),
        ((503, 5001, "cannot enrol: the database does not answer"), 4),
    ],
)
def test_a_refusal_is_shown_with_its_remedy_and_leaves_no_identity(
    server: FakeServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refusal: tuple[int, int, str],
    status: int,
) -> None:
    server.refuse = refusal
    assert enrol(server.url, tmp_path) == status
    err = capsys.readouterr().err
    assert f"error: {refusal[2]}" in err
    assert "hint: remedy" in err
    assert not (tmp_path / "identity.json").exists()


def test_when_the_answer_was_lost_the_same_keys_get_it_again(server: FakeServer, tmp_path: Path) -> None:
    server.lose_answers = 1
    assert enrol(server.url, tmp_path) == 0
    enrolled = [body for path, body in server.requests if path.endswith("/enroll")]
    assert len(enrolled) == 1
    assert server.requests[-1][0].endswith("/renew")


def test_when_the_process_died_before_the_answer_the_next_run_ends_it(server: FakeServer, tmp_path: Path) -> None:
    enrol(server.url, tmp_path)
    identity = load_identity(StateDir(tmp_path))
    (tmp_path / "identity.json").unlink()
    pending = {
        "server": server.url,
        "node_id": "web-1",
        "daemon_seed": identity.daemon_seed,
        "worker_seed": identity.worker_seed,
    }
    (tmp_path / "enrolling.json").write_text(json.dumps(pending))
    assert enrol(server.url, tmp_path) == 0
    assert load_identity(StateDir(tmp_path)).daemon_seed == identity.daemon_seed


def test_over_https_the_pinned_ca_is_found_and_kept(
    secure: Callable[..., FakeServer], ca: trustme.CA, tmp_path: Path
) -> None:
    server = secure()
    pem = ca.cert_pem.bytes().decode()
    assert enrol(server.url, tmp_path, pin=fingerprint_of_pem(pem)) == 0
    assert load_identity(StateDir(tmp_path)).ca_pem.split() == pem.split()
    assert main(["renew", "--state", str(tmp_path)]) == 0


def test_a_server_with_another_ca_is_told_nothing(
    secure: Callable[..., FakeServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = secure()
    stranger = fingerprint_of_pem(trustme.CA().cert_pem.bytes().decode())
    assert enrol(server.url, tmp_path, pin=stranger) == 2
    assert "does not show the CA this token was made under" in capsys.readouterr().err
    assert server.requests == []


def test_a_certificate_for_another_name_is_refused(
    secure: Callable[..., FakeServer], ca: trustme.CA, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = secure("other.example.org")
    assert enrol(server.url, tmp_path, pin=fingerprint_of_pem(ca.cert_pem.bytes().decode())) == 2
    assert "cannot trust" in capsys.readouterr().err
    assert server.requests == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--server", "http://10.0.0.1:8080", "--token", token()], "without TLS only to this machine itself"),
        (["--server", "https://127.0.0.1:1", "--token", token()], "this token pins no CA"),
        (["--server", "ftp://x", "--token", token()], "expected https://host:port"),
        (["--server", "http://127.0.0.1:99999", "--token", token()], "cannot use"),
        (["--server", "http://127.0.0.1:1", "--token", "nonsense"], "cannot read the token"),
        (["--server", "http://127.0.0.1:1"], "--token is missing"),
        (["--server", "http://127.0.0.1:1", "--token", token(), "--node-id", "*"], "as a node id"),
        (["--server", "http://127.0.0.1:1", "--token", token(), "--colour", "red"], "no such option"),
        (["--server", "http://127.0.0.1:1", "--token"], "wants a value"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enroll", "--state", str(tmp_path / "state"), *words]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "state" / "identity.json").exists()


def test_an_unreachable_server_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrol("http://127.0.0.1:1", tmp_path) == 4
    assert "cannot reach http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("raw", [b"<html>hello</html>", b"[]", b'{"data": {"node_id": "web-1"}}'])
def test_something_that_is_no_corral_server_is_named(
    raw: bytes, server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.raw = raw
    assert enrol(server.url, tmp_path) == 4
    assert "is this a Corral server?" in capsys.readouterr().err


def test_the_units_are_written_where_asked_and_leave_tasks_alone(
    server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units = tmp_path / "units"
    units.mkdir()
    assert enrol(server.url, tmp_path / "state", "--write-units", "--unit-dir", str(units)) == 0
    for role in ("daemon", "worker"):
        text = (units / f"corral-{role}.service").read_text()
        assert "KillMode=process" in text
        assert "Restart=always" in text
        assert f"agent {role} --state {tmp_path / 'state'}" in text
    assert "systemctl enable --now corral-daemon.service corral-worker.service" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["", "daemon", "worker", "enroll", "renew", "status"])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"] if verb else []) == (0 if verb else 2)
    assert "usage: corral agent" in capsys.readouterr().out
