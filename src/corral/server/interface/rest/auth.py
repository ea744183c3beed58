"""Where credentials stand in a request, and the cookies that carry a session.

The access cookie goes with every request, the refresh cookie only to /api/v1/refresh; both HttpOnly and SameSite=Strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from litestar.datastructures import Cookie

from corral.server.application.access.authenticate import Presented
from corral.server.application.access.sessions import Issued

ACCESS_COOKIE: Final = "corral_session"
REFRESH_COOKIE: Final = "corral_refresh"
REFRESH_PATH: Final = "/api/v1/refresh"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_COOKIES_MAX: Final = 16 << 10


def presented(scope: Mapping[str, Any], headers: Mapping[bytes, bytes], *, request_id: str) -> Presented:
    """The credentials of a request, unchecked."""
    bearer: str | None = None
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, secret = authorization.decode("latin-1").strip().partition(" ")
        # Another scheme is a credential too, one that is not valid: it must not fall back to the cookie.
        bearer = secret.strip() if scheme.lower() == "bearer" else ""
    csrf = headers.get(b"x-corral-csrf")
    return Presented(
        bearer=bearer,
        cookie=cookies(headers).get(ACCESS_COOKIE),
        csrf=None if csrf is None else csrf.decode("latin-1"),
        unsafe=scope["method"] not in _SAFE,
        address=address(scope),
        request_id=request_id,
    )


def cookies(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    raw = headers.get(b"cookie", b"")
    if len(raw) > _COOKIES_MAX:
        return {}
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(raw.decode("latin-1"))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def address(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0])[:64] if client else ""


def session_cookies(issued: Issued, *, secure: bool, now: float) -> list[Cookie]:
    return [
        _cookie(ACCESS_COOKIE, issued.access_token, "/", secure, int(issued.expires_at.timestamp() - now)),
        _cookie(
            REFRESH_COOKIE,
            issued.refresh_token,
            REFRESH_PATH,
            secure,
            int(issued.refresh_expires_at.timestamp() - now),
        ),
    ]


def no_cookies(*, secure: bool) -> list[Cookie]:
    """What logging out sets."""
    return [_cookie(ACCESS_COOKIE, "", "/", secure, 0), _cookie(REFRESH_COOKIE, "", REFRESH_PATH, secure, 0)]


def _cookie(key: str, value: str, path: str, secure: bool, max_age: int) -> Cookie:
    return Cookie(
        key=key, value=value, path=path, max_age=max_age, httponly=True, samesite="strict", secure=secure or None
    )
