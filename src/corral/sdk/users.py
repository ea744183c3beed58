"""Users, sessions, and what everybody may do about his own: `fleet.users`, `fleet.me`; logging in is `log_in`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corral.sdk.api import Api, part
from corral.sdk.context import Context
from corral.sdk.models import ApiToken


class Users:
    """`fleet.users`: for those who manage people. Users are named by name or id."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: Sequence[str] = (),
        display_name: str = "",
        email: str = "",
    ) -> dict[str, Any]:
        """Without a password the answer holds `invite`, once: whoever has it sets the password."""
        body: dict[str, Any] = {"name": name, "display_name": display_name, "email": email, "roles": list(roles)}
        if password is not None:
            body["password"] = password
        made: dict[str, Any] = await self._api.call("POST", "/users", body=body)
        return made

    async def show(self, user: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._api.call("GET", f"/users/{part(user)}")
        return found

    async def change(self, user: str, **fields: Any) -> dict[str, Any]:
        """`display_name`, `email`, `disabled`; with `resource_version` only if nobody changed it since."""
        changed: dict[str, Any] = await self._api.call("PATCH", f"/users/{part(user)}", body=fields)
        return changed

    async def delete(self, user: str) -> None:
        await self._api.call("DELETE", f"/users/{part(user)}")

    async def reset_password(self, user: str, password: str) -> dict[str, Any]:
        """Its owner has to set another before anything else."""
        changed: dict[str, Any] = await self._api.call(
            "POST", f"/users/{part(user)}/password", body={"password": password}
        )
        return changed

    async def invite(self, user: str) -> dict[str, Any]:
        invited: dict[str, Any] = await self._api.call("POST", f"/users/{part(user)}/invite", body={})
        return invited

    async def sessions(self, user: str | None = None) -> list[dict[str, Any]]:
        """Who is logged in, newest first."""
        found: list[dict[str, Any]] = await self._api.call("GET", "/sessions", query={"user": user})
        return found

    async def end_session(self, session: str) -> None:
        await self._api.call("DELETE", f"/sessions/{part(session)}")

    async def list(self, *, limit: int | None = None) -> list[dict[str, Any]]:
        """By name."""
        return await self._api.pages("/users", limit=limit)


class Me:
    """`fleet.me`: the user behind the credential."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def change_password(self, old: str, new: str) -> Mapping[str, Any]:
        """All sessions end; the answer is a new one."""
        issued: Mapping[str, Any] = await self._api.call("POST", "/me/password", body={"old": old, "new": new})
        return issued

    async def sessions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._api.call("GET", "/me/sessions")
        return found

    async def end_session(self, session: str) -> None:
        await self._api.call("DELETE", f"/me/sessions/{part(session)}")

    async def create_token(
        self, name: str, *, permissions: Sequence[str] | None = None, ttl_seconds: float | None = None
    ) -> ApiToken:
        """It may do what you may, now and later, and no more than `permissions`. The answer holds the secret, once."""
        body: dict[str, Any] = {"name": name}
        if permissions is not None:
            body["permissions"] = list(permissions)
        if ttl_seconds is not None:
            body["ttl_seconds"] = ttl_seconds
        return ApiToken.from_json(await self._api.call("POST", "/me/api-tokens", body=body))

    async def tokens(self) -> list[ApiToken]:
        return [ApiToken.from_json(row) for row in await self._api.call("GET", "/me/api-tokens")]

    async def revoke_token(self, token: str) -> None:
        await self._api.call("DELETE", f"/me/api-tokens/{part(token)}")

    async def log_out(self) -> None:
        """Ends the session at hand."""
        await self._api.call("POST", "/logout", body={})


async def log_in(context: Context, **proof: str) -> Mapping[str, Any]:
    """A session for name= and password=, invite= and password=, code= (and verifier=), or token=. Store it with save_session."""
    api = Api(Context(url=context.url, ca=context.ca))
    try:
        return await api.public("/login", proof)
    finally:
        await api.close()
