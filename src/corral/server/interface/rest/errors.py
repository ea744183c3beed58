"""Every error as one Problem: ours by their class, the web framework's translated once, anything else as 5000 without a detail.

A traceback never leaves the process; it is logged with the request id the client got.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import msgspec
from litestar.connection import Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Response

from corral.domain.errors import (
    BadSelector,
    CorralError,
    Denied,
    Internal,
    Invalid,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from corral.runtime.clock import Clock, iso
from corral.server.interface.rest.envelope import Problem

log = logging.getLogger("corral.rest")

REQUEST_ID_KEY: Final = "corral.request_id"
_BY_STATUS: Final[dict[int, type[CorralError]]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    413: TooLarge,
    429: TooMany,
    503: Unavailable,
}
_MESSAGE_MAX: Final = 2000
_NAMED_FIELD: Final = re.compile(r"(?:missing required|unknown) field `([^`]{1,100})`")


def translate(error: BaseException) -> tuple[CorralError, int]:
    """The error in our words, and its HTTP status."""
    if isinstance(error, CorralError):
        return error, error.http_status
    if isinstance(error, ValidationException):
        made = _invalid(error)
        return made, made.http_status
    if isinstance(error, RecursionError | msgspec.DecodeError | UnicodeDecodeError):
        return Invalid(
            "cannot read the body: it is no JSON we accept", element="body", hint="send one JSON object"
        ), 400
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _http(error), error.status_code
    return Internal("cannot answer: something went wrong inside the server"), 500


def _http(error: HTTPException) -> CorralError:
    if error.status_code == 404:
        return NotFound("cannot answer: there is no such path", element="path", hint="all paths are listed at /docs")
    if error.status_code == 405:
        return Invalid("cannot answer: this path has no such method", element="method", hint="all are listed at /docs")
    cls = _BY_STATUS.get(error.status_code, Invalid)
    return cls(f"cannot read the request: {_lower(error.detail)}", element="body" if cls is Invalid else None)


def _invalid(error: ValidationException) -> Invalid:
    """The first wrong field is the culprit; all of them are in the message."""
    found = [item for item in error.extra or [] if isinstance(item, dict)] if isinstance(error.extra, list) else []
    if not found:
        return Invalid(f"cannot read the request: {_lower(error.detail)}", element="body")
    parts = []
    elements = []
    for item in found:
        key = str(item.get("key", "data")).removeprefix("data.").removeprefix("data")
        text = _lower(str(item.get("message", "not what was expected")))
        named = _NAMED_FIELD.search(text)
        element = ".".join(part for part in (key, named[1] if named else "") if part) or "body"
        elements.append(element)
        parts.append(f"{element!r}: {text}")
    return Invalid(
        f"cannot read the request: {'; '.join(parts)}", element=elements[0], hint="see /docs for what this path expects"
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def problem(error: CorralError, *, request_id: str, clock: Clock) -> Problem:
    details: dict[str, Any] = {}
    if isinstance(error, BadSelector):
        details = {"text": error.text, "column": error.column}
    return Problem(
        code=error.code,
        message=error.message[:_MESSAGE_MAX],
        timestamp=iso(clock.now()) or "",
        element=error.element,
        hint=error.hint,
        request_id=request_id,
        details=details,
    )


def error_headers(error: CorralError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooMany) or (isinstance(error, Unavailable) and error.retryable):
        return {"Retry-After": "1"}
    return {}


def describe(error: BaseException, *, request_id: str, clock: Clock) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers for an error; logs what is our own mistake."""
    ours, status = translate(error)
    if status >= 500 and not isinstance(error, CorralError):
        log.error(
            "Cannot answer a request",
            exc_info=(type(error), error, error.__traceback__),
            extra={"action": "request_failed", "request_id": request_id},
        )
    body = msgspec.json.encode(problem(ours, request_id=request_id, clock=clock))
    return status, body, error_headers(ours)


def exception_handler(clock: Clock) -> Any:
    """For Litestar: any exception of a handler becomes a Problem."""

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        request_id = str(request.scope.get(REQUEST_ID_KEY, ""))
        status, body, headers = describe(error, request_id=request_id, clock=clock)
        return Response(body, status_code=status, media_type="application/json", headers=headers)

    return answer
