from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.domain.ids import RESERVED, check_node_id, check_object_id, new_id, node_id_from_host


@given(st.text(max_size=80))
def test_whatever_is_accepted_is_one_subject_token_and_one_path_component(text: str) -> None:
    try:
        check_node_id(text)
    except Invalid:
        return
    assert not set(text) & set(".*> /\\\0\n\t") and text not in ("", ".", "..")


@given(st.text(max_size=300))
def test_every_host_name_gives_a_usable_default_id(host: str) -> None:
    assert check_node_id(node_id_from_host(host))


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_words_of_the_selector_language_are_no_node_ids(word: str) -> None:
    with pytest.raises(Invalid):
        check_node_id(word)


@given(
    st.integers(0, 2**47), st.integers(1, 10**6), st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6)
)
def test_ids_sort_by_time_and_pass_their_own_check(ms: int, later: int, a: bytes, b: bytes) -> None:
    first, second = new_id("J", ms, a), new_id("J", ms + later, b)
    assert first < second
    assert check_object_id(first, "J", element="job") == first


def test_an_id_of_another_kind_is_refused() -> None:
    with pytest.raises(Invalid, match="job"):
        check_object_id(new_id("R", 1, b"123456"), "J", element="job")
