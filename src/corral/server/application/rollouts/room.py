"""The rollouts room as interfaces receive it: one object per use case, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.rollouts.control import Steering
from corral.server.application.rollouts.create import Creation
from corral.server.application.rollouts.explain import RolloutExplaining
from corral.server.application.rollouts.listing import RolloutListing


@dataclass(frozen=True, kw_only=True)
class RolloutRoom:
    creation: Creation
    steering: Steering
    listing: RolloutListing
    explanation: RolloutExplaining
