"""Every error Corral raises on purpose, as one tree.

    CorralError
    ├── Invalid            1001  bad input: names the field, the value, what was expected      HTTP 400  exit 2
    │   └── BadSelector    1002  a selector that does not parse (points at the column)         HTTP 400  exit 2
    ├── Unauthenticated    1003  no credential, or one that is not valid any more              HTTP 401  exit 5
    ├── Denied             1004  a valid caller who may not do this                            HTTP 403  exit 5
    ├── NotFound           1005  no such node, job, token, …                                   HTTP 404  exit 3
    ├── NothingMatched     1006  a selector that picks no node                                 HTTP 404  exit 3
    ├── TooLarge           1007  a body, spec or page beyond its cap                           HTTP 413  exit 2
    ├── TooMany            1008  a rate or a count beyond its cap                              HTTP 429  exit 1
    ├── Conflict           2001  in use, already exists, or changed meanwhile                  HTTP 409  exit 1
    ├── WrongState         2002  the thing is in a state where this cannot be done             HTTP 409  exit 1
    ├── TokenRefused       2003  an enrolment token that is used, expired, unknown or not its  HTTP 403  exit 5
    ├── Unsupported        3001  a protocol, schema or release version this side cannot speak  HTTP 409  exit 1
    ├── Unavailable        5001  a part we need (engine, database, server) does not answer     HTTP 503  exit 4
    ├── OutOfSpace         5002  a disk or a bounded stream is full                            HTTP 507  exit 1
    └── Internal           5000  our own mistake                                               HTTP 500  exit 1

The class says the code, the HTTP status and the exit status; the instance says `element` (the culprit: a field, a node, a
column), `hint` (the remedy) and `retryable`. Interfaces map by these attributes and never by parsing text. Messages read
"cannot <verb> <thing>: <cause>", lower case, values quoted.
"""

from __future__ import annotations

from typing import ClassVar


class CorralError(Exception):
    """Something Corral refuses or cannot do; the message is fit to be shown to a user."""

    code: ClassVar[int] = 5000
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(
        self, message: str, *, element: str | None = None, hint: str | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.element = element
        self.hint = hint
        self.retryable = retryable


class Invalid(CorralError):
    code, http_status, exit_status = 1001, 400, 2


class BadSelector(Invalid):
    """A selector that does not parse. `column` counts from 1; `text` is the selector as given."""

    code = 1002

    def __init__(self, message: str, *, text: str, column: int, hint: str | None = None) -> None:
        super().__init__(message, element="selector", hint=hint)
        self.text = text
        self.column = column


class Unauthenticated(CorralError):
    code, http_status, exit_status = 1003, 401, 5


class Denied(CorralError):
    code, http_status, exit_status = 1004, 403, 5


class NotFound(CorralError):
    code, http_status, exit_status = 1005, 404, 3


class NothingMatched(CorralError):
    code, http_status, exit_status = 1006, 404, 3


class TooLarge(CorralError):
    code, http_status, exit_status = 1007, 413, 2


class TooMany(CorralError):
    code, http_status, exit_status = 1008, 429, 1


class Conflict(CorralError):
    code, http_status, exit_status = 2001, 409, 1


class WrongState(CorralError):
    code, http_status, exit_status = 2002, 409, 1


class TokenRefused(CorralError):
    code, http_status, exit_status = 2003, 403, 5


class Unsupported(CorralError):
    code, http_status, exit_status = 3001, 409, 1


class Unavailable(CorralError):
    code, http_status, exit_status = 5001, 503, 4


class OutOfSpace(CorralError):
    code, http_status, exit_status = 5002, 507, 1


class Internal(CorralError):
    code, http_status, exit_status = 5000, 500, 1


def _tree(cls: type[CorralError]) -> list[type[CorralError]]:
    return [cls, *(c for sub in cls.__subclasses__() for c in _tree(sub))]


def by_code() -> dict[int, type[CorralError]]:
    """Code → class of this file's tree, so that a client raises the same error the server raised."""
    return {cls.code: cls for cls in _tree(CorralError) if cls is not CorralError and cls.__module__ == __name__}
