"""The text form of engine keys (nkeys): base 32 of a prefix, 32 raw bytes and a CRC-16. A codec only: it signs nothing.

A public key starts with its kind (`U…` user, `A…` account, `O…` operator, `N…` server); a seed starts with `S` and its kind.
Signing is corral.runtime.crypto (the node) or `cryptography` (the server).
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

from corral.domain.errors import Invalid

RAW_BYTES: Final = 32
_PREFIX: Final = {"O": 14 << 3, "A": 0, "U": 20 << 3, "N": 13 << 3}
_KIND: Final = {byte: kind for kind, byte in _PREFIX.items()}
_SEED: Final = 18 << 3
_PUBLIC_CHARACTERS: Final = 56
_SEED_CHARACTERS: Final = 58


def encode_public(prefix: str, public: bytes) -> str:
    """`U…` and so on of a raw public key; `prefix` is one of O, A, U, N."""
    return _encode(bytes([_byte(prefix)]) + _raw(public))


def decode_public(text: str) -> tuple[str, bytes]:
    """(prefix, raw public key); raises Invalid for anything else, a broken checksum included."""
    data = _decode(text, "public key", _PUBLIC_CHARACTERS)
    kind = _KIND.get(data[0])
    if kind is None:
        raise Invalid("cannot read the public key: its kind is not one of O, A, U, N", element="key")
    return kind, data[1:]


def encode_seed(prefix: str, seed: bytes) -> str:
    """`SU…` and so on of a raw Ed25519 seed; `prefix` is one of O, A, U, N."""
    kind = _byte(prefix)
    return _encode(bytes([_SEED | kind >> 5, (kind & 31) << 3]) + _raw(seed))


def decode_seed(text: str) -> tuple[str, bytes]:
    """(prefix, raw seed); raises Invalid without ever repeating the seed."""
    data = _decode(text, "seed", _SEED_CHARACTERS)
    kind = _KIND.get((data[0] & 7) << 5 | data[1] >> 3)
    if data[0] & 0xF8 != _SEED or kind is None:
        raise Invalid("cannot read the seed: it is not the seed of an O, A, U or N key", element="seed")
    return kind, data[2:]


def _byte(prefix: str) -> int:
    if prefix not in _PREFIX:
        raise Invalid(f"cannot make a key of kind {prefix!r}: expected one of O, A, U, N", element="prefix")
    return _PREFIX[prefix]


def _raw(data: bytes) -> bytes:
    if len(data) != RAW_BYTES:
        raise Invalid(f"cannot make a key of {len(data)} bytes: expected {RAW_BYTES}", element="key")
    return data


def _encode(data: bytes) -> str:
    return base64.b32encode(data + struct.pack("<H", _crc16(data))).decode().rstrip("=")


def _decode(text: str, what: str, characters: int) -> bytes:
    if not isinstance(text, str) or len(text) != characters:
        raise Invalid(f"cannot read the {what}: expected {characters} characters", element="key")
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise Invalid(f"cannot read the {what}: it is not base 32", element="key") from None
    body, checksum = data[:-2], data[-2:]
    # The unused low bits of the last character have to be zero too, or one key would have several spellings.
    if checksum != struct.pack("<H", _crc16(body)) or _encode(body) != text:
        raise Invalid(f"cannot read the {what}: its checksum does not match", element="key")
    return body


def _crc16(data: bytes) -> int:
    """CRC-16/XMODEM, as nkeys use it."""
    return binascii.crc_hqx(data, 0)
