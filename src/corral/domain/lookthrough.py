"""What a simple command really runs: sudo, env, nohup, xargs, `sh -c …` and their like are looked through.

The wrapper itself stays in the list, so a rule on `sudo` works too. Each command comes with what policy rules ask about (effects.py
says what it removes, changes and writes), and with the programs whose output it is fed. Texts that reach a shell by other ways
than `-c` are read too: here-documents, `echo … |`, the calls of awk, perl and python. Paths are made absolute by the working
directory, `cd` in the same text included, where that is known.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from corral.domain.effects import Effects, absolute, effects_of
from corral.domain.shelltext import DEPTH, simple_commands
from corral.domain.shelltokens import SimpleCommand, Word
from corral.domain.shellwords import Budget, TooDeep, Unreadable, Variables, echoed

_WRAPPERS: Final = {
    # name → (options that take a value, positional words of its own before the command)
    "sudo": ("ughpCcrtTDRU", 0),
    "doas": ("uC", 0),
    "pkexec": ("", 0),
    "env": ("uCS", 0),
    "nohup": ("", 0),
    "nice": ("n", 0),
    "ionice": ("cnpPu", 0),
    "chrt": ("TPD", 1),
    "timeout": ("sk", 1),
    "setsid": ("", 0),
    "stdbuf": ("ioe", 0),
    "unbuffer": ("", 0),
    "time": ("fo", 0),
    "command": ("", 0),
    "builtin": ("", 0),
    "exec": ("a", 0),
    "xargs": ("IiLlnPsdEea", 0),
    "parallel": ("jNnI", 0),
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
    "systemd-inhibit": ("", 0),
    "runuser": ("ugG", 0),
    "flock": ("wE", 1),
    "prlimit": ("", 0),
}
_LOADER: Final = re.compile(r"ld-(linux|musl)[^/]*\.so[.0-9]*")
SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "fish"})
_READS_STDIN: Final = SHELLS | {"at", "batch", "source", ".", "sudo", "su"}
_SHELL_TEXTS: Final = ("su", "runuser", "script", "flock", "sg")
_LANGUAGES: Final = ("perl", "ruby", "php", "lua", "node", "awk", "gawk", "mawk", "nawk", "tclsh")
_CALL: Final = re.compile(
    r"""\b(?:system|popen|exec[lv]?[pe]{0,2}|spawn|run|call|check_call|check_output|Popen|getoutput|execute"""
    r"""|execSync|spawnSync|execFileSync|shell_exec|passthru|proc_open)\s{0,4}"""
    r"""\(?\s{0,4}\[?\s{0,4}(?:"([^"\n]*)"|'([^'\n]*)')""",
)
_BACKTICKS: Final = re.compile(r"`([^`\n]*)`")
_TREE_CALL: Final = re.compile(
    r"""\b(?:rmtree|remove_tree|rm_rf|rm_r|rmSync|removedirs)\s{0,4}\(?\s{0,4}["']([^"'\n]*)["']"""
)
_ROUNDS: Final = 64


@dataclass(slots=True)
class Command:
    """One program that would run. `words[0]` is the program as written, `fed_by` the programs whose output it reads or is made of."""

    words: tuple[str, ...]
    literal: bool
    removes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    fed_by: tuple[str, ...] = ()
    program: str = field(init=False)

    def __post_init__(self) -> None:
        self.program = posixpath.basename(self.words[0]) if self.words else ""

    def key(self) -> Hashable:
        """Equal for commands of which the same is to be said."""
        return (self.words, self.literal, self.removes, self.changes, self.writes, self.fed_by)


def commands_of(
    simple: Iterable[SimpleCommand], *, cwd: str | None, stdin: str | None = None, variables: Variables | None = None
) -> list[Command]:
    """Every program of these commands, wrappers and what they wrap. Raises Unreadable when nested without end.

    `stdin` is what the first one is given to read.
    """
    look = _Look(variables or Variables({}))
    listed = list(simple)
    if stdin is not None and listed:
        listed[0].given.append(Word(stdin))
    look.read(listed, cwd, 0)
    return look.out


