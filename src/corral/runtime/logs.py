"""Logging of all our programs: one line per record, whatever is logged (faults: log injection).

Control characters, line ends, bidirectional marks and invalid surrogates are escaped; a field is cut at 4 KiB; fields come from
`extra`. Files rotate by size, old ones are compressed in a thread and go by count and age. No logging.handlers: a node does not
pay for sockets and pickles it never uses.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from corral.domain.errors import Invalid
from corral.runtime.files import private_dir

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
MAX_FIELD_CHARACTERS: Final = 4096
_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_DAY_SECONDS: Final = 86400


def configure(
    level: str = "info",
    format: Literal["text", "json"] = "text",
    file: Path | None = None,
    max_bytes: int = 10_000_000,
    files: int = 5,
    days: int = 7,
) -> None:
    """Set up the root logger of this process; calling it again replaces the former setup. Without `file`: standard error."""
    number = LEVELS.get("warn" if level.lower() == "warning" else level.lower())
    if number is None:
        raise Invalid(
            f"cannot log at level {level!r}: expected one of {', '.join(LEVELS)}", element="log.level", hint="use info"
        )
    handler = _Quiet(sys.stderr) if file is None else RotatingFile(file, max_bytes=max_bytes, files=files, days=days)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(number)


def one_line(text: str, limit: int = MAX_FIELD_CHARACTERS) -> str:
    """`text` without anything a terminal or a log reader could take for structure; longer than `limit` is cut and says so."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit} more characters)"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in record.__dict__.items() if name not in _OWN and not name.startswith("_")}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {error}"
        # The end of a traceback is the part that says where; keep that when it is long.
        fields["traceback"] = "".join(traceback.format_exception(error))[-MAX_FIELD_CHARACTERS:]
    return fields


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return f"{record.msg!s} {record.args!r}"  # a wrong format string must not hide the record


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(record: logging.LogRecord) -> str:
    return "WARN" if record.levelno == logging.WARNING else record.levelname


class TextLines(logging.Formatter):
    """`time LEVEL logger: message key=value …` for people."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [f"{_time(record)} {_level(record):<5} {record.name}: {one_line(_message(record))}"]
        for name, value in _fields(record).items():
            text = one_line(str(value))
            quoted = f'"{text}"' if not text or any(c in text for c in ' "=') else text
            parts.append(f"{one_line(name)}={quoted}")
        return " ".join(parts)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, caller, message, then the fields. ASCII only, so nothing can break out."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": _level(record),
            "logger": record.name,
            "caller": f"{record.module}:{record.lineno}",
            "message": _cut(_message(record)),
        }
        for name, value in _fields(record).items():
            line[name if name not in line else f"{name}_"] = (
                value if isinstance(value, bool | int | float) or value is None else _cut(str(value))
            )
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"))


def _cut(text: str) -> str:
    rest = len(text) - MAX_FIELD_CHARACTERS
    return text if rest <= 0 else f"{text[:MAX_FIELD_CHARACTERS]}... ({rest} more characters)"


class _Quiet(logging.StreamHandler[Any]):
    """A stream handler that never raises: a full disk or a closed terminal must not stop the program."""

    def handleError(self, record: logging.LogRecord) -> None:
        return None


class RotatingFile(_Quiet):
    """Appends to `path`; past `max_bytes` it becomes path.1.gz, and at most `files` old ones younger than `days` are kept."""

    def __init__(self, path: Path, *, max_bytes: int, files: int, days: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._days = days
        self._packing: threading.Thread | None = None
        private_dir(path.parent)
        super().__init__(self._open())
        self._size = path.stat().st_size
        self._drop_old()

    def _open(self) -> Any:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(fd, "ab")

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode(errors="backslashreplace") + b"\n"
        if self._size and self._size + len(line) > self._max_bytes:
            with contextlib.suppress(OSError):  # no room to rotate: keep appending, the record itself matters more
                self._rotate()
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(line)
            self.stream.flush()
            self._size += len(line)

    def _rotate(self) -> None:
        if self._packing is not None:
            self._packing.join()
        self.stream.close()
        try:
            for number in range(self._files - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._old(number), self._old(number + 1))
            plain = self._path.with_name(f"{self._path.name}.1")
            os.replace(self._path, plain)
        finally:
            self.stream = self._open()
            self._size = os.fstat(self.stream.fileno()).st_size
        # Compressing 10 MB takes a tenth of a second: not on the loop that logs.
        self._packing = threading.Thread(target=self._pack, args=(plain,), name="log-pack", daemon=True)
        self._packing.start()

    def _old(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}.gz")

    def _pack(self, plain: Path) -> None:
        import gzip
        import shutil

        try:
            if self._files < 1:
                plain.unlink()
                return
            temporary = plain.with_name(f".{plain.name}.gz.tmp")
            with open(plain, "rb") as source, gzip.open(temporary, "wb", compresslevel=6) as packed:
                shutil.copyfileobj(source, packed)
            os.replace(temporary, self._old(1))
            plain.unlink()
            self._drop_old()
        except OSError:
            pass  # the plain file stays and is packed over by the next rotation

    def _drop_old(self) -> None:
        oldest = time.time() - self._days * _DAY_SECONDS
        for path in self._path.parent.glob(f"{self._path.name}.*"):
            number = path.name.removeprefix(f"{self._path.name}.").removesuffix(".gz")
            with contextlib.suppress(OSError):
                if number.isdigit() and (int(number) > self._files or path.stat().st_mtime < oldest):
                    path.unlink()

    def close(self) -> None:
        if self._packing is not None:
            self._packing.join(timeout=10)
        with contextlib.suppress(OSError):
            self.stream.close()
        super().close()
