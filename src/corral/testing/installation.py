"""A real installation in a folder, as docs/operations.md describes it: `system init`, a server with TLS, nodes that enrolled by token.

Every step is the command a person would type, run as a process of its own; everything binds loopback and is ended by the ids we
started. For tests of operations.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

from corral.agent.bundle import build_bundle
from corral.agent.pidfile import read as read_pid
from corral.domain.errors import Unavailable
from corral.runtime.clock import SystemClock
from corral.testing.ports import free_port

_PAUSE: Final = 0.05
T = TypeVar("T")


class Installation:
    """`corral(…)` runs a verb as the administrator. Close it at the end; what it started is gone then."""

    def __init__(self, folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.http_port, self.https_port, self.engine_port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.https_port}"
        self.env = dict(env or {})
        self.servers: list[subprocess.Popen[bytes]] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self._bundle = folder / "corral-agent.pyz"
        self._states: list[Path] = []

    # ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """`corral <words>` in a clean environment: no context file, no credential."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CORRAL")}
        return subprocess.run(
            [sys.executable, "-m", "corral", *words],
            env={**inherited, "HOME": str(home), **(env or {})},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def corral(self, *words: str, url: str = "", timeout: float = 60.0) -> str:
        """As the administrator; its standard output. A status other than 0 is an error here."""
        done = self.run(*words, env=self.admin(url), timeout=timeout)
        assert done.returncode == 0, f"corral {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *words: str, url: str = "") -> Any:
        at = words.index("--") if "--" in words else len(words)
        return json.loads(self.corral(*words[:at], "-o", "json", *words[at:], url=url))

    def admin(self, url: str = "") -> dict[str, str]:
        return {
            "CORRAL_URL": url or self.url,
            "CORRAL_CA": str(self.data / "pki" / "ca.pem"),
            "CORRAL_TOKEN": (self.data / "admin.token").read_text().strip(),
        }

    # ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────

    def init(self, *flags: str) -> str:
        ports = ("--http-port", str(self.http_port), "--https-port", str(self.https_port))
        words = ("--output-dir", str(self.data), "--hosts", "127.0.0.1", *ports)
        done = self.run("system", "init", *words, "--engine-port", str(self.engine_port), *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_server(
        self,
        *flags: str,
        config: Path | None = None,
        env: Mapping[str, str] | None = None,
        http_port: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """`corral server --config …`; returns once it is ready."""
        server = self.spawn_server(env, *flags, config=config)
        url = f"http://127.0.0.1:{http_port or self.http_port}/readyz"
        self.until(lambda: server.poll() is not None or _answers(url), what=lambda: self.log_tail())
        if server.returncode is not None:
            raise Unavailable(f"cannot start the server; its log ends:\n{self.log_tail()}")
        return server

    def spawn_server(
        self, env: Mapping[str, str] | None = None, *flags: str, config: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """The same without waiting."""
        argv = [sys.executable, "-m", "corral", "server", "--config", str(config or self.data / "corral.toml"), *flags]
        with (self.folder / f"server-{len(self.servers)}.log").open("ab") as log:
            server = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env, **(env or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        self.servers.append(server)
        return server

    def log_tail(self, characters: int = 3000) -> str:
        path = self.folder / f"server-{len(self.servers) - 1}.log"
        return path.read_text(errors="replace")[-characters:]

    def end(self, child: subprocess.Popen[bytes], sig: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; its status."""
        child.send_signal(sig)
        return child.wait(30)

    def spawn(self, argv: Sequence[str], *, log: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Any other program of the installation, such as an engine; ended by `close`."""
        with (self.folder / log).open("ab") as output:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={**os.environ, **(env or {})},
            )
        self._children.append(child)
        return child

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def enroll(self, node: str, token: str, *, server: str = "") -> subprocess.CompletedProcess[str]:
        """`corral agent enroll` on the node: the zipapp on a bare Python."""
        if not self._bundle.exists():
            build_bundle(self._bundle)
        return self.on_node(node, "enroll", "--server", server or self.url, "--token", token, "--node-id", node)

    def on_node(self, node: str, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`corral agent <verb>` on that node."""
        argv = [*self._agent(verb), "--state", str(self.state(node)), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd="/")

    def start_node(self, node: str, *, env: Mapping[str, str] | None = None) -> None:
        """Its daemon and its worker."""
        state = self.state(node)
        self._states.append(state)
        for role in ("worker", "daemon"):
            self.spawn([*self._agent(role), "--state", str(state)], log=f"{node}-{role}.log", env=env)

    def add_node(self, node: str, *, url: str = "") -> None:
        """Token, enrolment, start, online."""
        token = self.json("token", "create", "--node-id", node, url=url)["token"]
        done = self.enroll(node, token)
        assert done.returncode == 0, done.stderr
        self.start_node(node)
        self.online(node, url=url)

    def online(self, *nodes: str, url: str = "", seconds: float = 30.0) -> None:
        def there() -> bool:
            return set(nodes) <= {row["id"] for row in self.json("node", "list", "--online", url=url)}

        self.until(there, seconds=seconds, what=lambda: f"{nodes} online\n{self.log_tail()}")

    def state(self, node: str) -> Path:
        return self.folder / f"node-{node}"

    def _agent(self, role: str) -> list[str]:
        return [sys.executable, "-S", "-E", str(self._bundle), "agent", role]

    # ── waiting and ending ───────────────────────────────────────────────────────────────────────────────────────────

    def until(
        self, condition: Callable[[], T], *, seconds: float = 30.0, what: Callable[[], str] = lambda: "a condition"
    ) -> T:
        """What `condition` returns once that is true. Raises Unavailable after `seconds`."""
        clock = SystemClock(0)
        ends = clock.monotonic() + seconds
        while True:
            if found := condition():
                return found
            if clock.monotonic() > ends:
                raise Unavailable(f"cannot wait longer than {seconds:g} s for {what()}")
            threading.Event().wait(_PAUSE)

    def close(self) -> None:
        """Daemons first: a keeper would start its worker again."""
        for child in [*reversed(self._children), *self.servers]:
            if child.poll() is not None:
                continue
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for state in self._states:  # a worker that its daemon started is nobody's child
            for role in ("daemon", "worker"):
                left = read_pid(state / f"{role}.pid")
                if left is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(left.pid, signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310  # loopback, made above
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