class _Look:
    def __init__(self, variables: Variables) -> None:
        self.out: list[Command] = []
        self._budget = Budget()
        self._variables = variables
        self._aliases: dict[str, str] = {}

    def read(self, simple: Iterable[SimpleCommand], cwd: str | None, depth: int) -> None:
        if depth > DEPTH:
            raise TooDeep(f"nested deeper than {DEPTH}")
        for command in simple:
            words = command.words
            if not words:
                writes = tuple(absolute(word.text, cwd) for word in command.writes)
                self.out.append(Command((), False, writes=writes))
                continue
            if words[0].text in ("cd", "pushd"):
                cwd = _moved(cwd, words)
            if words[0].text in self._aliases:
                self._text(f"{self._aliases[words[0].text]} {' '.join(w.text for w in words[1:])}", cwd, depth)
            self._one(command, list(words), cwd, depth)

    def _one(self, command: SimpleCommand, words: list[Word], cwd: str | None, depth: int) -> None:
        writes = tuple(absolute(word.text, cwd) for word in command.writes)
        for _ in range(_ROUNDS):
            name = posixpath.basename(words[0].bare)
            known = Effects(writes=writes) + effects_of(words, cwd)
            self._keep(command, words, known)
            self._texts(command, name, words, cwd, depth)
            if name == "find":
                self.read(_find_exec(words), cwd, depth + 1)
            inner = _unwrap(name, words)
            if not inner:
                return
            if name in ("xargs", "parallel"):
                inner = _with_fed(words, inner, _fed_words(command))
            words = inner
        raise TooDeep("wrapped without end")

    def _keep(self, command: SimpleCommand, words: list[Word], known: Effects) -> None:
        literal = all(word.literal for word in words)
        feeders = dict.fromkeys(_names([*command.before, *command.inside]))
        texts = (words[0].bare or words[0].text, *(word.text for word in words[1:]))
        self.out.append(
            Command(
                texts,
                literal,
                removes=known.removes,
                changes=known.changes,
                writes=known.writes,
                fed_by=tuple(feeders),
            )
        )

    def _text(self, text: str, cwd: str | None, depth: int) -> None:
        self.read(simple_commands(text, depth + 1, self._budget, self._variables), cwd, depth + 1)

    def _texts(self, command: SimpleCommand, name: str, words: Sequence[Word], cwd: str | None, depth: int) -> None:
        for text in _texts(name, words):
            self._text(text, cwd, depth)
        if name == "alias":
            for word in words[1:]:
                key, _, value = word.text.partition("=")
                self._aliases[key] = value
                self._text(value, cwd, depth)
        for code in _code(name, words):
            self.calls(code, cwd, depth, backticks="awk" not in name)
        if name in (*SHELLS, "eval", "source", "."):
            # an echo somewhere in what makes its text
            for inner in command.inside:
                if (said := echoed([word.text for word in inner.words])) is not None:
                    self._quietly(said, cwd, depth)
        if name in _READS_STDIN and _fed_text(name, words):
            for given in _given(command):
                self._text(given, cwd, depth)

    def calls(self, code: str, cwd: str | None, depth: int = 0, *, backticks: bool = False) -> None:
        """What a text of another language hands to a shell or removes, as far as a call holds it in one piece."""
        for match in _CALL.finditer(code):
            self._quietly(match.group(1) or match.group(2) or "", cwd, depth)
        for match in _BACKTICKS.finditer(code) if backticks else ():
            self._quietly(match.group(1), cwd, depth)
        for match in _TREE_CALL.finditer(code):
            self.read([SimpleCommand(words=[Word("rm"), Word("-rf"), Word(match.group(1))])], cwd, depth + 1)

    def _quietly(self, text: str, cwd: str | None, depth: int) -> None:
        try:
            self._text(text, cwd, depth)
        except Unreadable:
            return


def calls_in(code: str, *, cwd: str | None) -> list[Command]:
    """What a text of another language hands to a shell, as far as its calls hold it in one piece."""
    look = _Look(Variables({}))
    look.calls(code, cwd)
    return look.out


def _names(commands: Iterable[SimpleCommand]) -> Iterable[str]:
    for command in commands:
        if command.words:
            yield posixpath.basename(command.words[0].bare)
            yield from (
                posixpath.basename(w.bare)
                for w in _unwrap(posixpath.basename(command.words[0].bare), command.words)[:1]
            )


