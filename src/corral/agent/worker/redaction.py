"""Taking secrets out of what a task says, before it leaves the node.

Each secret is looked for as it is and as base64 (at all three alignments), URL-quoted, hex and JSON would write it. What is found
becomes as many asterisks, so offsets stay what they were and a chunk that goes twice is the same twice. Matches are looked for at
every position, so what overlaps is covered whole. Shorter than MIN_BYTES is not looked for: half of all output would be stars.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

MIN_BYTES: Final = 4


class Redactor:
    """`span` is how far before and after a place one has to look to judge it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = sorted(
            {form for secret in secrets for form in _forms(secret.encode("utf-8", "surrogateescape"))},
            key=lambda form: (-len(form), form),
        )
        self._forms = forms
        self.span = max((len(form) for form in forms), default=1) - 1
        self._pattern = re.compile(b"(?=(" + b"|".join(map(re.escape, forms)) + b"))") if forms else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def mask(self, data: bytes) -> bytes:
        """`data` with every whole secret in it replaced by asterisks; as long as before."""
        if self._pattern is None:
            return data
        out: bytearray | None = None
        for found in self._pattern.finditer(data):
            if out is None:
                out = bytearray(data)
            start, end = found.span(1)
            out[start:end] = b"*" * (end - start)
        return data if out is None else bytes(out)

    def begun(self, data: bytes) -> int:
        """How many of the last bytes of `data` may be the beginning of a secret whose rest has not come yet."""
        for start in range(max(0, len(data) - self.span), len(data)):
            tail = data[start:]
            if any(form.startswith(tail) for form in self._forms):
                return len(tail)
        return 0

    def text(self, text: str) -> str:
        return self.mask(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")

    def value(self, value: Any) -> Any:
        """The same for every text inside a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(part) for key, part in value.items()}
        return [self.value(part) for part in value] if isinstance(value, list) else value


def secrets_of(private: Mapping[str, Any]) -> list[str]:
    """Every text of a task's private part that must not come back: its secrets, and what its connection proves itself with."""
    connection = private.get("connection") or {}
    found = [value for value in private.get("secrets", {}).values() if isinstance(value, str)]
    found += [connection[key] for key in ("password", "token", "private_key") if isinstance(connection.get(key), str)]
    # a value of several lines is printed line by line as often as whole
    return [*found, *(line for value in found if "\n" in value for line in value.splitlines())]


def _forms(secret: bytes) -> Iterable[bytes]:
    if len(secret) < MIN_BYTES:
        return
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    text = secret.decode("utf-8", "replace")
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield quote(secret, safe="").encode()
    yield quote(secret).encode()
    yield quote_plus(secret).encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret).rstrip(b"=")
        for before in range(3):
            # of a longer text that holds the secret, only the characters made of nothing but the secret are known
            coded = encode(b"\0" * before + secret)
            first = -(-before * 8 // 6)
            last = (before + len(secret)) * 8 // 6
            if last - first >= 2 * MIN_BYTES:
                yield coded[first:last]
