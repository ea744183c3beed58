"""What a command does to paths, as far as its words tell: what it removes with all that is in it, what it changes, what it writes to.

A program whose name is not known but whose words look like a forced recursive removal counts as one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.domain.shelltokens import Word

_CHANGERS: Final = ("chmod", "chown", "chgrp", "setfacl", "chattr", "chcon")
_COPIERS: Final = ("cp", "mv", "install", "shred", "truncate", "dd", "cat")
_GLOB: Final = "*?["
UNKNOWN: Final = "$"
_INSIDE: Final = re.compile(r"(?<=[^/$])\$(?=[^/$])")
_UPS: Final = re.compile(r"(?:\.\./){3,}")


@dataclass(frozen=True, slots=True)
class Effects:
    removes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def __add__(self, more: Effects) -> Effects:
        return Effects(self.removes + more.removes, self.changes + more.changes, self.writes + more.writes)


def effects_of(words: Sequence[Word], cwd: str | None) -> Effects:
    texts = tuple(word.text for word in words)
    name = posixpath.basename(words[0].bare)
    if name == "tee":
        return Effects(writes=tuple(absolute(text, cwd) for text in texts[1:] if not text.startswith("-")))
    if name == "dd":
        return Effects(writes=tuple(absolute(text[3:], cwd) for text in texts[1:] if text.startswith("of=")))
    writes: tuple[str, ...] = ()
    if name in _COPIERS:
        writes = tuple(absolute(text, cwd) for text in texts[1:] if text.startswith("/dev/"))
    if name == "mv":
        return Effects(changes=_paths(_operands(texts)[:-1], cwd), writes=writes)
    if name == "cat":
        return Effects()
    if name in _CHANGERS:
        return Effects(changes=_changed(texts, cwd), writes=writes)
    return Effects(removes=_removes(name, words, cwd), writes=writes)


def _paths(paths: Sequence[str], cwd: str | None) -> tuple[str, ...]:
    """As they are, and where something unknown stands inside a name, as if it were empty."""
    return tuple(dict.fromkeys(absolute(p, cwd) for path in paths for p in (path, _INSIDE.sub("", path))))


def _operands(texts: Sequence[str]) -> list[str]:
    if "--" in texts:
        cut = list(texts).index("--")
        return [t for t in texts[1:cut] if not t.startswith("-")] + list(texts[cut + 1 :])
    return [text for text in texts[1:] if not text.startswith("-") or text == "-"]


def _changed(texts: Sequence[str], cwd: str | None) -> tuple[str, ...]:
    recursive = any(
        (text.startswith("--") and len(text) > 3 and "--recursive".startswith(text))
        or (text.startswith("-") and not text.startswith("--") and "R" in text)
        for text in texts[1:]
    )
    return _paths(_operands(texts), cwd) if recursive else ()


def _removes(name: str, words: Sequence[Word], cwd: str | None) -> tuple[str, ...]:
    texts = [word.text for word in words]
    if name == "find" and "-delete" in texts:
        # without any path it is the working directory
        roots = [text for text in texts[1:] if text.startswith(("/", ".", "~"))]
        return _paths(roots or ["."], cwd)
    if name == "rsync" and any(text.startswith("--del") for text in texts):
        return _paths(_operands(texts)[-1:], cwd)
    unknown = UNKNOWN in texts[0] or not name
    if not unknown and not could_be(name, "rm"):
        return ()
    recursive, force, only_paths, paths = False, False, False, []
    for text in texts[1:]:
        if only_paths or not text.startswith("-") or text == "-":
            paths.append(text)
        elif text == "--":
            only_paths = True
        elif text.startswith("--"):
            recursive = recursive or (len(text) > 3 and "--recursive".startswith(text))
            force = force or text == "--force"
        else:
            recursive = recursive or "r" in text or "R" in text
            force = force or "f" in text
    certain = recursive and (force or not unknown)
    return _paths([path for path in paths if path], cwd) if certain else ()


def could_be(name: str, wanted: str) -> bool:
    """Whether a program's name as written is `wanted`, or a pattern the shell may make it of (`/bin/r?`)."""
    if not any(c in name for c in _GLOB):
        return name == wanted
    return shell_glob(name, wanted)


def shell_glob(pattern: str, text: str) -> bool:
    """A shell's glob where `[…]` counts as any one character: rather too much than too little. Linear enough: both are short."""
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        end = pattern.find("]", index + 2) if pattern[index] == "[" else -1
        parts.append("?" if end > 0 else pattern[index])
        index = end + 1 if end > 0 else index + 1
    p = t = mark = 0
    star = -1
    while t < len(text):
        if p < len(parts) and parts[p] == "*":
            star, mark = p, t
            p += 1
        elif p < len(parts) and parts[p] in ("?", text[t]):
            p, t = p + 1, t + 1
        elif star >= 0:
            mark += 1
            p, t = star + 1, mark
        else:
            return False
    return all(part == "*" for part in parts[p:])


def absolute(path: str, cwd: str | None) -> str:
    """`path` as far as it is known: absolute, without `.`, `..`, doubled slashes, and without a last `/*` (all of a folder)."""
    top = path.startswith("/")
    if not top:
        if path.startswith("~"):
            name, _, rest = path[1:].partition("/")
            path = f"/root/{rest}" if name in ("", "root") else f"/home/{name}/{rest}"
        elif cwd is None and (ups := _UPS.match(path)):
            # so far up is the top, wherever it begins
            path = "/" + path[ups.end() :]
        elif cwd is not None:
            path = posixpath.join(cwd, path)
        else:
            return path
    path = posixpath.normpath(path)
    path = "/" + path.lstrip("/")
    while path.endswith(("/*", "/.*", "/{*,.*}", "/?*", "/**")):
        path = path.rpartition("/")[0] or "/"
    # `/$x`: whatever it is, it lies at the top
    return "/" if top and path == "/" + UNKNOWN else path