def _given(command: SimpleCommand) -> Iterable[str]:
    """Texts that come in by stdin: here-documents, here-strings, and what an echo or cat earlier in the pipeline prints."""
    yield from (word.text for word in command.given)
    for earlier in command.before:
        if (text := echoed([word.text for word in earlier.words])) is not None:
            yield text
        yield from (word.text for word in earlier.given)


def _fed_text(name: str, words: Sequence[Word]) -> bool:
    """Whether it runs what it reads: a shell without -c and without a script of its own."""
    if name in ("sudo", "su"):
        return len(words) == 1 or any(w.text in ("-s", "-i", "-") for w in words[1:])
    operands = [w.text for w in words[1:] if not w.text.startswith(("-", "+"))]
    stdin = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "-")
    short = any(w.text.startswith("-") and not w.text.startswith("--") and "s" in w.text for w in words[1:])
    return not operands or operands[0] in stdin or short or "$" in operands[0] or name in ("at", "batch")


def _fed_words(command: SimpleCommand) -> list[Word]:
    """What xargs appends, where the text itself says it: the words of an echo, the roots of a find, the folder of an ls."""
    found: list[Word] = []
    for text in _given(command):
        found += [Word(part, literal=False) for part in text.split()[:64]]
    for earlier in command.before:
        name = posixpath.basename(earlier.words[0].bare) if earlier.words else ""
        paths = [w.text for w in earlier.words[1:] if w.text.startswith(("/", ".", "~"))]
        if name == "find":
            found += [Word(path, literal=False) for path in paths if name]
        elif name in ("ls", "dir"):
            found += [Word(path.rstrip("/") + "/*", literal=False) for path in paths]
    return found


def _with_fed(words: Sequence[Word], inner: list[Word], fed: list[Word]) -> list[Word]:
    """What xargs runs: the words it is fed stand at the end, or in the place that `-I` names."""
    for index, word in enumerate(words):
        if word.text.startswith("-I"):
            place = word.text[2:] or (words[index + 1].text if index + 1 < len(words) else "")
            if place and fed:
                said = " ".join(w.text for w in fed)
                return [Word(w.text.replace(place, said), False) if place in w.text else w for w in inner]
    return [*inner, *fed]


def _moved(cwd: str | None, words: Sequence[Word]) -> str | None:
    where = next((w for w in words[1:] if not w.text.startswith("-")), None)
    if where is None:
        return "/root"
    if "$" in where.text or (cwd is None and not where.text.startswith(("/", "~"))):
        return None
    return absolute(where.text, cwd)


def _unwrap(name: str, words: Sequence[Word]) -> list[Word]:
    wrapper = ("", 0) if _LOADER.fullmatch(name) else _WRAPPERS.get(name)
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
    rest = list(words[index + positional :])
    if name == "parallel":
        rest = [word for word in rest if word.text not in (":::", "::::")]
    return rest


def _texts(name: str, words: Sequence[Word]) -> list[str]:
    """Shell texts among the arguments: `sh -c TEXT`, `su -c TEXT`, `eval WORDS`, `trap TEXT`, `env -S TEXT`."""
    if name == "eval":
        return [" ".join(word.text for word in words[1:])]
    if name in ("trap", "watch"):
        return [word.text for word in words[1:] if not word.text.startswith("-")]
    if name == "ssh":
        # everything behind the host is one text for the shell there; some options are commands for the shell here
        own = [w.text.partition("=")[2] for w in words[1:] if "Command=" in w.text]
        return own + [" ".join(word.text for word in words[start:]) for start in range(2, min(len(words), 8))]
    if name == "env":
        return [b.text for a, b in itertools.pairwise(words) if a.text in ("-S", "--split-string")]
    if name in SHELLS or name in _SHELL_TEXTS:
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


def _code(name: str, words: Sequence[Word]) -> list[str]:
    """Texts in another language among the arguments; awk's may be any word."""
    if name.startswith("python") or name in _LANGUAGES:
        if "awk" in name:
            return [word.text for word in words[1:]]
        return [b.text for a, b in itertools.pairwise(words[1:]) if a.text.startswith("-") and a.text[-1] in "ceErR"]
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
