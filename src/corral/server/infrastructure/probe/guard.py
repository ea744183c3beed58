"""Which addresses the server may ask for somebody: not itself, not its link, not where a cloud keeps its secrets.

Who may create a rollout may make this server send a request to an address of their choice. So a name is resolved once, every
address behind it is judged, and the one judged is the one connected to: a name that answers differently the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

from corral.domain.errors import Invalid

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: Final = tuple(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Where clouds answer with credentials to whoever asks."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_SIXTOFOUR: Final = ipaddress.ip_network("2002::/16")


def parse_allowed(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks that are allowed in spite of the rules; raises Invalid."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise Invalid(
                f"cannot use {text[:60]!r} as an address that probes may ask: expected an IP address or network",
                element="rollouts.probe_allow",
                hint='for example ["127.0.0.1/32", "fd12::/64"]',
            ) from None
    return tuple(found)


def refusal(address: Address, allowed: Sequence[Network]) -> str:
    """Why `address` may not be asked; empty when it may."""
    inner = _embedded(address)
    if any(address in network or inner in network for network in allowed):
        return ""
    for each in {address, inner}:
        if each in METADATA:
            return "a metadata service"
        if each.is_loopback:
            return "this server itself"
        if each.is_link_local:
            return "a link-local address"
        if each.is_unspecified or each.is_multicast or (each.version == 4 and each.is_reserved):
            return "no address of a host"
    return ""


def _embedded(address: Address) -> Address:
    """The IPv4 address a mapped, translated or tunnelled IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIXTOFOUR and address.sixtofour is not None:
        return address.sixtofour
    return address
