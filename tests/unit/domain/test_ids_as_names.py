"""T23: whatever is accepted as an id is one token of a subject, one component of a path, and nothing else to a shell or SQL."""

from __future__ import annotations

import os
import shlex
from pathlib import PurePosixPath

from hypothesis import example, given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.domain.ids import OBJECT_ID, check_node_id, new_id, node_id_from_host
from corral.protocol import subjects

NASTY = st.text() | st.text(alphabet="ab-.*>/\\ \n\0$'\"%_~:;|&", max_size=70) | st.from_regex(r"[a-z0-9*.>-]{1,64}")


@given(NASTY)
@example("*")
@example(">")
@example("a.b")
@example("..")
@example("a\n")
@example("-a")
@example("all")
@example("ａ")
def test_an_accepted_node_id_is_one_token_and_one_path_component(text: str) -> None:
    try:
        node = check_node_id(text)
    except Invalid:
        return
    for kind in subjects.DOWN_KINDS:
        subject = subjects.down(node, kind)
        assert subject.split(".") == ["corral", "down", node, kind]
        assert subjects.node_of(subject) == node
        assert subjects.kind_of(subject) == kind
    assert not set(node) & set("*>. \t\r\n\0/")
    assert PurePosixPath("/state") / node == PurePosixPath(f"/state/{node}")
    assert os.path.normpath(f"/state/{node}") == f"/state/{node}"
    assert shlex.split(node) == [node]
    assert len(node.encode()) == len(node) <= 63


@given(NASTY)
def test_every_host_name_gives_an_id_that_is_accepted(host: str) -> None:
    assert check_node_id(node_id_from_host(host))


@given(st.sampled_from("JRAS"), st.integers(0, 2**48 - 1), st.binary(min_size=6, max_size=8), st.integers(1, 2**31))
def test_an_object_id_is_one_token_and_parses_back(prefix: str, now_ms: int, random: bytes, attempt: int) -> None:
    job = new_id(prefix, now_ms, random)
    assert OBJECT_ID.match(job)
    parsed = subjects.parse_output(subjects.output("web-1", job, attempt))
    assert (parsed.node, parsed.job, parsed.attempt) == ("web-1", job, attempt)
    assert shlex.split(job) == [job] == [PurePosixPath(job).name]


@given(NASTY)
def test_nothing_but_an_object_id_looks_like_one(text: str) -> None:
    if OBJECT_ID.match(text):
        assert text.isascii()
        assert text.isalnum()
        assert len(text) == 19
