"""Durations and sizes, read and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from corral.cli.output.units import parse_duration, parse_size, show_ago, show_duration, show_size
from corral.domain.errors import Invalid


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1h", 3600),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2D", 172800),
        ("0.5", 0.5),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "5 m", "1h-2", "five", "1y", "-5s", "1h30", "nan", "inf"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(Invalid, match="cannot read") as caught:
        parse_duration(text)
    assert "90s" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64MiB", 64 << 20), ("10kB", 10_000), ("1.5 GiB", 3 << 29), ("2M", 2_000_000), ("3Ki", 3072)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "5 parsecs", "-1", "1e3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cannot read"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (1.0, "1 s"),
        (0.123, "0.12 s"),
        (1.25, "1.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1m"),
        (90061, "1d1h"),
        (-5, "0 s"),
    ],
)
def test_durations_are_shown_with_two_units_at_most(seconds: float | None, text: str) -> None:
    assert show_duration(seconds) == text


def test_sizes_are_shown_in_binary_units() -> None:
    assert [show_size(n) for n in (0, 1023, 1024, 1536, 20 << 20, 5 << 30, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1 KiB",
        "1.5 KiB",
        "20 MiB",
        "5 GiB",
        "3.0 TiB",
    ]


def test_ago_is_never_in_the_future() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert show_ago(now + timedelta(seconds=5), now) == "now"
    assert show_ago(now - timedelta(minutes=2), now) == "2m ago"
    assert show_ago(None, now) == "-"
