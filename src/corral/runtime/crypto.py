"""Ed25519 and AES-256-GCM from the libcrypto that `ssl` already loaded: no wheel, no second copy in memory.

`import ssl` maps OpenSSL's libcrypto into the process; looking symbols up through the `_ssl` extension finds exactly that copy.
Where the interpreter hides it (some static builds), PyNaCl is used if it is installed; otherwise the first use says so.
Every function is pure and takes raw bytes: 32-byte keys and seeds, 64-byte signatures, 12-byte nonces, 16-byte tags.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p
from typing import Any, Final

from corral.domain.errors import Unsupported

TAG_BYTES: Final = 16
_ED25519: Final = 1087  # NID_ED25519, the same number since OpenSSL 1.1.1
_SET_IV_LENGTH, _GET_TAG, _SET_TAG = 0x9, 0x10, 0x11  # EVP_CTRL_AEAD_*

_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "EVP_PKEY_new_raw_public_key": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "EVP_PKEY_new_raw_private_key": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "EVP_PKEY_get_raw_public_key": (c_int, [c_void_p, c_void_p, c_void_p]),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_MD_CTX_new": (c_void_p, []),
    "EVP_MD_CTX_free": (None, [c_void_p]),
    "EVP_DigestSignInit": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "EVP_DigestSign": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p, c_size_t]),
    "EVP_DigestVerifyInit": (c_int, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p]),
    "EVP_DigestVerify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "EVP_CIPHER_CTX_new": (c_void_p, []),
    "EVP_CIPHER_CTX_free": (None, [c_void_p]),
    "EVP_CIPHER_CTX_ctrl": (c_int, [c_void_p, c_int, c_int, c_void_p]),
    "EVP_aes_256_gcm": (c_void_p, []),
    "EVP_EncryptInit_ex": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p, c_char_p]),
    "EVP_EncryptUpdate": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p, c_int]),
    "EVP_EncryptFinal_ex": (c_int, [c_void_p, c_void_p, c_void_p]),
    "EVP_DecryptInit_ex": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p, c_char_p]),
    "EVP_DecryptUpdate": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p, c_int]),
    "EVP_DecryptFinal_ex": (c_int, [c_void_p, c_void_p, c_void_p]),
    "ERR_clear_error": (None, []),
}


def ed25519_verify(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` was made by the holder of `public`. Never raises for bad input: it is just not valid."""
    if len(public) != 32 or len(signature) != 64:
        return False
    lib = _library()
    if lib is None:
        return _nacl_verify(public, signature, data)
    key = lib.EVP_PKEY_new_raw_public_key(_ED25519, None, public, 32)
    if not key:
        lib.ERR_clear_error()
        return False
    context = lib.EVP_MD_CTX_new()
    try:
        valid = bool(
            lib.EVP_DigestVerifyInit(context, None, None, None, key) == 1
            and lib.EVP_DigestVerify(context, signature, 64, data, len(data)) == 1
        )
        if not valid:
            lib.ERR_clear_error()  # ssl reads the same per-thread queue and would blame its own next call
        return valid
    finally:
        lib.EVP_MD_CTX_free(context)
        lib.EVP_PKEY_free(key)


def ed25519_sign(seed: bytes, data: bytes) -> bytes:
    """The 64-byte signature of `data` by the key that grows from `seed` (32 bytes)."""
    lib = _library()
    if lib is None:
        nacl = _nacl()
        _, secret = nacl.crypto_sign_seed_keypair(_exactly(seed, 32, "seed"))
        signed: bytes = nacl.crypto_sign(data, secret)
        return signed[:64]
    key = _private(lib, seed)
    context = lib.EVP_MD_CTX_new()
    try:
        signature, length = ctypes.create_string_buffer(64), c_size_t(64)
        _must(lib.EVP_DigestSignInit(context, None, None, None, key), lib, "start a signature")
        _must(lib.EVP_DigestSign(context, signature, byref(length), data, len(data)), lib, "sign")
        return signature.raw[: length.value]
    finally:
        lib.EVP_MD_CTX_free(context)
        lib.EVP_PKEY_free(key)


