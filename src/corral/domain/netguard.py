"""Which addresses a task may send a request to on somebody's behalf, and which URLs can be meant at all. Pure: no name is resolved here.

Who may submit a task decides where a node's request goes; the node must not become their way to itself, to its link or to where
a cloud keeps its secrets. Private networks are what people operate, so they are allowed. Every address behind a name is judged,
and an IPv6 address that carries an IPv4 one (mapped, translated, tunnelled) is judged as both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from corral.domain.errors import Invalid

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: Final = tuple(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
"""Where clouds answer with credentials to whoever asks."""
URL_CHARS_MAX: Final = 8192
_NAMES: Final = (
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "metadata.google.internal",
    "instance-data",
)
"""Names of the machine itself and of metadata services: refused before anybody is asked what they mean."""
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ipaddress.ip_network("64:ff9b:1::/48")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
_SHOWN_CHARS: Final = 80


@dataclass(frozen=True, kw_only=True)
class AddressRules:
    """`allow` lists what is allowed in spite of the rules; it comes from the node's own configuration, never from a task.

    `only` (when it is not empty) and `deny` narrow, and a task may give both: narrowing helps nobody to reach more.
    `loopback` lets a request go to the node itself: for a connection, which only who may write connections can aim.
    """

    allow: Sequence[Network] = ()
    only: Sequence[Network] = ()
    deny: Sequence[Network] = ()
    loopback: bool = False


@dataclass(frozen=True, kw_only=True)
class Url:
    """An http or https URL that was understood. `target` is what the request line says; `host` has no brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def netloc(self) -> str:
        """What the Host header says: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _port_of(self.scheme) else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"


def parse_networks(texts: Sequence[str], element: str) -> tuple[Network, ...]:
    """Addresses and networks; raises Invalid."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise Invalid(
                f"cannot use {text[:60]!r} as a network: expected an IP address or network",
                element=element,
                hint='for example ["10.0.0.0/8", "fd12::/64"]',
            ) from None
    return tuple(found)


def parse_url(text: str, element: str = "params.url", *, names: Sequence[str] = _NAMES) -> Url:
    """The parts of a URL whose meaning no two programs disagree about; raises Invalid for every other. `names` are refused."""
    if len(text) > URL_CHARS_MAX:
        raise Invalid(f"cannot use a URL of {len(text)} characters: at most {URL_CHARS_MAX}", element=element)
    if not text.isascii() or any(c <= " " or c in '\x7f\\"<>^`{|}' for c in text):
        raise _bad(
            text, "it holds a character that no URL may hold", element, "percent-encode it; write a host in punycode"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _bad(text, str(error), element) from None
    if parts.scheme not in ("http", "https"):
        raise _bad(text, f"scheme {parts.scheme!r} is not http or https", element)
    if not text[len(parts.scheme) :].startswith("://"):
        raise _bad(text, "no // after the scheme", element)
    if "@" in parts.netloc:
        raise _bad(text, "it holds a user", element, "give credentials as a header with a secret: {{ secret.NAME }}")
    if port == 0:
        raise _bad(text, "there is no port 0", element)
    host = _host(parts.hostname or "", text, element)
    if host in names or host.endswith(".localhost"):
        raise _bad(text, f"{host!r} is the node itself or a metadata service", element, _HINT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Url(scheme=parts.scheme, host=host, port=port or _port_of(parts.scheme), target=target)


def refusal(address: Address, rules: AddressRules) -> str:
    """Why no request may go to `address`; empty when it may."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # no way to an IPv4 address but the address itself in longer writing
        address = address.ipv4_mapped
    every = {address, *_embedded(address)}
    if any(each in network for each in every for network in rules.deny):
        return "in a network that this task rules out"
    if rules.only and not any(each in network for each in every for network in rules.only):
        return "outside the networks of this task"
    for each in sorted(every, key=str):
        if not any(each in network for network in rules.allow) and (why := _refusal(each, rules)):
            return why
    return ""


def check_addresses(host: str, found: Sequence[str], rules: AddressRules, element: str = "params.url") -> Sequence[str]:
    """The addresses that `host` stands for, all of which may be asked; raises Invalid."""
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        if why := refusal(address, rules):
            raise Invalid(f"cannot ask {host!r}: {address} is {why}", element=element, hint=_HINT)
    if not found:
        raise Invalid(f"cannot ask {host!r}: it has no address", element=element)
    return found


_HINT: Final = "agent.http_allow in the node's own configuration lists what is allowed in spite of that"


def _refusal(address: Address, rules: AddressRules) -> str:
    if address in METADATA:
        return "a metadata service"
    if address.is_loopback:
        return "" if rules.loopback else "the node itself"
    if address.is_link_local or (address.version == 6 and address.is_site_local):
        return "a link-local address"
    if address.is_unspecified or address.is_multicast or (address.version == 4 and address.is_reserved):
        return "no address of a host"
    if address in _THIS_NETWORK:
        return "no address of a host"
    return "translated in a way only its network knows" if address in _NAT64_LOCAL else ""


def _embedded(address: Address) -> set[Address]:
    """Every IPv4 address that an IPv6 address may stand for."""
    if isinstance(address, ipaddress.IPv4Address):
        return set()
    number = int(address)
    found: set[Address | None] = {address.sixtofour}
    if address.teredo is not None:
        found |= set(address.teredo)
    if address in _NAT64 or (address in _COMPATIBLE and number > 1):
        found.add(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        found.add(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    return {each for each in found if each is not None}


def _host(host: str, text: str, element: str) -> str:
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise _bad(text, f"{host!r} is no IPv6 address", element) from None
    host = host.removesuffix(".")
    labels = host.split(".")
    if not host or len(host) > 253 or not all(0 < len(each) < 64 for each in labels):
        raise _bad(text, "it names no host", element)
    if not all(c.isalnum() or c in "-_" for label in labels for c in label):
        raise _bad(text, f"{host!r} is no host name", element)
    last = labels[-1]
    if last.isdigit() or last.startswith("0x"):
        # 127.1, 2130706433, 0x7f.1, 0177.0.0.1: some programs take these for addresses, so they are written as addresses or not at all
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _bad(text, f"{host!r} is neither a name nor four decimal numbers", element) from None
    return host


def _port_of(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _bad(text: str, cause: str, element: str, hint: str = "for example https://app.example/health") -> Invalid:
    shown = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return Invalid(f"cannot ask {shown!r}: {cause}", element=element, hint=hint)
