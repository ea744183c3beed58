"""Values that must never be printed. A Secret IS its mask: repr, str, format, json and pickle see only the mask; `reveal()` is the
one way to the value, so a review finds every use by that word.
"""

from __future__ import annotations

import hmac
import re
from typing import Any, Final, Self

_MASK: Final = "********"
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):(.*)@")
_QUERY: Final = re.compile(r"(?<=[?&])((?:password|sslpassword|token)=)[^&]*", re.IGNORECASE)


class Secret(str):
    """A string whose text is a mask (or empty when the value is), whatever prints it."""

    __slots__ = ("_value",)
    _value: str

    def __new__(cls, value: str = "") -> Self:
        if isinstance(value, Secret):
            value = value.reveal()
        made = super().__new__(cls, cls.mask(value) if value else "")
        made._value = value
        return made

    @classmethod
    def mask(cls, value: str) -> str:
        return _MASK

    def reveal(self) -> str:
        """The value itself. Never log what this returns."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> Any:
        return (type(self), (str(self),))


class SecretUrl(Secret):
    """A URL of which only the password is hidden: postgresql://corral:********@db/corral."""

    __slots__ = ()

    @classmethod
    def mask(cls, value: str) -> str:
        return _QUERY.sub(rf"\g<1>{_MASK}", _PASSWORD.sub(rf"\g<1>:{_MASK}@", value))
