"""A real Kubernetes API server for tests: etcd and kube-apiserver in a temporary directory, RBAC on, gone afterwards.

There is no kubelet and no controller: pods stay pending, nothing is rolled out. Both programs are looked for on PATH and in the directory
that CORRAL_KUBERNETES_PROGRAMS names.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corral.runtime.clock import SystemClock
from corral.testing.ports import free_port

INSTALL: Final = (
    "etcd: apt-get install etcd-server; kube-apiserver: build cmd/kube-apiserver of the Debian source package 'kubernetes' (1.20) with"
    " golang-1.19 and the module reflect2 of Debian; name their directory in CORRAL_KUBERNETES_PROGRAMS"
)
ADMIN_TOKEN: Final = "admin-token-of-the-tests"
LIMITED_TOKEN: Final = "limited-token-of-the-tests"
LIMITED_USER: Final = "corral-deployer"
START_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """A running API server. `connection()` is what the executor is given."""

    port: int
    ca_file: str
    version: str

    def connection(self, token: str = ADMIN_TOKEN, **options: Any) -> dict[str, Any]:
        return {
            "name": "test",
            "engine": "kubernetes",
            "host": "127.0.0.1",
            "port": self.port,
            "password": token,
            "tls": {"mode": "verify", "ca_file": self.ca_file},
            "options": options,
        }


def program(name: str) -> str | None:
    folder = os.environ.get("CORRAL_KUBERNETES_PROGRAMS", "")
    return shutil.which(name, path=f"{folder}:{os.environ.get('PATH', '')}")


@contextmanager
def running() -> Iterator[ApiServer]:
    """Start both, yield when they answer, stop them. Raises FileNotFoundError when one is not there."""
    etcd, apiserver = program("etcd"), program("kube-apiserver")
    if etcd is None or apiserver is None:
        raise FileNotFoundError(f"there is no Kubernetes API server here: {INSTALL}")
    directory = Path(tempfile.mkdtemp(prefix="corral-k8s-"))
    started: list[subprocess.Popen[bytes]] = []
    try:
        ports = [free_port() for _ in range(3)]
        ca_file = _certificates(directory)
        with (directory / "log").open("wb") as log:
            started.append(subprocess.Popen(_etcd(etcd, directory, *ports[:2]), cwd=directory, stdout=log, stderr=log))
            words = _apiserver(apiserver, directory, ports[0], ports[2])
            started.append(subprocess.Popen(words, cwd=directory, stdout=log, stderr=log))
            version = _ready(ports[2], ca_file, started, directory)
            yield ApiServer(port=ports[2], ca_file=ca_file, version=version)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
        shutil.rmtree(directory, ignore_errors=True)


def _etcd(program: str, directory: Path, client: int, peer: int) -> list[str]:
    urls = [f"http://127.0.0.1:{port}" for port in (client, peer)]
    return [
        program,
        *(
            "--data-dir",
            str(directory / "etcd"),
            "--unsafe-no-fsync" if _can_skip_fsync(program) else "--log-level=error",
        ),
        *("--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]),
        *("--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]),
        *("--initial-cluster", f"default={urls[1]}"),
    ]


def _can_skip_fsync(program: str) -> bool:
    said = subprocess.run([program, "--help"], capture_output=True, check=False, timeout=30)
    return b"unsafe-no-fsync" in said.stdout + said.stderr


def _apiserver(program: str, directory: Path, etcd: int, port: int) -> list[str]:
    (directory / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,1,"system:masters"\n{LIMITED_TOKEN},{LIMITED_USER},2\n')
    key = str(directory / "key.pem")
    return [
        program,
        *(f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={port}", "--bind-address=127.0.0.1"),
        *(f"--tls-cert-file={directory}/cert.pem", f"--tls-private-key-file={key}", f"--cert-dir={directory}"),
        *(f"--token-auth-file={directory}/tokens.csv", "--authorization-mode=RBAC", "--anonymous-auth=false"),
        *("--service-account-issuer=https://test.example", f"--service-account-key-file={key}"),
        *(f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.96.0.0/24"),
        "--disable-admission-plugins=ServiceAccount",
    ]


def _certificates(directory: Path) -> str:
    import trustme

    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    made = authority.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    made.private_key_pem.write_to_path(str(directory / "key.pem"))
    for blob in made.cert_chain_pems:
        blob.write_to_path(str(directory / "cert.pem"), append=True)
    return str(directory / "ca.pem")


def _ready(port: int, ca_file: str, started: list[subprocess.Popen[bytes]], directory: Path) -> str:
    """The version, once it answers and its roles are there."""
    clock = SystemClock()
    end = clock.monotonic() + START_SECONDS
    context = ssl.create_default_context(cafile=ca_file)
    while clock.monotonic() < end and all(process.poll() is None for process in started):
        try:
            if all(_ask(port, context, path)[0] == 200 for path in ("/readyz", "/api/v1/namespaces/default")):
                return str(json.loads(_ask(port, context, "/version")[1])["gitVersion"])
        except OSError:
            pass
        threading.Event().wait(0.1)
    raise RuntimeError(f"the API server did not start: {(directory / 'log').read_text()[-2000:]}")


def _ask(port: int, context: ssl.SSLContext, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