def ed25519_public(seed: bytes) -> bytes:
    """The 32-byte public key of `seed`."""
    lib = _library()
    if lib is None:
        public: bytes = _nacl().crypto_sign_seed_keypair(_exactly(seed, 32, "seed"))[0]
        return public
    key = _private(lib, seed)
    try:
        out, length = ctypes.create_string_buffer(32), c_size_t(32)
        _must(lib.EVP_PKEY_get_raw_public_key(key, out, byref(length)), lib, "read a public key")
        return out.raw[: length.value]
    finally:
        lib.EVP_PKEY_free(key)


def aes_gcm_seal(key: bytes, nonce: bytes, plain: bytes, aad: bytes = b"") -> bytes:
    """Ciphertext followed by its 16-byte tag. A (key, nonce) pair may seal one text only: the caller draws both fresh.

    `aad` is bound by the tag but not part of the result: whoever opens it has to name the same.
    """
    _exactly(key, 32, "key")
    lib = _library()
    if lib is None:
        sealed: bytes = _nacl_aes().crypto_aead_aes256gcm_encrypt(plain, aad or None, nonce, key)
        return sealed
    context = lib.EVP_CIPHER_CTX_new()
    try:
        out, length = ctypes.create_string_buffer(len(plain) + TAG_BYTES), c_int(0)
        _must(lib.EVP_EncryptInit_ex(context, lib.EVP_aes_256_gcm(), None, None, None), lib, "start AES-GCM")
        _must(lib.EVP_CIPHER_CTX_ctrl(context, _SET_IV_LENGTH, len(nonce), None), lib, "set the nonce's length")
        _must(lib.EVP_EncryptInit_ex(context, None, None, key, nonce), lib, "set the key")
        if aad:
            _must(lib.EVP_EncryptUpdate(context, None, byref(length), aad, len(aad)), lib, "bind the data beside it")
        _must(lib.EVP_EncryptUpdate(context, out, byref(length), plain, len(plain)), lib, "encrypt")
        size = length.value
        _must(lib.EVP_EncryptFinal_ex(context, byref(out, size), byref(length)), lib, "end the encryption")
        _must(lib.EVP_CIPHER_CTX_ctrl(context, _GET_TAG, TAG_BYTES, byref(out, size)), lib, "read the tag")
        return out.raw[: size + TAG_BYTES]
    finally:
        lib.EVP_CIPHER_CTX_free(context)


def aes_gcm_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes = b"") -> bytes:
    """The text inside `sealed` (ciphertext + tag). Raises ValueError when key, nonce or a single bit is not what sealed it."""
    _exactly(key, 32, "key")
    if len(sealed) < TAG_BYTES or not nonce:
        raise ValueError("cannot open the sealed bytes: too short to carry a tag")
    body, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    lib = _library()
    if lib is None:
        try:
            plain: bytes = _nacl_aes().crypto_aead_aes256gcm_decrypt(sealed, aad or None, nonce, key)
        except Exception as error:
            raise ValueError(f"cannot open the sealed bytes: {error}") from None
        return plain
    context = lib.EVP_CIPHER_CTX_new()
    try:
        out, length = ctypes.create_string_buffer(max(1, len(body))), c_int(0)
        _must(lib.EVP_DecryptInit_ex(context, lib.EVP_aes_256_gcm(), None, None, None), lib, "start AES-GCM")
        _must(lib.EVP_CIPHER_CTX_ctrl(context, _SET_IV_LENGTH, len(nonce), None), lib, "set the nonce's length")
        _must(lib.EVP_DecryptInit_ex(context, None, None, key, nonce), lib, "set the key")
        if aad:
            _must(lib.EVP_DecryptUpdate(context, None, byref(length), aad, len(aad)), lib, "bind the data beside it")
        _must(lib.EVP_DecryptUpdate(context, out, byref(length), body, len(body)), lib, "decrypt")
        size = length.value
        _must(lib.EVP_CIPHER_CTX_ctrl(context, _SET_TAG, TAG_BYTES, tag), lib, "set the tag")
        rest = ctypes.create_string_buffer(TAG_BYTES)
        if lib.EVP_DecryptFinal_ex(context, rest, byref(length)) != 1:
            lib.ERR_clear_error()
            raise ValueError("cannot open the sealed bytes: wrong key or nonce, or they were altered")
        return out.raw[:size]
    finally:
        lib.EVP_CIPHER_CTX_free(context)


