"""The policies room, as the interface gets it."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.policies.book import PolicyBook
from corral.server.application.policies.trial import Trials


@dataclass(frozen=True, kw_only=True)
class PolicyRoom:
    book: PolicyBook
    trials: Trials
