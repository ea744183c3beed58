"""Logging in at the identity provider: the way there, the way back, and who that is here.

What must match on the way back travels in a sealed cookie of the browser that began: nothing is kept for logins nobody finishes, and
no other browser can finish them. A user is recognized by issuer and id at the provider, never by a name: a provider (or somebody
who may choose his name there) cannot become a user who is already here. The command line gets a one-time code, bound to a secret it
kept.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from corral.domain.errors import Conflict, Invalid, NotFound, Unauthenticated
from corral.domain.ids import new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.codes import LoginCodes
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.login import Login
from corral.server.application.access.names import NAME, check_text
from corral.server.application.access.sessions import Issued
from corral.server.application.access.standing import Standing
from corral.server.application.ports.access import Sealer
from corral.server.application.ports.people import Asked, Identity, IdentityProvider, User, UserSource, UserStore

KEPT_SECONDS: Final = 600.0
_CONTEXT: Final = "oidc login"
_KEPT_MAX: Final = 4096


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A login under way. `port` and `challenge` when the command line waits for it on loopback; 0 and '' for a browser."""

    asked: Asked
    until: float
    port: int = 0
    challenge: str = ""


@dataclass(frozen=True, kw_only=True)
class OidcParts:
    """`new_users`: whether somebody the provider knows and we do not becomes a user."""

    users: UserStore
    standing: Standing
    book: GrantBook
    login: Login
    codes: LoginCodes
    sealer: Sealer
    new_users: bool = True


class OidcLogin:
    """`provider` None: there is none configured."""

    def __init__(self, *, provider: IdentityProvider | None, parts: OidcParts, clock: Clock) -> None:
        self._provider = provider
        self._parts = parts
        self._clock = clock

    @property
    def offered(self) -> bool:
        return self._provider is not None

    async def start(self, redirect_uri: str, *, port: int = 0, challenge: str = "") -> tuple[str, str]:
        """The URL at the provider, and what the browser keeps. Raises NotFound when there is no provider."""
        if bool(port) != bool(challenge) or not 0 <= port <= 65535 or len(challenge) not in (0, 43):
            raise Invalid("cannot begin this login: port and challenge come together", element="challenge")
        url, asked = await self._known().question(redirect_uri)
        begun = Begun(asked=asked, until=self._clock.wall() + KEPT_SECONDS, port=port, challenge=challenge)
        return url, self._sealed(begun)

    def begun(self, kept: str | None) -> Begun:
        """What a browser kept; raises Unauthenticated when it is not ours or too old."""
        found = self._opened(kept or "")
        if found is None or found.until < self._clock.wall():
            raise Unauthenticated(
                "cannot log in: this browser did not begin a login here, or ten minutes ago",
                element="state",
                hint="begin again, in one browser, at one address of the server",
            )
        return found

    async def finish(self, begun: Begun, *, state: str, code: str, address: str) -> tuple[User, Issued | str]:
        """A session for a browser; the one-time code for the command line."""
        if not hmac.compare_digest(state.encode("utf-8", "surrogatepass"), begun.asked.state.encode()):
            raise Unauthenticated(
                "cannot log in: the answer belongs to another login", element="state", hint="begin again"
            )
        if not 1 <= len(code) <= _KEPT_MAX:
            raise Unauthenticated(
                "cannot log in: the identity provider sent no code", element="code", hint="begin again"
            )
        user = await self._user(await self._known().answer(begun.asked, code))
        if begun.port:
            return user, self._parts.codes.create_for(user, challenge=begun.challenge)
        return user, await self._parts.login.begin(user, method="oidc", address=address)

    def _known(self) -> IdentityProvider:
        if self._provider is None:
            raise NotFound(
                "cannot log in at an identity provider: none is configured",
                element="oidc.issuer",
                hint="set oidc.issuer, oidc.client_id and oidc.client_secret in corral.toml",
            )
        return self._provider

    async def _user(self, identity: Identity) -> User:
        users = self._parts.users
        known = await users.by_subject(identity.subject)
        if known is None:
            return await self._new(identity)
        if known.disabled:
            raise Unauthenticated(f"cannot log in: user {known.name!r} is disabled here", element="user")
        changed = await users.change(
            known.id,
            lambda have: replace(
                have, display_name=identity.display_name, email=identity.email, groups=identity.groups
            ),
        )
        self._parts.standing.forget(changed)
        if changed.groups != known.groups:
            self._parts.book.forget()
        return changed

    async def _new(self, identity: Identity) -> User:
        if not self._parts.new_users:
            raise Unauthenticated(
                "cannot log in: nobody here is known by that identity",
                element="user",
                hint="oidc.new_users = true lets new people in, without any permission to begin with",
            )
        name = next((text for text in (identity.name.lower(), identity.email.lower()) if NAME.match(text)), None)
        if name is None:
            raise Invalid(
                f"cannot log in: neither {identity.name[:64]!r} nor an address there can be a user's name here",
                element="oidc.name_claim",
                hint="choose another claim in oidc.name_claim",
            )
        user = User(
            id=new_id("U", now_ms(self._clock), secrets.token_bytes(6)),
            name=name,
            display_name=check_text(identity.display_name, element="display_name"),
            email=check_text(identity.email, element="email"),
            source=UserSource.OIDC,
            subject=identity.subject,
            groups=identity.groups,
            created_at=self._clock.now(),
        )
        try:
            await self._parts.users.add(user)
        except Conflict:
            # Two tabs of one newcomer; or the name belongs to somebody else, who stays who he is.
            known = await self._parts.users.by_subject(identity.subject)
            if known is None:
                raise Conflict(
                    f"cannot log in: there is another user named {name!r}",
                    element="name",
                    hint="an admin deletes or keeps that one; names here never change owners",
                ) from None
            return known
        return user

    def _sealed(self, begun: Begun) -> str:
        plain = json.dumps(asdict(begun), separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._parts.sealer.seal(plain, context=_CONTEXT)).decode()

    def _opened(self, kept: str) -> Begun | None:
        if not kept or len(kept) > _KEPT_MAX:
            return None
        try:
            plain = self._parts.sealer.open(base64.urlsafe_b64decode(kept), context=_CONTEXT)
        except (binascii.Error, ValueError):
            return None
        if plain is None:
            return None
        found: dict[str, Any] = json.loads(plain)
        return Begun(**{**found, "asked": Asked(**found["asked"])})
