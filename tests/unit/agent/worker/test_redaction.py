"""Secrets in what a task says: found whatever their neighbours and encoding, never where a chunk happens to end."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.agent.worker.output import Chunk, read_masked
from corral.agent.worker.redaction import MIN_BYTES, Redactor, secrets_of

SECRET = 'hunter2/"Zwölf" &=?'
REDACTOR = Redactor([SECRET])


def _encodings():
    raw = SECRET.encode()
    yield "plain", raw
    yield "base64", base64.b64encode(raw)
    yield "urlsafe base64", base64.urlsafe_b64encode(raw)
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "url", quote(SECRET, safe="").encode()
    yield "json", json.dumps({"password": SECRET}).encode()
    yield "json in UTF-8", json.dumps({"password": SECRET}, ensure_ascii=False).encode()
    for before in ("u:", "us:", "usr:"):
        yield f"base64 behind {len(before)} characters", base64.b64encode(f"{before}{SECRET}@host".encode())


ENCODINGS = dict(_encodings())


@pytest.mark.parametrize("said", ENCODINGS.values(), ids=ENCODINGS)
def test_a_secret_is_found_in_every_encoding_and_nothing_of_its_size_changes(said):
    masked = REDACTOR.mask(b"before " + said + b" after")
    assert len(masked) == len(said) + len(b"before  after")
    assert masked.startswith(b"before ")
    assert masked.endswith(b" after")
    # of base64 inside a longer text, a character that is half the neighbour's stays
    assert masked.count(b"*") >= len(SECRET.encode()) - 3


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(1, 64), st.integers(1, 300))
def test_however_the_output_is_cut_the_chunks_are_those_of_the_whole(tmp_path_factory, before, after, size, seed):
    path = tmp_path_factory.mktemp("out") / "out"
    data = before + SECRET.encode() + after + SECRET.encode()[: seed % 20] + SECRET.encode()
    path.write_bytes(data)
    sent = b"".join(
        read_masked(str(path), Chunk(at, at, min(size, len(data) - at)), REDACTOR) for at in range(0, len(data), size)
    )
    assert sent == REDACTOR.mask(data)
    assert SECRET.encode() not in sent


@given(st.binary(max_size=60), st.integers(0, 40))
def test_what_may_be_the_beginning_of_a_secret_is_held(before, cut):
    beginning = SECRET.encode()[: min(cut, len(SECRET.encode()) - 1)]
    assert REDACTOR.begun(before + beginning) >= len(beginning)


def test_nothing_is_held_when_the_end_cannot_become_a_secret():
    assert REDACTOR.begun(b"all is well\n") == 0


def test_overlapping_secrets_are_covered_whole():
    assert Redactor(["aabaa", "baab"]).mask(b"xaabaabx") == b"x*******"[:7] + b"x"


def test_what_is_too_short_to_be_told_from_other_text_is_left():
    assert not Redactor(["abc"])
    assert MIN_BYTES == 4


def test_a_multi_line_secret_is_found_line_by_line_and_a_connection_has_its_own():
    private = {
        "secrets": {"KEY": "-----BEGIN\nabcdefgh\n-----END"},
        "connection": {"user": "app", "password": "s3cr3t!"},
    }
    masked = Redactor(secrets_of(private)).text("x abcdefgh y s3cr3t! app")
    assert masked == "x ******** y ******* app"


def test_an_outcome_is_searched_in_depth():
    assert REDACTOR.value({"a": [SECRET, {"b": f"x{SECRET}"}], "n": 3}) == {
        "a": ["*" * len(SECRET.encode()), {"b": "x" + "*" * len(SECRET.encode())}],
        "n": 3,
    }
