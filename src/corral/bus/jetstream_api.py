"""Requests to JetStream's API and its error codes. Everything JetStream refuses becomes one of our errors here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from corral.bus.connection import Connection
from corral.bus.port import BusError, NoResponder, NotFoundOnBus
from corral.domain.errors import CorralError, OutOfSpace

API: Final = "$JS.API"
TIMEOUT_SECONDS: Final = 5.0

NAME_IN_USE: Final = 10058
_NOT_FOUND: Final = frozenset({10059, 10014, 10037})
"""Stream, consumer, message not found."""
_FULL: Final = frozenset({10047, 10077, 10023, 10028, 10054})
"""No storage left, a bound of the stream reached, resources insufficient."""
_TRY_AGAIN: Final = frozenset({10008, 10009, 10074})
"""JetStream is not available yet, or its cluster has no leader now."""


class Refusal(BusError):
    """JetStream said no; `number` is its error code."""

    def __init__(self, message: str, *, number: int, element: str, retryable: bool = False) -> None:
        super().__init__(message, element=element, retryable=retryable)
        self.number = number


async def ask(
    connection: Connection,
    verb: str,
    body: Mapping[str, Any] | None = None,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """The answer of `$JS.API.<verb>`; raises NotFoundOnBus, OutOfSpace or BusError."""
    data = json.dumps(body).encode() if body is not None else b""
    try:
        message = await connection.request(f"{API}.{verb}", data, timeout_seconds=timeout_seconds)
    except NoResponder:
        raise NotFoundOnBus(f"cannot {verb}: the engine has no such stream", element=verb, retryable=True) from None
    return checked(verb, message.data)


def checked(verb: str, data: bytes) -> dict[str, Any]:
    """The document JetStream answered, or the error it stands for."""
    try:
        answer: Any = json.loads(data)
    except ValueError:
        raise BusError(f"cannot {verb}: the engine's answer is not JSON", element=verb, retryable=True) from None
    if not isinstance(answer, dict):
        raise BusError(f"cannot {verb}: the engine's answer is not an object", element=verb, retryable=True)
    if "error" in answer:
        raise _refused(verb, answer["error"])
    return answer


def _refused(verb: str, error: Mapping[str, Any]) -> CorralError:
    number = int(error.get("err_code", 0))
    text = f"cannot {verb}: {error.get('description', 'refused')} ({number})"
    if number in _NOT_FOUND:
        return NotFoundOnBus(text, element=verb, retryable=True)
    if number in _FULL:
        return OutOfSpace(text, element=verb, hint="raise the limit of this stream, or free space", retryable=True)
    return Refusal(text, number=number, element=verb, retryable=number in _TRY_AGAIN or error.get("code") == 503)
