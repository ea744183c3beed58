"""RFC 8032 vectors, agreement with `cryptography` in both directions, and refusal of everything that was touched."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.domain.errors import Unsupported
from corral.runtime import crypto

RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_hold(seed: str, public: str, message: str, signature: str) -> None:
    raw_seed, data = bytes.fromhex(seed), bytes.fromhex(message)
    assert crypto.ed25519_public(raw_seed).hex() == public
    assert crypto.ed25519_sign(raw_seed, data).hex() == signature
    assert crypto.ed25519_verify(bytes.fromhex(public), bytes.fromhex(signature), data)


@given(seed=st.binary(min_size=32, max_size=32), data=st.binary(max_size=2000))
@settings(max_examples=50)
def test_it_agrees_with_cryptography_in_both_directions(seed: bytes, data: bytes) -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(seed)
    public = theirs.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert crypto.ed25519_public(seed) == public
    assert crypto.ed25519_verify(public, theirs.sign(data), data)
    theirs.public_key().verify(crypto.ed25519_sign(seed, data), data)


@given(bit=st.integers(min_value=0, max_value=64 * 8 - 1))
@settings(max_examples=30)
def test_a_signature_with_one_flipped_bit_does_not_hold(bit: int) -> None:
    seed = bytes(range(32))
    signature = bytearray(crypto.ed25519_sign(seed, b"reboot"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not crypto.ed25519_verify(crypto.ed25519_public(seed), bytes(signature), b"reboot")


@pytest.mark.parametrize(("key_bytes", "signature_bytes"), [(0, 64), (31, 64), (33, 64), (32, 0), (32, 63), (32, 65)])
def test_keys_and_signatures_of_a_wrong_size_are_just_not_valid(key_bytes: int, signature_bytes: int) -> None:
    assert not crypto.ed25519_verify(bytes(key_bytes), bytes(signature_bytes), b"data")


def test_a_key_that_is_no_point_of_the_curve_is_just_not_valid() -> None:
    assert not crypto.ed25519_verify(b"\xff" * 32, bytes(64), b"data")


def test_a_seed_of_a_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 32"):
        crypto.ed25519_sign(b"short", b"data")


@given(
    key=st.binary(min_size=32, max_size=32), nonce=st.binary(min_size=12, max_size=12), text=st.binary(max_size=5000)
)
@settings(max_examples=50)
def test_sealed_bytes_agree_with_cryptography_in_both_directions(key: bytes, nonce: bytes, text: bytes) -> None:
    sealed = crypto.aes_gcm_seal(key, nonce, text)
    assert sealed == AESGCM(key).encrypt(nonce, text, None)
    assert crypto.aes_gcm_open(key, nonce, sealed) == text


@pytest.mark.parametrize("at", [0, 5, -1, -16])
def test_sealed_bytes_that_were_altered_do_not_open(at: int) -> None:
    key, nonce = os.urandom(32), os.urandom(12)
    sealed = bytearray(crypto.aes_gcm_seal(key, nonce, b"hello world"))
    sealed[at] ^= 1
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(nonce, bytes(sealed), None)
    with pytest.raises(ValueError, match="cannot open"):
        crypto.aes_gcm_open(key, nonce, bytes(sealed))


def test_sealed_bytes_too_short_for_a_tag_do_not_open() -> None:
    with pytest.raises(ValueError, match="too short"):
        crypto.aes_gcm_open(bytes(32), bytes(12), b"short")


def test_a_failure_leaves_no_error_behind_that_ssl_would_report_as_its_own() -> None:
    crypto.ed25519_verify(b"\xff" * 32, bytes(64), b"data")
    with pytest.raises(ValueError, match="cannot open"):
        crypto.aes_gcm_open(bytes(32), bytes(12), bytes(32))
    library = crypto._library()
    assert library.ERR_peek_error() == 0


def test_an_interpreter_without_libcrypto_and_pynacl_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "_library", lambda: None)
    monkeypatch.setitem(__import__("sys").modules, "nacl.bindings", None)
    with pytest.raises(Unsupported, match="no PyNaCl"):
        crypto.ed25519_sign(bytes(32), b"data")


@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=12, max_size=12),
    plain=st.binary(max_size=300),
    aad=st.binary(max_size=40),
)
def test_data_beside_the_text_is_bound_and_agrees_with_another_implementation(
    key: bytes, nonce: bytes, plain: bytes, aad: bytes
) -> None:
    sealed = crypto.aes_gcm_seal(key, nonce, plain, aad)
    assert sealed == AESGCM(key).encrypt(nonce, plain, aad or None)
    assert crypto.aes_gcm_open(key, nonce, sealed, aad) == plain
    with pytest.raises(ValueError, match="altered"):
        crypto.aes_gcm_open(key, nonce, sealed, aad + b"x")


@given(texts=st.lists(st.binary(max_size=64), max_size=6), flip=st.integers(0, 79))
def test_an_opener_opens_one_after_the_other_and_goes_on_after_a_bad_one(texts: list[bytes], flip: int) -> None:
    key, aad = b"k" * 32, b"beside"
    opener = crypto.GcmOpener(key, 64)
    try:
        for number, text in enumerate(texts):
            nonce = number.to_bytes(12, "big")
            sealed = crypto.aes_gcm_seal(key, nonce, text, aad)
            bad = bytearray(sealed)
            bad[flip % len(bad)] ^= 1
            for wrong in ((nonce, bytes(bad), aad), (b"n" * 12, sealed, aad), (nonce, sealed, b"")):
                with pytest.raises(ValueError, match="altered"):
                    opener.open(*wrong)
            assert bytes(opener.open(nonce, sealed, aad)) == text
        for length in (0, 15, 64 + 17):
            with pytest.raises(ValueError, match="too"):
                opener.open(b"n" * 12, bytes(length), aad)
    finally:
        opener.close()