class GcmOpener:
    """Opens many sealed texts of at most `size` bytes under one key, into one buffer: no allocation for each. Of one thread at a time."""

    def __init__(self, key: bytes, size: int) -> None:
        self._key = _exactly(key, 32, "key")
        self._size = size
        self._buffer = ctypes.create_string_buffer(max(1, size))
        self._view = memoryview(self._buffer).cast("B")
        self._lib = _library()
        self._context = None if self._lib is None else c_void_p(self._lib.EVP_CIPHER_CTX_new())

    def open(self, nonce: bytes, sealed: bytes, aad: bytes = b"") -> memoryview:
        """The text, valid until the next call. Raises ValueError like aes_gcm_open."""
        lib, context, length = self._lib, self._context, len(sealed) - TAG_BYTES
        if lib is None or context is None:
            return memoryview(aes_gcm_open(self._key, nonce, sealed, aad))
        if not 0 <= length <= self._size or not nonce:
            raise ValueError("cannot open the sealed bytes: too short to carry a tag, or too long")
        done = c_int(0)
        _must(lib.EVP_DecryptInit_ex(context, lib.EVP_aes_256_gcm(), None, None, None), lib, "start AES-GCM")
        _must(lib.EVP_CIPHER_CTX_ctrl(context, _SET_IV_LENGTH, len(nonce), None), lib, "set the nonce's length")
        _must(lib.EVP_DecryptInit_ex(context, None, None, self._key, nonce), lib, "set the key")
        if aad:
            _must(lib.EVP_DecryptUpdate(context, None, byref(done), aad, len(aad)), lib, "bind the data beside it")
        _must(lib.EVP_DecryptUpdate(context, self._buffer, byref(done), sealed, length), lib, "decrypt")
        _must(lib.EVP_CIPHER_CTX_ctrl(context, _SET_TAG, TAG_BYTES, sealed[length:]), lib, "set the tag")
        rest = ctypes.create_string_buffer(TAG_BYTES)
        if lib.EVP_DecryptFinal_ex(context, rest, byref(done)) != 1:
            lib.ERR_clear_error()
            raise ValueError("cannot open the sealed bytes: wrong key or nonce, or they were altered")
        return self._view[:length]

    def close(self) -> None:
        if self._lib is not None and self._context is not None:
            self._lib.EVP_CIPHER_CTX_free(self._context)
            self._context = None


@functools.cache
def _library() -> Any:
    """libcrypto with its signatures declared, or None when this interpreter does not show it."""
    import _ssl

    # A handle of the extension module also finds what it is linked with; a static interpreter carries the symbols itself.
    for path in (getattr(_ssl, "__file__", None), None):
        lib = ctypes.CDLL(path)
        try:
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(lib, name)
                function.restype, function.argtypes = result, arguments
        except AttributeError:
            continue
        return lib
    return None


def _private(lib: Any, seed: bytes) -> Any:
    key = lib.EVP_PKEY_new_raw_private_key(_ED25519, None, _exactly(seed, 32, "seed"), 32)
    if not key:
        lib.ERR_clear_error()
        raise Unsupported("cannot make an Ed25519 key: this machine's libcrypto refuses them (FIPS mode?)")
    return key


def _must(result: int, lib: Any, what: str) -> None:
    if result != 1:
        lib.ERR_clear_error()
        raise ValueError(f"cannot {what}: libcrypto refused")


def _exactly(data: bytes, size: int, what: str) -> bytes:
    if len(data) != size:
        raise ValueError(f"cannot use a {what} of {len(data)} bytes: expected {size}")
    return data


def _nacl() -> Any:
    try:
        return importlib.import_module("nacl.bindings")
    except ImportError:
        raise Unsupported(
            "cannot check signatures: this Python shows no libcrypto and has no PyNaCl",
            element="libcrypto",
            hint="use the distribution's python3, or install PyNaCl for this one",
        ) from None


def _nacl_aes() -> Any:
    nacl = _nacl()
    if not hasattr(nacl, "crypto_aead_aes256gcm_encrypt"):
        raise Unsupported(
            "cannot open sealed bytes: this PyNaCl has no AES-256-GCM", hint="install PyNaCl 1.6 or newer"
        )
    return nacl


def _nacl_verify(public: bytes, signature: bytes, data: bytes) -> bool:
    nacl = _nacl()
    try:
        nacl.crypto_sign_open(signature + data, public)
    except Exception:
        return False  # PyNaCl raises its own BadSignatureError; whatever it is, this is not a valid signature
    return True
