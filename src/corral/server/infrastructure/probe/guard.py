"""Which addresses the server may ask for somebody: not itself, not its link, not where a cloud keeps its secrets.

Who may create a rollout may make this server send a request to an address of their choice. So a name is resolved once, every
address behind it is judged, and the one judged is the one connected to: a name that answers differently the second time gains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain import netguard
from corral.domain.netguard import Address, AddressRules, Network

__all__ = ["Address", "Network", "parse_allowed", "refusal"]


def parse_allowed(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks that are allowed in spite of the rules; raises Invalid."""
    return netguard.parse_networks(texts, "rollouts.probe_allow")


def refusal(address: Address, allowed: Sequence[Network]) -> str:
    """Why `address` may not be asked; empty when it may. The rules are those of tasks that send requests."""
    why = netguard.refusal(address, AddressRules(allow=allowed))
    return "this server itself" if why == "the node itself" else why
