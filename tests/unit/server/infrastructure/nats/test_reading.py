import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.domain.task import Reason, TaskState
from corral.protocol.codec import BadMessage
from corral.server.infrastructure.nats.reading import DETAIL_CHARS_MAX, INT32, read_report

JOB = "J" + "0" * 18
GOOD = {"v": 1, "token": "ab" * 16, "job": JOB, "attempt": 1, "seq": 2, "state": "succeeded", "exit_code": 0}
SUBJECT = "corral.up.web-1.report"


def body(**changes):
    return json.dumps({**GOOD, **changes}).encode()


def test_a_good_report_is_of_the_node_its_subject_names():
    read = read_report(SUBJECT, body(node="web-2", something_new=1))
    assert read.token == GOOD["token"]
    assert read.reported.node == "web-1"
    assert (read.reported.outcome.state, read.reported.outcome.seq) == (TaskState.SUCCEEDED, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "lost"},
        {"state": "queued"},
        {"state": "no such state"},
        {"token": ""},
        {"token": "A" * 32},
        {"job": "../../etc"},
        {"job": "J"},
        {"attempt": 0},
        {"attempt": 2**40},
        {"attempt": True},
        {"seq": -1},
        {"seq": 2**31},
        {"v": 2},
        {"exit_code": "0"},
        {"cancel": []},
        {"stdout_bytes": 1.5},
    ],
)
def test_a_report_that_breaks_a_rule_is_poison(changes):
    with pytest.raises(BadMessage):
        read_report(SUBJECT, body(**changes))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"null", b"[]", b'{"token":"\\ud800"}', b"[" * 200_000, b"0" * 300_000]
)
def test_bytes_that_are_no_report_are_poison(data):
    with pytest.raises(BadMessage):
        read_report(SUBJECT, data)


def test_numbers_and_texts_are_cut_to_what_a_database_holds():
    outcome = read_report(
        SUBJECT, body(exit_code=10**30, stdout_bytes=10**30, detail="x" * 10_000, result={"log": "y" * 100_000})
    ).reported.outcome
    assert outcome.exit_code == INT32
    assert outcome.stdout_bytes == 2**63 - 1
    assert len(outcome.detail) == DETAIL_CHARS_MAX
    assert set(outcome.result) == {"left_out_bytes"}


def test_a_reason_of_a_newer_node_is_kept_as_words():
    outcome = read_report(SUBJECT, body(reason="moon_phase", detail="full")).reported.outcome
    assert (outcome.reason, outcome.detail) == (Reason.NONE, "moon_phase: full")


def test_a_subject_without_a_node_id_is_poison():
    with pytest.raises(BadMessage):
        read_report("corral.up.*.report", body())


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_whatever_arrives_is_a_report_or_poison_and_nothing_else(data):
    with pytest.raises(BadMessage):
        read_report(SUBJECT, data)


def test_a_result_nested_beyond_what_can_be_written_again_is_left_out():
    data = json.dumps({**GOOD, "result": 0}).replace('"result": 0', '"result": {"a": %s}' % ("[" * 900 + "]" * 900))
    assert read_report("corral.up.n1.report", data.encode()).reported.outcome.result == {
        "left_out": "it nests too deeply"
    }
