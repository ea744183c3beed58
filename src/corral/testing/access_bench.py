"""The whole access room over memory, with a password hash that costs next to nothing: for tests of what stands on it."""

from __future__ import annotations

from dataclasses import dataclass

from corral.domain.access import EVERYWHERE
from corral.domain.ids import new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.authenticate import Authenticate
from corral.server.application.access.codes import LoginCodes
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.grants import Grants
from corral.server.application.access.lockout import Lockout, Patience
from corral.server.application.access.login import Guard, Login
from corral.server.application.access.oidc import OidcLogin, OidcParts
from corral.server.application.access.people import People
from corral.server.application.access.room import AccessRoom
from corral.server.application.access.sessions import Sessions
from corral.server.application.access.standing import Standing
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.audit.queries import AuditQueries
from corral.server.application.ports.people import IdentityProvider, User
from corral.server.application.ports.roles import RoleGrant, SubjectKind
from corral.server.infrastructure.auth.hasher import Argon2Hasher
from corral.server.infrastructure.auth.jwt import JwtMint
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.infrastructure.auth.signer import HmacSigner
from corral.testing.people_stores import MemoryAttemptStore, MemoryUserStore
from corral.testing.role_store import MemoryRoleStore
from corral.testing.stores import MemoryApiTokenStore, MemoryAuditLog, MemoryDatabase, MemorySessionStore

KEY = b"k" * 32


@dataclass(frozen=True, kw_only=True)
class AccessBench:
    """The room and what it stands on."""

    room: AccessRoom
    db: MemoryDatabase
    audit: MemoryAuditLog
    users: MemoryUserStore
    roles: MemoryRoleStore
    book: GrantBook
    attempts: MemoryAttemptStore
    tokens: ApiTokens
    sessions: Sessions
    guard: Guard
    clock: Clock

    async def user(self, name: str, *, password: str | None = None, role: str = "", selector: str = EVERYWHERE) -> User:
        """A user who exists already, with a role if one is named."""
        user = User(
            id=new_id("U", now_ms(self.clock), name.encode().ljust(6, b"\0")),
            name=name,
            password_hash=None if password is None else await self.guard.hasher.hash(password),
            created_at=self.clock.now(),
        )
        await self.users.add(user)
        if role:
            await self.grant(name, role, selector)
        return user

    async def grant(self, name: str, role: str, selector: str = EVERYWHERE, *, group: bool = False) -> RoleGrant:
        grant = RoleGrant(
            id=new_id("G", now_ms(self.clock), f"{name}{role}".encode()[-6:].ljust(6, b"\0")),
            subject_kind=SubjectKind.GROUP if group else SubjectKind.USER,
            subject=name,
            role=role,
            selector=selector,
            created_at=self.clock.now(),
            created_by="bench",
        )
        made = await self.roles.add_grant(grant, role_version=None)
        self.book.forget()
        return made


def access_bench(
    clock: Clock,
    *,
    db: MemoryDatabase | None = None,
    patience: Patience | None = None,
    provider: IdentityProvider | None = None,
) -> AccessBench:
    db = db or MemoryDatabase()
    roles, audit = MemoryRoleStore(), MemoryAuditLog(db)
    users, attempts = MemoryUserStore(db, roles), MemoryAttemptStore()

    async def groups_of(name: str) -> frozenset[str]:
        user = await users.by_name(name)
        return frozenset() if user is None else user.groups

    book = GrantBook(store=roles, clock=clock, groups_of=groups_of)
    tokens = ApiTokens(store=MemoryApiTokenStore(db), clock=clock)
    sessions = Sessions(store=MemorySessionStore(db), signer=HmacSigner(KEY), mint=JwtMint(KEY), clock=clock)
    standing = Standing(users=users, grants=book, clock=clock)
    guard = Guard(
        users=users,
        hasher=Argon2Hasher(memory_kib=64, passes=1),
        lockout=Lockout(store=attempts, clock=clock, patience=patience),
        standing=standing,
    )
    codes = LoginCodes(clock=clock)
    login = Login(codes=codes, sessions=sessions, tokens=tokens, guard=guard, clock=clock)
    grants = Grants(store=roles, book=book, clock=clock)
    return AccessBench(
        room=AccessRoom(
            login=login,
            tokens=tokens,
            authenticate=Authenticate(tokens=tokens, sessions=sessions, standing=standing),
            people=People(guard=guard, login=login, sessions=sessions, grants=grants, book=book, clock=clock),
            audit=AuditQueries(log=audit),
            oidc=OidcLogin(
                provider=provider,
                parts=OidcParts(
                    users=users, standing=standing, book=book, login=login, codes=codes, sealer=AesSealer(KEY)
                ),
                clock=clock,
            ),
        ),
        db=db,
        audit=audit,
        users=users,
        roles=roles,
        book=book,
        attempts=attempts,
        tokens=tokens,
        sessions=sessions,
        guard=guard,
        clock=clock,
    )
