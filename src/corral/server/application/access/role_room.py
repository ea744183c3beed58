"""Roles and grants: what their REST handlers call."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.access.can_i import CanI
from corral.server.application.access.grants import Grants
from corral.server.application.access.roles import Roles


@dataclass(frozen=True, kw_only=True)
class RoleRoom:
    roles: Roles
    grants: Grants
    can_i: CanI
