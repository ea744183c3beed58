"""Key files, signatures, seals, and the first admin token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.ports.access import ApiToken
from corral.server.infrastructure.auth.admin import bootstrap_admin
from corral.server.infrastructure.auth.keyfile import load_key
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.infrastructure.auth.signer import HmacSigner
from corral.testing.clock import FakeClock

SIGNER = HmacSigner(b"k" * 32)


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "session.key"
    key = load_key(path)
    assert load_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    with pytest.raises(Invalid, match="expected 32 bytes"):
        load_key(path)


def test_claims_come_back_only_from_our_key_for_their_purpose_unaltered() -> None:
    text = SIGNER.sign("access", {"s": "S1", "e": 1.5})
    assert SIGNER.read("access", text) == {"s": "S1", "e": 1.5}
    assert SIGNER.read("refresh", text) is None
    assert HmacSigner(b"x" * 32).read("access", text) is None


@given(st.integers(0, 400), st.text(max_size=2))
def test_a_changed_text_is_never_read_as_other_claims(place: int, put: str) -> None:
    text = SIGNER.sign("access", {"s": "S1", "p": ["node.read"]})
    place %= len(text)
    changed = text[:place] + put + text[place + 1 :]
    assert SIGNER.read("access", changed) in (None, {"s": "S1", "p": ["node.read"]})


@given(st.text(max_size=80))
def test_any_text_is_refused_quietly(text: str) -> None:
    assert SIGNER.read("access", text) is None


def test_a_seal_opens_with_its_key_and_context_only() -> None:
    sealer = AesSealer(b"k" * 32)
    sealed = sealer.seal(b"secret", context="a")
    assert b"secret" not in sealed
    assert sealer.open(sealed, context="a") == b"secret"
    assert sealer.open(sealed, context="b") is None
    assert sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), context="a") is None
    assert sealer.open(b"", context="a") is None
    assert AesSealer(b"x" * 32).open(sealed, context="a") is None


class Rows:
    def __init__(self) -> None:
        self.rows: list[ApiToken] = []

    async def add(self, token: ApiToken) -> None:
        self.rows.append(token)

    async def by_hash(self, digest: bytes) -> ApiToken | None:
        return next((row for row in self.rows if row.hash == digest), None)

    async def list(self) -> Sequence[ApiToken]:
        return self.rows

    async def revoke(self, token: str) -> None: ...

    async def touch(self, used: Mapping[str, datetime]) -> None: ...


async def test_the_first_start_makes_one_admin_token_in_a_private_file(tmp_path: Path) -> None:
    rows = Rows()
    tokens = ApiTokens(store=rows, clock=FakeClock())
    path = await bootstrap_admin(tmp_path, tokens)
    assert path == tmp_path / "admin.token"
    assert path.stat().st_mode & 0o777 == 0o600
    found = await tokens.find(path.read_text().strip())
    assert found is not None
    assert found.permissions == frozenset({"*"})
    assert await bootstrap_admin(tmp_path, tokens) is None
    assert len(rows.rows) == 1


async def test_a_crash_between_file_and_store_is_made_good_by_the_next_start(tmp_path: Path) -> None:
    first = ApiTokens(store=Rows(), clock=FakeClock())
    path = await bootstrap_admin(tmp_path, first)
    assert path is not None
    secret = path.read_text().strip()
    again = ApiTokens(store=Rows(), clock=FakeClock())
    assert await bootstrap_admin(tmp_path, again) == path
    assert await again.find(secret) is not None
