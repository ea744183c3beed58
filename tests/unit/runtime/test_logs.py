import gzip
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.domain.errors import Invalid
from corral.runtime.logs import configure

NASTY = 'a\nb\r\n{"level":"ERROR"} \x1b]0;title\x07 \x1b[2J \u202e bidi \u2028 \x00 \ud800 é'


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("format", ["text", "json"])
def test_every_record_is_one_line_whatever_is_logged(tmp_path: Path, format: str) -> None:
    file = tmp_path / "log"
    configure("info", format, file)  # type: ignore[arg-type]  # the parameter is one of the two words
    log = logging.getLogger("corral.test")
    log.info("Read %s", NASTY, extra={"action": "read", "node": NASTY, "huge": "x" * 100_000})
    try:
        raise ValueError(NASTY)
    except ValueError:
        log.exception("Cannot read")
    log.info("wrong format %d", "text")
    raw = file.read_bytes()
    assert raw.count(b"\n") == 3
    assert not any(byte < 32 for byte in raw.replace(b"\n", b""))
    text = raw.decode()
    assert "\u202e" not in text
    assert "\u2028" not in text
    assert len(raw) < 40_000
    assert "more characters" in text


def test_a_json_line_holds_time_level_caller_message_and_fields(tmp_path: Path) -> None:
    configure("debug", "json", tmp_path / "log")
    logging.getLogger("corral.x").warning(
        "Lost %s", "web-1", extra={"action": "node_lost", "count": 3, "level": "mine"}
    )
    line = json.loads((tmp_path / "log").read_text())
    assert line["level"] == "WARN"
    assert line["message"] == "Lost web-1"
    assert line["caller"].startswith("test_logs:")
    assert (line["action"], line["count"], line["level_"]) == ("node_lost", 3, "mine")
    assert line["time"].endswith("Z")


def test_the_level_filters_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    configure("error", "text", tmp_path / "log")
    logging.getLogger("x").warning("hidden")
    assert (tmp_path / "log").read_text() == ""
    with pytest.raises(Invalid, match="loud"):
        configure("loud")


def test_a_full_file_is_rotated_compressed_and_only_so_many_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "log"
    configure("info", "text", file, max_bytes=2000, files=2)
    for number in range(200):
        logging.getLogger("x").info("line %05d", number)
    logging.getLogger().handlers[0].close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1.gz", "log.2.gz"]
    assert file.stat().st_size <= 2000
    kept = b"".join(gzip.decompress((tmp_path / f"log.{n}.gz").read_bytes()) for n in (2, 1)) + file.read_bytes()
    numbers = [int(line.rsplit(b" ", 1)[1]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 200))  # no line lost between the kept files


def test_old_files_go_by_age(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in ("log.1.gz", "log.2.gz", "log.txt"))
    for path in (old, young, other):
        path.write_bytes(b"x")
    eight_days_ago = time.time() - 8 * 86400
    os.utime(old, (eight_days_ago, eight_days_ago))
    os.utime(other, (eight_days_ago, eight_days_ago))
    configure("info", "text", tmp_path / "log", days=7)
    assert not old.exists()
    assert young.exists()
    assert other.exists()


def test_the_log_file_is_private(tmp_path: Path) -> None:
    configure("info", "text", tmp_path / "deep" / "log")
    assert (tmp_path / "deep" / "log").stat().st_mode & 0o777 == 0o600
