"""The access room: who calls, sessions, API tokens, and the record of every request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.runtime.lifecycle import Component
from corral.server.application.access.authenticate import Authenticate
from corral.server.application.access.codes import LoginCodes
from corral.server.application.access.lockout import Lockout, Patience
from corral.server.application.access.login import Guard, Login
from corral.server.application.access.oidc import OidcLogin, OidcParts
from corral.server.application.access.people import People
from corral.server.application.access.role_map import apply_role_map
from corral.server.application.access.room import AccessRoom
from corral.server.application.access.sessions import Sessions
from corral.server.application.access.standing import Standing
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.audit.queries import AuditQueries
from corral.server.application.audit.record import AuditWriter
from corral.server.compose.ground import Ground
from corral.server.compose.roles import RolesAndGrants
from corral.server.infrastructure.auth.admin import bootstrap_admin
from corral.server.infrastructure.auth.hasher import Argon2Hasher
from corral.server.infrastructure.auth.jwt import JwtMint
from corral.server.infrastructure.auth.keyfile import load_key
from corral.server.infrastructure.auth.oidc import OidcProvider, OidcSettings
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.infrastructure.auth.signer import HmacSigner
from corral.server.infrastructure.sql.access import SqlApiTokenStore
from corral.server.infrastructure.sql.attempts import SqlAttemptStore
from corral.server.infrastructure.sql.audit import SqlAuditLog
from corral.server.infrastructure.sql.roles import SqlRoleStore
from corral.server.infrastructure.sql.sessions import SqlSessionStore
from corral.server.infrastructure.sql.users import SqlUserStore


@dataclass(kw_only=True)
class Access:
    room: AccessRoom
    writer: AuditWriter
    sealer: AesSealer
    components: Sequence[Component]


async def compose_access(ground: Ground, roles: RolesAndGrants) -> Access:
    """At the very first start this makes the admin token."""
    clock, settings = ground.clock, ground.config.access
    key = load_key(ground.keys / "session.key")
    tokens = ApiTokens(store=SqlApiTokenStore(ground.db), clock=clock)
    sessions = Sessions(
        store=SqlSessionStore(ground.db),
        signer=HmacSigner(key),
        mint=JwtMint(key),
        clock=clock,
        access_seconds=settings.session_seconds,
        refresh_seconds=settings.refresh_seconds,
    )
    sealer = AesSealer(key)
    users = SqlUserStore(ground.db)
    standing = Standing(users=users, grants=roles.book, clock=clock)
    patience = Patience(attempts=settings.login_attempts, lockout_seconds=settings.lockout_seconds)
    guard = Guard(
        users=users,
        hasher=Argon2Hasher(),
        lockout=Lockout(store=SqlAttemptStore(ground.db), clock=clock, patience=patience),
        standing=standing,
    )
    codes = LoginCodes(clock=clock, ttl_seconds=settings.code_seconds)
    login = Login(
        codes=codes,
        sessions=sessions,
        tokens=tokens,
        guard=guard,
        clock=clock,
    )
    log = SqlAuditLog(ground.db)
    writer = AuditWriter(store=log, clock=clock)
    room = AccessRoom(
        login=login,
        tokens=tokens,
        authenticate=Authenticate(tokens=tokens, sessions=sessions, standing=standing),
        people=People(
            guard=guard, login=login, sessions=sessions, grants=roles.room.grants, book=roles.book, clock=clock
        ),
        audit=AuditQueries(log=log),
        oidc=OidcLogin(
            provider=_provider(ground),
            parts=OidcParts(
                users=users,
                standing=standing,
                book=roles.book,
                login=login,
                codes=codes,
                sealer=sealer,
                new_users=ground.config.oidc.new_users,
            ),
            clock=clock,
        ),
        public_url=ground.config.server.public_url,
    )
    await apply_role_map(SqlRoleStore(ground.db), ground.config.oidc.role_map, clock=clock)
    await bootstrap_admin(ground.config.data_dir, tokens)
    return Access(room=room, writer=writer, sealer=sealer, components=(writer, tokens))


def _provider(ground: Ground) -> OidcProvider | None:
    oidc = ground.config.oidc
    if not oidc.issuer:
        return None
    return OidcProvider(
        OidcSettings(
            issuer=oidc.issuer,
            client_id=oidc.client_id,
            client_secret=oidc.client_secret,
            scopes=oidc.scopes,
            name_claim=oidc.name_claim,
            groups_claim=oidc.groups_claim,
            ca=oidc.ca,
        ),
        clock=ground.clock,
    )
