"""The access room: what its REST handlers call."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.access.authenticate import Authenticate
from corral.server.application.access.login import Login
from corral.server.application.access.oidc import OidcLogin
from corral.server.application.access.people import People
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.audit.queries import AuditQueries


@dataclass(frozen=True, kw_only=True)
class AccessRoom:
    login: Login
    tokens: ApiTokens
    authenticate: Authenticate
    people: People
    audit: AuditQueries
    oidc: OidcLogin
    public_url: str = ""
    """Where browsers reach the server; '' = wherever the one at hand did."""
