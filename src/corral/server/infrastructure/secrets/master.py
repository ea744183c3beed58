"""The master key of secrets: from the environment, from a file somebody else keeps (a systemd credential), or in a file of ours.

Only our own file can be rotated by us; a key that comes from outside is changed there: the new one in secrets.master_key, the old
ones in secrets.old_master_keys until `corral secret rotate-master-key` has sealed everything with the new one. Sealed bytes begin
with the first bytes of the SHA-256 of the key that sealed them, which tell which key is meant and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag

from corral.domain.errors import Invalid, Unavailable, WrongState
from corral.runtime.files import private_dir, write_atomic
from corral.server.infrastructure.secrets.cipher import KEY_BYTES, open_sealed, seal

_NAME_BYTES: Final = 4


class MasterKeys:
    """Implements ports.secrets.MasterKey. `path` is None where the keys are not ours to change."""

    def __init__(self, keys: Sequence[bytes], *, path: Path | None = None) -> None:
        self._keys = {_name(key): key for key in keys}
        self._current = _name(keys[0])
        self._path = path

    @property
    def current(self) -> str:
        return self._current.hex()

    def seal(self, plain: bytes, *, context: str) -> bytes:
        return self._current + seal(self._keys[self._current], plain, context)

    def open(self, sealed: bytes, *, context: str) -> bytes:
        key = self._keys.get(sealed[:_NAME_BYTES])
        if key is None:
            raise Unavailable(
                f"cannot open the secret: it was sealed with master key {sealed[:_NAME_BYTES].hex()}, which is not here",
                element="secrets.master_key",
                hint="give the older key in secrets.old_master_keys, or restore keys/master.json from a backup",
            )
        try:
            return open_sealed(key, sealed[_NAME_BYTES:], context)
        except (InvalidTag, ValueError):
            raise Unavailable(
                "cannot open the secret: its stored key was altered, or belongs to another one", hint="set it again"
            ) from None

    def made_by_current(self, sealed: bytes) -> bool:
        return sealed[:_NAME_BYTES] == self._current

    def begin_rotation(self) -> None:
        if self._path is None:
            if len(self._keys) == 1:
                raise WrongState(
                    "cannot make a new master key: this one comes from outside",
                    element="secrets.master_key",
                    hint="give the new key in secrets.master_key and this one in secrets.old_master_keys, restart, repeat",
                )
            return
        if len(self._keys) == 1:
            fresh = os.urandom(KEY_BYTES)
            self._keys = {_name(fresh): fresh, **self._keys}
            self._current = _name(fresh)
            self._save()

    def end_rotation(self) -> None:
        self._keys = {self._current: self._keys[self._current]}
        if self._path is not None:
            self._save()

    def _save(self) -> None:
        assert self._path is not None
        keys = [base64.b64encode(key).decode() for key in self._keys.values()]
        private_dir(self._path.parent)
        write_atomic(self._path, json.dumps({"keys": keys}).encode())


def load_master(path: Path, *, given: str = "", file: Path | None = None, older: Sequence[str] = ()) -> MasterKeys:
    """`given` is base64, `file` holds base64; with neither the keys are those of `path`, made at first use. Raises Invalid."""
    if given and file is not None:
        raise Invalid(
            "cannot use two master keys: secrets.master_key and secrets.master_key_file are both set",
            element="secrets.master_key",
        )
    if file is not None:
        try:
            given = file.read_text()
        except OSError as error:
            raise Invalid(
                f"cannot read the master key: {error}",
                element="secrets.master_key_file",
                hint="systemd: LoadCredential=corral-master-key:… and %d/corral-master-key",
            ) from None
    if given:
        return MasterKeys([_decoded(text) for text in (given, *older)])
    if not path.exists():
        keys = MasterKeys([os.urandom(KEY_BYTES)], path=path)
        keys._save()
        return keys
    try:
        stored = [base64.b64decode(text, validate=True) for text in json.loads(path.read_bytes())["keys"]]
    except (OSError, ValueError, KeyError, TypeError):
        stored = []
    if not stored or any(len(key) != KEY_BYTES for key in stored):
        raise Invalid(
            f"cannot use {str(path)!r}: it holds no master key",
            element=str(path),
            hint="restore it from a backup; without it no stored secret can be read",
        )
    return MasterKeys(stored, path=path)


def _decoded(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Invalid(
            f"cannot use the master key: expected {KEY_BYTES} bytes in base64, got {len(key)}",
            element="secrets.master_key",
            hint="make one: head -c 32 /dev/urandom | base64",
        )
    return key


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"corral-master-key\0" + key).digest()[:_NAME_BYTES]
