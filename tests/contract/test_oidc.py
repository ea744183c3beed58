"""Logging in at a real OpenID provider: the whole way by HTTP, and every ID token that must not be believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from corral.domain.errors import Unauthenticated
from corral.runtime.clock import SystemClock
from corral.runtime.secret import Secret
from corral.server.application.ports.people import Identity
from corral.server.infrastructure.auth.oidc import OidcProvider, OidcSettings
from corral.testing.openid_provider import CLIENT_ID, CLIENT_SECRET, FAULTS, Provider

CALLBACK = "http://corral.test/auth/oidc/callback"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider.running() as running:
        yield running


def client_of(provider: Provider, **more: Any) -> OidcProvider:
    fields = {"issuer": provider.issuer, "client_id": CLIENT_ID, "client_secret": Secret(CLIENT_SECRET), **more}
    return OidcProvider(OidcSettings(**fields), clock=SystemClock())


async def browser(url: str) -> dict[str, str]:
    """What a browser brings back from the provider."""
    async with httpx2.AsyncClient() as client:
        answer = await client.get(url)
    assert answer.status_code == 302, answer.text
    return {key: values[0] for key, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def logged_in(client: OidcProvider) -> Identity:
    url, asked = await client.question(CALLBACK)
    back = await browser(url)
    assert back["state"] == asked.state
    return await client.answer(asked, back["code"])


async def test_the_provider_says_who_it_is(provider: Provider) -> None:
    await provider.person(
        sub="42", preferred_username="Ada", name="Ada Lovelace", email="ada@example.org", groups=["ops", "dev"]
    )
    assert await logged_in(client_of(provider)) == Identity(
        subject=f"{provider.issuer}#42",
        name="Ada",
        display_name="Ada Lovelace",
        email="ada@example.org",
        groups=frozenset({"ops", "dev"}),
    )


REFUSALS = {
    "alg none": "proves nothing",
    "signed with the client secret": "proves nothing",
    "signed with the public key": "proves nothing",
    "another key": "signature",
    "altered": "signature",
    "wrong nonce": "nonce",
    "no nonce": "nonce",
    "wrong audience": "another client",
    "several audiences": "another client",
    "another party": "another client",
    "wrong issuer": "another issuer",
    "expired": "expired",
    "no expiry": "expired",
    "from the future": "not valid yet",
    "nobody": "names nobody",
    "no ID token": "no ID token",
}


async def test_a_wrong_id_token_is_refused_for_what_is_wrong_with_it_and_the_next_right_one_is_not(
    provider: Provider,
) -> None:
    client = client_of(provider)
    assert set(REFUSALS) == set(FAULTS)
    for fault, words in REFUSALS.items():
        await provider.fault(fault)
        with pytest.raises(Unauthenticated, match=words):
            await logged_in(client)
    await provider.fault("")
    assert (await logged_in(client)).name == "ada"


async def test_a_code_is_good_once(provider: Provider) -> None:
    client = client_of(provider)
    url, asked = await client.question(CALLBACK)
    code = (await browser(url))["code"]
    await client.answer(asked, code)
    with pytest.raises(Unauthenticated, match="refuses the code"):
        await client.answer(asked, code)


async def test_a_stolen_code_is_worth_nothing_without_the_verifier(provider: Provider) -> None:
    client = client_of(provider)
    url, _ = await client.question(CALLBACK)
    code = (await browser(url))["code"]
    _, another = await client.question(CALLBACK)
    with pytest.raises(Unauthenticated, match="refuses the code"):
        await client.answer(another, code)


async def test_a_wrong_client_secret_is_said(provider: Provider) -> None:
    with pytest.raises(Unauthenticated, match="refuses the code"):
        await logged_in(client_of(provider, client_secret=Secret("wrong")))


async def test_new_keys_of_the_provider_are_found(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.server.infrastructure.auth.oidc._AGAIN_SECONDS", 0.0)
    client = client_of(provider)
    await logged_in(client)
    await provider.new_keys()
    assert (await logged_in(client)).name == "ada"


async def test_a_key_set_is_not_read_again_for_every_stranger(provider: Provider) -> None:
    client = client_of(provider)
    await logged_in(client)
    await provider.new_keys()  # within ten seconds of the last reading
    with pytest.raises(Unauthenticated, match="signature"):
        await logged_in(client)
