"""The journal by itself: what is durable, what is pruned, what a damaged file leads to; and the server's time."""

import sqlite3

import pytest

from corral.agent.config import StateDir
from corral.agent.worker.attempt import OpenSet, Phase
from corral.agent.worker.journal import KEEP_SECONDS, Journal, Row
from corral.agent.worker.servertime import ServerTime
from corral.protocol.digest import digest


@pytest.fixture
def journals(tmp_path):
    made = []

    def make():
        number = len(made)
        journal = Journal(StateDir(tmp_path), lambda: f"id{number}")
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.close()


def row(job="J1", attempt=1, state=Phase.RECEIVED, not_after=1000.0):
    return Row(job, attempt, state, not_after, 1.0, None, 0.0, "boot", 0, b"wire", None)


def test_nothing_is_made_before_there_is_something_to_write(journals, tmp_path):
    journal = journals()
    assert not journal.open_existing()
    assert journal.attempts("J1") == [] and journal.buried(("J1", 1)) == (False, None)
    assert list(tmp_path.iterdir()) == []
    journal.add(row())
    assert (tmp_path / "journal.db").stat().st_mode & 0o777 == 0o600


def test_its_id_lasts_and_rows_come_back_as_they_were(journals):
    first = journals()
    first.add(row())
    first.add(row("J2"))
    first.starting(("J1", 1), started_at=5.0, started_mono=6.0, boot_id="b2", generation=1)
    first.done(("J2", 1), b"report")
    second = journals()
    assert second.open_existing()
    assert second.id == first.id == "id0"
    rows = {r.job: r for r in second.unsettled()}
    assert (rows["J1"].state, rows["J1"].started_at, rows["J1"].generation, rows["J1"].boot_id) == (
        Phase.STARTING,
        5.0,
        1,
        "b2",
    )
    assert (rows["J2"].state, rows["J2"].report, rows["J2"].wire) == (Phase.DONE, b"report", b"wire")


def test_an_attempt_is_added_once(journals):
    journal = journals()
    journal.add(row())
    with pytest.raises(sqlite3.IntegrityError):
        journal.add(row())


def test_a_receipted_row_drops_its_task_keeps_its_report_and_goes_a_day_after_its_deadline(journals):
    journal = journals()
    journal.add(row())
    journal.done(("J1", 1), b"report")
    journal.receipted(("J1", 1))
    journal.flush()
    assert list(journal.unsettled()) == []
    assert journal.attempts("J1") == [(1, Phase.RECEIPTED, b"report")]
    assert journal.prune(1000.0 + KEEP_SECONDS - 1) == 0
    assert journal.prune(1000.0 + KEEP_SECONDS + 1) == 1
    assert journal.attempts("J1") == []


def test_an_unsettled_row_is_never_pruned(journals):
    journal = journals()
    journal.add(row())
    journal.add(row("J2"))
    journal.done(("J2", 1), b"r")
    assert journal.prune(1e12) == 0


def test_a_tombstone_covers_its_attempt_and_all_before_until_a_day_after_its_deadline(journals):
    journal = journals()
    journal.bury(("J1", 2), not_after=1000.0, grace=3.0)
    again = journals()
    again.open_existing()
    assert [again.buried(("J1", n)) for n in (1, 2, 3)] == [(True, 3.0), (True, 3.0), (False, None)]
    again.prune(1000.0 + KEEP_SECONDS + 1)
    assert again.buried(("J1", 1)) == (False, None)


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b""])
def test_a_file_that_is_no_journal_is_set_aside_or_begun_anew(journals, tmp_path, damage):
    journal = journals()
    journal.add(row())
    journal.close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"journal.db{suffix}").unlink(missing_ok=True)
    (tmp_path / "journal.db").write_bytes(damage)
    again = journals()
    again.open_existing()
    assert again.id == "id1"
    assert again.meta("reset_at") == ""
    assert list(again.unsettled()) == []


def test_a_locked_journal_is_not_thrown_away(journals, tmp_path):
    journal = journals()
    journal.add(row())
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("pragma locking_mode=exclusive")
    journal.close()
    other.execute("begin exclusive")
    again = Journal(StateDir(tmp_path), lambda: "new")
    original = sqlite3.connect

    def impatient(*args, **kwargs):
        return original(*args, **{**kwargs, "timeout": 0.05})

    sqlite3.connect = impatient
    try:
        with pytest.raises(sqlite3.OperationalError):
            again.open_existing()
    finally:
        sqlite3.connect = original
        other.close()
    assert not list(tmp_path.glob("*damaged*"))


def test_the_open_set_has_the_digest_of_what_is_in_it():
    items = OpenSet()
    items.add(("J1", 1))
    items.add(("J2", 2))
    items.add(("J2", 2))
    assert items.digest == digest([("J1", 1), ("J2", 2)])
    items.discard(("J1", 1))
    items.discard(("J9", 1))
    assert items.digest == digest([("J2", 2)])


class Clock:
    wall_time, mono = 5000.0, 10.0

    def wall(self):
        return self.wall_time

    def monotonic(self):
        return self.mono


def test_server_time_goes_on_by_the_monotonic_clock_whatever_the_wall_clock_does():
    clock = Clock()
    time = ServerTime(clock)
    assert not time.synced and time.now() == 5000.0
    time.saw(9000.0)
    assert time.now() == 9000.0
    time.learn(7000.0)
    clock.wall_time, clock.mono = -1e9, 25.0
    assert time.now() == 7015.0
    assert time.skew_seconds == pytest.approx(-1e9 - 7015)


def test_a_late_answer_does_not_set_the_clock_back_but_a_corrected_server_does():
    clock = Clock()
    time = ServerTime(clock)
    time.learn(7000.0)
    clock.mono += 5
    time.learn(7003.0)
    assert time.now() == 7005.0
    time.learn(6000.0)
    assert time.now() == 6000.0
