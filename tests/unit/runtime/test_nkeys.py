"""The text form of engine keys."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.runtime import nkeys

RAW = bytes(range(32))
# The pair that the engine's own documentation shows.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_the_documented_pair_is_read_and_written_as_it_stands() -> None:
    prefix, raw = nkeys.decode_seed(SEED)
    assert prefix == "U"
    assert nkeys.encode_seed(prefix, raw) == SEED
    public = Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    assert nkeys.encode_public("U", public) == PUBLIC
    assert nkeys.decode_public(PUBLIC) == ("U", public)


@pytest.mark.parametrize("prefix", ["O", "A", "U", "N"])
@given(raw=st.binary(min_size=32, max_size=32))
def test_every_key_comes_back_as_it_went(prefix: str, raw: bytes) -> None:
    assert nkeys.decode_public(nkeys.encode_public(prefix, raw)) == (prefix, raw)
    assert nkeys.decode_seed(nkeys.encode_seed(prefix, raw)) == (prefix, raw)


@pytest.mark.parametrize("prefix", ["O", "A", "U", "N"])
def test_the_first_letters_say_the_kind(prefix: str) -> None:
    assert nkeys.encode_public(prefix, RAW)[0] == prefix
    assert nkeys.encode_seed(prefix, RAW)[:2] == f"S{prefix}"


@given(position=st.integers(0, 55), letter=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_changed_letter_is_noticed(position: int, letter: str) -> None:
    text = nkeys.encode_public("U", RAW)
    changed = text[:position] + letter + text[position + 1 :]
    if changed != text:
        with pytest.raises(Invalid):
            nkeys.decode_public(changed)


@pytest.mark.parametrize("text", ["", "U", "u" * 56, "U" * 56, "!" * 56, "U" * 57, nkeys.encode_seed("U", RAW)])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        nkeys.decode_public(text)


def test_a_broken_seed_is_refused_without_being_repeated() -> None:
    seed = nkeys.encode_seed("U", RAW)
    broken = seed[:-1] + ("A" if seed[-1] != "A" else "B")
    with pytest.raises(Invalid) as caught:
        nkeys.decode_seed(broken)
    assert broken[5:20] not in str(caught.value)


def test_keys_of_other_lengths_and_kinds_are_refused() -> None:
    with pytest.raises(Invalid):
        nkeys.encode_public("U", b"short")
    with pytest.raises(Invalid):
        nkeys.encode_seed("X", RAW)
