"""What a node's output may do to our terminal: colours, nothing else.

A node is not trusted: its bytes must not move the cursor, set the title, write to the clipboard, reset the screen or hide text.
So on a terminal every escape sequence but SGR (colour) is removed, an unfinished one and every other control or
bidirectional character is made visible. To a pipe output goes as the exact bytes; this module is not asked then.
"""

from __future__ import annotations

import re
from typing import Final

_STRING_MAX: Final = 4096
_TOKEN: Final = re.compile(
    r"\x1b\[(?P<csi>[0-?]*[ -/]*[@-~])"
    r"|\x1b[\]PX^_](?P<string>[^\x07\x1b\x9c\n]{0,4096}(?:\x07|\x1b\\|\x9c))"
    r"|\x1b(?P<short>[ -/]{0,4}[0-OQ-WYZ\\`-~])"
    r"|(?P<crlf>\r\n)"
    r"|(?P<bad>[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff])"
)
_SGR: Final = re.compile(r"[0-9;:]*m\Z")
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c\n]*(?:\x1b)?|[ -/]{0,4})?\Z")
RESET: Final = "\x1b[0m"


def clean(text: str, *, colour: bool = True) -> str:
    """`text` as it may be shown. With colour, SGR stays and is closed at the end, so that it never tints what follows."""
    painted = False

    def replace(match: re.Match[str]) -> str:
        nonlocal painted
        if (csi := match.group("csi")) is not None:
            if colour and _SGR.match(csi):
                painted = csi not in ("m", "0m")
                return match.group()
            return ""
        if match.group("crlf"):
            return "\n"
        if (bad := match.group("bad")) is not None:
            return visible(bad)
        return ""

    out = _TOKEN.sub(replace, text)
    return out + RESET if painted else out


def visible(character: str) -> str:
    r"""A control character as text: \x07, \r, \u202e."""
    named = {"\r": "\\r", "\0": "\\0", "\x1b": "\\e", "\b": "\\b"}
    code = ord(character)
    return named.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def cell(value: object) -> str:
    """One table cell or word of a sentence: a single line, nothing hidden, no colour of its own."""
    text = clean(str(value), colour=False)
    return text.replace("\n", "\\n").replace("\t", " ")


class Cleaner:
    """`clean` for text that arrives in parts: an escape sequence cut by the network is held until its end comes."""

    def __init__(self, *, colour: bool = True) -> None:
        self._colour = colour
        self._held = ""

    def feed(self, text: str) -> str:
        text = self._held + text
        match = _UNFINISHED.search(text)
        cut = match.start() if match else len(text)
        if len(text) - cut > _STRING_MAX:
            cut = len(text)
        elif cut == len(text) and text.endswith("\r"):
            cut -= 1
        self._held = text[cut:]
        return clean(text[:cut], colour=self._colour)

    def flush(self) -> str:
        held, self._held = self._held, ""
        return clean(held, colour=self._colour)
