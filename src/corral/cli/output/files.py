"""File tasks and revisions as people read them: changed or not, digests, the rows of a history, the bar of a transfer. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TextIO

from corral.cli.output.progress import BAR, REDRAW_SECONDS
from corral.cli.output.units import show_ago, show_duration, show_size
from corral.runtime.clock import Clock
from corral.sdk.models import Revision, Task

DIGEST_SHOWN: Final = 12
NODES_SHOWN: Final = 5
WHERE_HEADERS: Final = ("REV", "PATH", "NODES", "NEWEST", "WHICH")


def short(digest: Any) -> str:
    return str(digest)[:DIGEST_SHOWN]


def change(task: Task) -> str:
    """`changed` or `unchanged` of a file task that may change something; '' of everything else."""
    result = task.result
    if not task.succeeded or "backup" not in result or not isinstance(result.get("changed"), bool):
        return ""
    return "changed" if result["changed"] else "unchanged"


def digests(task: Task) -> str:
    """`1a2b… → 9f8e…`, `new 9f8e…`, `removed 1a2b…`, or the one digest of what is as it was."""
    word = change(task)
    old, new = task.result.get("old"), task.result.get("new")
    if not word or (not old and not new):
        return ""
    if word == "unchanged" or old == new:
        return short(new or old)
    if not old:
        return f"new {short(new)}"
    return f"{short(old)} → {short(new)}" if new else f"removed {short(old)}"


def revision_rows(revisions: Sequence[Revision], now: datetime, *, paths: bool, wide: bool) -> list[list[object]]:
    rows: list[list[object]] = []
    for item in revisions:
        digest = item.digest if wide else short(item.digest)
        notes = ", ".join(word for word, on in ((item.archive, item.archive), ("missing", item.missing)) if on)
        row: list[object] = [f"r{item.revision}", digest, show_size(item.size), show_ago(item.created_at, now)]
        rows.append([*([item.source_path] if paths else []), *row, item.created_by, item.mode or "-", notes])
    return rows


def headers(*, paths: bool) -> list[str]:
    return [*(["SOURCE PATH"] if paths else []), "REV", "SHA-256", "SIZE", "AGE", "BY", "MODE", "NOTE"]


def where_rows(placements: Sequence[Mapping[str, Any]], now: datetime, *, wide: bool) -> list[list[object]]:
    """Nodes with the same revision at the same path in one row, the newest revision first."""
    groups: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for entry in placements:
        groups.setdefault((-entry["revision"], entry["dest"]), []).append(entry)
    rows: list[list[object]] = []
    for (revision, dest), entries in sorted(groups.items()):
        names = [entry["node"] for entry in entries]
        shown = names if wide else names[:NODES_SHOWN]
        more = len(names) - len(shown)
        newest = max(datetime.fromisoformat(entry["at"]) for entry in entries)
        text = ",".join(shown) + (f" and {more} more" if more else "")
        rows.append([f"r{-revision}", dest, len(names), show_ago(newest, now), text])
    return rows


NODE_FILE_HEADERS: Final = ["PATH", "FILE", "REVISION", "SINCE", "JOB"]


def node_file_rows(placements: Sequence[Mapping[str, Any]], now: datetime) -> list[list[object]]:
    return [
        [
            entry["dest"],
            entry["source_path"],
            f"r{entry['revision']}",
            show_ago(datetime.fromisoformat(entry["at"]), now),
            entry["job"],
        ]
        for entry in placements
    ]


def transfer_line(done: int, total: int, seconds: float, *, word: str) -> str:
    """`uploading [####........] 12 MiB of 64 MiB  98 MiB/s  3 s left`."""
    filled = BAR * done // total if total else BAR
    text = f"{word} [{'#' * filled}{'.' * (BAR - filled)}] {show_size(done)} of {show_size(total)}"
    if seconds > 0.2 and done:
        rate = done / seconds
        text += f"  {show_size(rate)}/s"
        if done < total:
            text += f"  {show_duration(int((total - done) / rate))} left"
    return text


class TransferBar:
    """One transfer on the last line of a terminal; disabled, it does nothing. Use as the `progress` of an upload."""

    def __init__(self, stream: TextIO, clock: Clock, *, enabled: bool, word: str = "uploading") -> None:
        self._stream = stream
        self._clock = clock
        self._enabled = enabled
        self._word = word
        self._began: tuple[float, int] | None = None
        self._drawn = 0.0
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        now = self._clock.monotonic()
        if self._began is None:
            self._began = (now, done)
        if not self._enabled or (done < total and now - self._drawn < REDRAW_SECONDS):
            return
        self._drawn = now
        self._shown = True
        start, had = self._began
        # What was there before we began says nothing about the speed.
        seconds = (now - start) * done / (done - had) if done > had else 0.0
        text = transfer_line(done, total, seconds, word=self._word)
        self._stream.write(f"\r{text[: _columns(self._stream) - 1]}\x1b[K")
        self._stream.flush()

    def wipe(self) -> None:
        if self._shown:
            self._shown = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
