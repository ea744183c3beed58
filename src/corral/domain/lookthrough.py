"""What a simple command really runs: sudo, env, nohup, xargs, `sh -c …` and their like are looked through.

The wrapper itself stays in the list, so a rule on `sudo` works too. Each command comes with what policy rules ask about: the
base name of its program, its words, what it would remove recursively, and what it would write to. Paths are made absolute by
the working directory, `cd` in the same text included, where that is known.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from corral.domain.shelltext import DEPTH, Budget, SimpleCommand, Unreadable, Word, simple_commands

_WRAPPERS: Final = {
    # name → (options that take a value, positional words of its own before the command)
    "sudo": ("ughpCcrtTDRU", 0),
    "doas": ("uC", 0),
    "env": ("uCS", 0),
    "nohup": ("", 0),
    "nice": ("n", 0),
    "ionice": ("cnpPu", 0),
    "chrt": ("TPD", 1),
    "timeout": ("sk", 1),
    "setsid": ("", 0),
    "stdbuf": ("ioe", 0),
    "time": ("fo", 0),
    "command": ("", 0),
    "builtin": ("", 0),
    "exec": ("a", 0),
    "xargs": ("IiLlnPsdEea", 0),
    "chroot": ("", 1),
    "busybox": ("", 0),
    "toybox": ("", 0),
    "watch": ("n", 0),
    "strace": ("eopsuPE", 0),
    "taskset": ("", 1),
    "unshare": ("SGR", 0),
    "nsenter": ("tSG", 0),
    "setpriv": ("", 0),
    "systemd-run": ("pEuMHt", 0),
    "runuser": ("ugG", 0),
    "flock": ("wE", 1),
}
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox.sh"})
_ROUNDS: Final = 64


@dataclass(slots=True)
class Command:
    """One program that would run. `words[0]` is the program as written."""

    words: tuple[str, ...]
    literal: bool
    removes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    program: str = field(init=False)

    def __post_init__(self) -> None:
        self.program = posixpath.basename(self.words[0]) if self.words else ""


def commands_of(simple: Iterable[SimpleCommand], *, cwd: str | None) -> list[Command]:
    """Every program of these commands, wrappers and what they wrap. Raises Unreadable when nested without end."""
    out: list[Command] = []
    _read(simple, cwd, out, 0, Budget())
    return out


def _read(simple: Iterable[SimpleCommand], cwd: str | None, out: list[Command], depth: int, budget: Budget) -> None:
    if depth > DEPTH:
        raise Unreadable(f"nested deeper than {DEPTH}")
    for command in simple:
        words, writes = command.words, tuple(_absolute(word.text, cwd) for word in command.writes)
        if not words:
            out.append(Command((), False, writes=writes))
            continue
        if words[0].text in ("cd", "pushd"):
            cwd = _moved(cwd, words)
        for _ in range(_ROUNDS):
            out.append(_command(words, cwd, writes))
            name = posixpath.basename(words[0].text)
            for text in _texts(name, words):
                _read(simple_commands(text, depth + 1, budget), cwd, out, depth + 1, budget)
            if name == "find":
                _read(_find_exec(words), cwd, out, depth + 1, budget)
            inner = _unwrap(name, words)
            if not inner:
                break
            words = inner
        else:
            raise Unreadable("wrapped without end")


def _moved(cwd: str | None, words: Sequence[Word]) -> str | None:
    where = next((w for w in words[1:] if not w.text.startswith("-")), None)
    if where is None or not where.literal or (cwd is None and not where.text.startswith("/")):
        return None
    return posixpath.normpath(posixpath.join(cwd or "/", where.text))


def _unwrap(name: str, words: Sequence[Word]) -> list[Word]:
    wrapper = _WRAPPERS.get(name)
    if wrapper is None:
        return []
    with_value, positional = wrapper
    index = 1
    while index < len(words):
        text = words[index].text
        if text == "--":
            index += 1
            break
        if text.startswith("--"):
            index += 1
        elif text.startswith("-") and len(text) > 1:
            index += 2 if text[-1] in with_value and (len(text) == 2 or not text[1].isupper()) else 1
        elif "=" in text and name in ("env", "sudo", "doas") and text.partition("=")[0].isidentifier():
            index += 1
        else:
            break
    return list(words[index + positional :])


def _texts(name: str, words: Sequence[Word]) -> list[str]:
    """Shell texts among the arguments: `sh -c TEXT`, `su -c TEXT`, `eval WORDS`, `trap TEXT`, `env -S TEXT`."""
    if name == "eval":
        return [" ".join(word.text for word in words[1:])]
    if name in ("trap", "watch", "ssh"):
        return [word.text for word in words[1:] if not word.text.startswith("-")]
    if name == "env":
        return [b.text for a, b in itertools.pairwise(words) if a.text in ("-S", "--split-string")]
    if name in _SHELLS or name in ("su", "runuser", "script", "flock"):
        found = []
        for option, text in itertools.pairwise(words[1:]):
            is_short = option.text.startswith("-") and not option.text.startswith("--") and "c" in option.text
            if is_short or option.text in ("--command", "--session-command"):
                found.append(text.text)
        found += [
            w.text.partition("=")[2] for w in words[1:] if w.text.startswith(("--command=", "--session-command="))
        ]
        return found
    return []


def _find_exec(words: Sequence[Word]) -> list[SimpleCommand]:
    found = []
    for index, word in enumerate(words):
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            inner = []
            for part in words[index + 1 :]:
                if part.text in (";", "+"):
                    break
                inner.append(part)
            # `find / -exec rm -r {}` removes where it looks
            roots = [w for w in words[1:] if w.text.startswith(("/", ".", "~"))]
            inner = [part for part in inner if part.text != "{}"] + (
                roots if any(p.text == "{}" for p in inner) else []
            )
            if inner:
                found.append(SimpleCommand(words=inner))
    return found


def _command(words: Sequence[Word], cwd: str | None, writes: tuple[str, ...]) -> Command:
    texts = tuple(word.text for word in words)
    name = posixpath.basename(texts[0])
    if name == "tee":
        writes += tuple(_absolute(text, cwd) for text in texts[1:] if not text.startswith("-"))
    elif name == "dd":
        writes += tuple(_absolute(text[3:], cwd) for text in texts[1:] if text.startswith("of="))
    elif name in ("cp", "mv", "install", "shred", "truncate"):
        writes += tuple(_absolute(text, cwd) for text in texts[1:] if text.startswith("/dev/"))
    return Command(texts, all(word.literal for word in words), _removes(name, texts, cwd), writes)


def _removes(name: str, texts: Sequence[str], cwd: str | None) -> tuple[str, ...]:
    if name == "find" and "-delete" in texts:
        return tuple(_absolute(text, cwd) for text in texts[1:] if text.startswith(("/", ".", "~")))
    if name != "rm":
        return ()
    recursive, only_paths, paths = False, False, []
    for text in texts[1:]:
        if only_paths or not text.startswith("-") or text == "-":
            paths.append(text)
        elif text == "--":
            only_paths = True
        elif text.startswith("--"):
            recursive = recursive or (len(text) > 3 and "--recursive".startswith(text))
        else:
            recursive = recursive or "r" in text or "R" in text
    return tuple(_absolute(path, cwd) for path in paths) if recursive else ()


def _absolute(path: str, cwd: str | None) -> str:
    """`path` as far as it is known: absolute, without `.`, `..`, doubled slashes, and without a last `/*` (all of a folder)."""
    if not path.startswith("/"):
        if path == "~" or path.startswith("~/"):
            path = "/root" + path[1:]
        elif cwd is not None:
            path = posixpath.join(cwd, path)
        else:
            return path
    path = posixpath.normpath(path)
    path = "/" + path.lstrip("/")
    while path.endswith(("/*", "/.*", "/{*,.*}", "/?*")):
        path = path.rpartition("/")[0] or "/"
    return path
