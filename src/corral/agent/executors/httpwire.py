"""HTTP/1.1 for executors, of the standard library: one checked address, one deadline, one cap. No proxy, no cookie, no pool.

A name is resolved once, every address behind it is judged (domain/netguard.py), and the one judged is the one connected to, with
Host and SNI as the URL says them: a name that answers differently the second time gains nothing. A redirect is a request like any
other: it is judged again, and what authorises goes to no other origin.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

from corral.agent.executors.contract import BadParams, Failed
from corral.domain.netguard import AddressRules, Url, check_addresses, parse_url
from corral.runtime.clock import Clock, SystemClock

AGENT: Final = "corral"
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
SECRET_HEADERS: Final = frozenset(("authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"))
"""What is left out when a redirect leads to another origin."""
_PART_BYTES: Final = 64 << 10

Resolve = Callable[[str, int], Sequence[str]]
Connect = Callable[[str, int, float], socket.socket]


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of `host`, in the order to try; raises OSError."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect(address: str, port: int, timeout_seconds: float) -> socket.socket:
    """`address` is a number, so nobody is asked again what it means; raises OSError."""
    return socket.create_connection((address, port), timeout_seconds)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`headers` keep their order; names are in lower case. `redirects` says how many hops led here."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    url: str
    redirects: int = 0
    seconds: float = 0.0

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True, kw_only=True)
class Web:
    """Sends requests. `tls`: verify, ca_file, ca_data, server_name, client_cert_file, client_key_file."""

    rules: AddressRules = field(default_factory=AddressRules)
    tls: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 30.0
    max_body_bytes: int = 1 << 20
    resolve: Resolve = resolve
    connect: Connect = connect
    clock: Clock = field(default_factory=SystemClock)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        redirects: int = 0,
    ) -> Answer:
        """The answer, whatever its status. Raises Invalid for an address that may not be asked, Failed for all else."""
        started = self.clock.monotonic()
        deadline = started + self.timeout_seconds
        sent = dict(headers or {})
        here, hops = self._parse(url), 0
        while True:
            answer = self._once(method, here, sent, body, deadline)
            target = answer.header("location")
            if answer.status not in REDIRECTS or not target or hops >= redirects:
                seconds = self.clock.monotonic() - started
                return Answer(**{**vars(answer), "redirects": hops, "seconds": seconds})
            hops += 1
            there = self._parse(urljoin(str(here), target.partition("#")[0]), "location")
            if here.scheme == "https" and there.scheme == "http":
                raise Failed(
                    f"cannot follow {here.host!r} to {str(there)[:200]!r}: it leaves TLS", element="params.url"
                )
            if there.origin != here.origin:
                sent = {name: value for name, value in sent.items() if name.lower() not in SECRET_HEADERS | {"host"}}
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = ("HEAD" if method == "HEAD" else "GET"), None
                sent = {name: value for name, value in sent.items() if not name.lower().startswith("content-")}
            elif body is not None and there.origin != here.origin:
                raise Failed(
                    f"cannot follow {here.host!r} to {there.host!r}: the body would go to another origin",
                    hint="send it to where the redirect leads",
                )
            here = there

    def addresses(self, url: Url) -> Sequence[str]:
        """Where a request to `url` may go; raises Invalid when one of its addresses may not be asked, Failed without any."""
        try:
            found = self.resolve(url.host, url.port)
        except (OSError, UnicodeError) as error:
            raise Failed(f"cannot resolve {url.host!r}: {getattr(error, 'strerror', None) or error}") from None
        return check_addresses(url.host, found, self.rules)

    def open(self, url: Url, deadline: float) -> socket.socket:
        """A connection to the checked address, with TLS where the URL says so; raises Invalid, Failed."""
        plain = self._connected(url, self.addresses(url), deadline)
        if url.scheme == "http":
            return plain
        try:
            return context(self.tls).wrap_socket(plain, server_hostname=self.tls.get("server_name") or url.host)
        except BaseException as error:
            plain.close()
            if isinstance(error, ssl.SSLCertVerificationError):
                raise Failed(
                    f"cannot trust {url.netloc!r}: {error.verify_message}", hint="name its authority: tls.ca_file"
                ) from None
            if isinstance(error, TimeoutError):
                raise self._late(url) from None
            if isinstance(error, OSError):
                raise Failed(f"cannot speak TLS with {url.netloc!r}: {error.strerror or error}") from None
            raise

    def _connected(self, url: Url, addresses: Sequence[str], deadline: float) -> socket.socket:
        """To the first of them that answers: a machine without IPv6 is not cut off by a name that has it."""
        trouble: OSError | None = None
        for number, address in enumerate(addresses):
            left = deadline - self.clock.monotonic()
            if left <= 0:
                break
            # one that never answers leaves time for the others
            patience = left if number == len(addresses) - 1 else left / 2
            try:
                return self.connect(address, url.port, patience)
            except OSError as error:
                trouble = error
        if trouble is None or isinstance(trouble, TimeoutError):
            raise self._late(url)
        raise Failed(f"cannot connect to {url.netloc!r}: {trouble.strerror or trouble}")

    def _parse(self, url: str, element: str = "params.url") -> Url:
        # where loopback may be asked its names may be used; what they resolve to is judged all the same
        return parse_url(url, element, names=()) if self.rules.loopback or self.rules.allow else parse_url(url, element)

    def _once(self, method: str, url: Url, headers: Mapping[str, str], body: bytes | None, deadline: float) -> Answer:
        line = _Line(self.open(url, deadline), deadline, self.clock)
        connection = http.client.HTTPConnection(url.host, url.port)
        connection.sock = line  # http.client asks sendall, makefile and close of it, no more
        try:
            return self._exchange(connection, method, url, headers, body)
        except TimeoutError:
            raise self._late(url) from None
        except http.client.HTTPException as error:
            raise Failed(f"cannot read the answer of {url.netloc!r}: {type(error).__name__} {error}"[:300]) from None
        except OSError as error:
            raise Failed(f"cannot ask {url.netloc!r}: {error.strerror or error}") from None
        finally:
            line.end()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        given = {name.lower() for name in headers}
        connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (
            ("Host", url.netloc),
            ("User-Agent", AGENT),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
        ):
            if name.lower() not in given:
                connection.putheader(name, value)
        for name, value in headers.items():
            connection.putheader(name, value.encode("utf-8"))
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.putheader("Connection", "close")
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(
            status=response.status,
            reason=response.reason,
            headers=[(name.lower(), value) for name, value in response.getheaders()],
            body=self._read(response, url),
            url=str(url),
        )

    def _read(self, response: http.client.HTTPResponse, url: Url) -> bytes:
        parts, size = list[bytes](), 0
        while part := response.read1(_PART_BYTES):
            size += len(part)
            if size > self.max_body_bytes:
                raise Failed(
                    f"cannot take the answer of {url.netloc!r}: it is longer than {self.max_body_bytes} bytes",
                    hint="raise max_body_bytes",
                )
            parts.append(part)
        if response.length:
            raise Failed(f"cannot read the answer of {url.netloc!r}: it ended {response.length} bytes early")
        return b"".join(parts)

    def _late(self, url: Url) -> Failed:
        return Failed(
            f"cannot ask {url.netloc!r}: no answer in {self.timeout_seconds:g} s", hint="raise timeout_seconds"
        )


def context(tls: Mapping[str, Any]) -> ssl.SSLContext:
    """Raises BadParams for files that cannot be used."""
    try:
        made = ssl.create_default_context(cafile=tls.get("ca_file"), cadata=tls.get("ca_data") or None)
        if not tls.get("verify", True):
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if tls.get("client_cert_file"):
            made.load_cert_chain(tls["client_cert_file"], tls.get("client_key_file"))
    except (OSError, ValueError) as error:
        raise BadParams(
            f"cannot use the TLS settings: {getattr(error, 'strerror', None) or error}",
            element="params.tls",
            hint="ca_file, client_cert_file and client_key_file are PEM files on the node",
        ) from None
    return made


class _Line:
    """A socket whose every wait ends at the deadline, however slowly the bytes drip."""

    def __init__(self, sock: socket.socket, deadline: float, clock: Clock) -> None:
        self._sock = sock
        self._deadline = deadline
        self._clock = clock

    def sendall(self, data: bytes) -> None:
        self.arm()
        self._sock.sendall(data)

    def receive(self, into: memoryview) -> int:
        self.arm()
        return self._sock.recv_into(into)

    def arm(self) -> None:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self))

    def close(self) -> None:
        """http.client means that it will not write any more; it still reads through makefile's object."""

    def end(self) -> None:
        self._sock.close()


class _Raw(io.RawIOBase):
    def __init__(self, line: _Line) -> None:
        self._line = line

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        return self._line.receive(memoryview(into))
