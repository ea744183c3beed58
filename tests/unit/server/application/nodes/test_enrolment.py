"""Joining, renewing, and every way to be refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from corral.bus.claims import decode
from corral.domain.errors import Conflict, Denied, Invalid, NotFound, TokenRefused
from corral.domain.node import relabelling
from corral.server.application.nodes.enrolment import outgrown
from corral.server.application.nodes.tokens import parse_token


async def test_a_machine_with_a_token_becomes_a_node_with_the_tokens_labels_and_two_credentials(
    room: Any, machine: Any
) -> None:
    web = machine("web-1")
    node, credentials = await room.join(web, await room.token(labels={"role": "web"}, groups=["eu"]))
    assert room.fleet.get("web-1") == node
    assert (node.labels, node.groups) == ({"role": "web"}, {"eu"})
    daemon, worker = decode(credentials.daemon_jwt), decode(credentials.worker_jwt)
    assert (daemon["sub"], daemon["name"]) == (web.daemon_key, "web-1")
    assert (worker["sub"], worker["name"]) == (web.worker_key, "web-1")
    assert daemon["iss"] != worker["iss"]
    assert credentials.expires_at - room.clock.now() == timedelta(days=30)
    assert credentials.engine_urls == ["nats://127.0.0.1:4222"]


async def test_fifty_racing_joins_on_a_one_use_token_make_one_node(room: Any, machine: Any) -> None:
    token = await room.token(uses=1)
    results = await asyncio.gather(*(room.join(machine(f"n{i}"), token) for i in range(50)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, TokenRefused)]
    assert len(refused) == 49
    assert all("used up" in error.message for error in refused)
    assert len(room.fleet) == len(await room.nodes.all()) == 1


async def test_the_same_machine_again_is_welcome_and_spends_nothing(room: Any, machine: Any) -> None:
    token, web = await room.token(uses=1), machine("web-1")
    await room.join(web, token)
    node, _ = await room.join(web, token)
    assert node.id == "web-1"


async def test_a_taken_id_is_a_conflict_that_says_the_remedy(room: Any, machine: Any) -> None:
    token = await room.token(uses=5)
    await room.join(machine("web-1"), token)
    with pytest.raises(Conflict, match="other keys") as caught:
        await room.join(machine("web-1"), token)
    assert "reset" in (caught.value.hint or "")


async def test_after_a_reset_the_id_takes_new_keys_and_keeps_its_labels(room: Any, machine: Any, admin: Any) -> None:
    token = await room.token(uses=5)
    old, new = machine("web-1"), machine("web-1")
    await room.join(old, token)
    await room.labels.set_node(admin, "web-1", relabelling(labels={"role": "db"}))
    await room.removal.reset(admin, "web-1")
    with pytest.raises(Denied):
        await room.enrolment.renew(old.renews(room.enrolment.challenge("web-1")))
    node, _ = await room.join(new, token)
    assert node.daemon_key == new.daemon_key
    assert node.labels == {"role": "db"}
    assert room.fleet.by_key(old.daemon_key) is None


async def test_a_used_expired_revoked_unknown_or_foreign_token_is_refused_in_words(
    room: Any, machine: Any, admin: Any
) -> None:
    used, revoked, short = await room.token(), await room.token(), await room.token(ttl_seconds=60)
    bound = await room.token(node_id="db-1")
    await room.join(machine("first"), used)
    await room.tokens.revoke(admin, parse_token(revoked).id)
    await room.clock.advance(61)
    unknown = "cj1.nosuch.secret.-"
    for token, words in (
        (used, "used up"),
        (short, "expired at"),
        (revoked, "was revoked"),
        (bound, "is for node 'db-1'"),
        (unknown, "no such token"),
    ):
        with pytest.raises(TokenRefused, match=words):
            await room.join(machine("web-1"), token)
    assert "web-1" not in room.fleet


async def test_a_wrong_secret_learns_nothing_else_about_the_token(room: Any, machine: Any, admin: Any) -> None:
    token = await room.token()
    parts = parse_token(token)
    await room.tokens.revoke(admin, parts.id)
    with pytest.raises(TokenRefused, match="secret is wrong"):
        await room.join(machine("web-1"), f"cj1.{parts.id}.guess.-")


@pytest.mark.parametrize("field", ["daemon_signature", "worker_signature"])
async def test_a_key_that_did_not_sign_the_nonce_is_refused(room: Any, machine: Any, field: str) -> None:
    for forged in ("AAAA", "not base64!", "A" * 86 + "=="):
        with pytest.raises(TokenRefused, match="does not prove"):
            await room.join(machine("web-1"), **{field: forged})


async def test_what_is_no_user_key_is_invalid(room: Any, machine: Any) -> None:
    for key in ("", "U" * 56, "nonsense"):
        with pytest.raises(Invalid):
            await room.join(machine("web-1"), daemon_key=key)


async def test_a_nonce_is_good_for_its_node_for_two_minutes_and_only_ours(room: Any, machine: Any) -> None:
    token, web = await room.token(), machine("web-1")
    for nonce in ("", "AAAA", "é", room.enrolment.challenge("web-2")):
        with pytest.raises(TokenRefused, match="nonce"):
            await room.enrolment.enrol(web.applies(token, nonce))
    nonce = room.enrolment.challenge("web-1")
    await room.clock.advance(121)
    with pytest.raises(TokenRefused, match="older than 120 s"):
        await room.enrolment.enrol(web.applies(token, nonce))


@pytest.mark.parametrize("id", ["*", "a.b", "", "UPPER", "all", "-x", "x" * 64])
async def test_what_is_no_node_id_gets_no_nonce(room: Any, id: str) -> None:
    with pytest.raises(Invalid):
        room.enrolment.challenge(id)


async def test_renewal_needs_the_daemons_key_and_works_after_expiry(room: Any, machine: Any) -> None:
    web, thief = machine("web-1"), machine("web-1")
    await room.join(web)
    await room.clock.advance(40 * 86400)
    credentials = await room.enrolment.renew(web.renews(room.enrolment.challenge("web-1")))
    assert credentials.expires_at > room.clock.now()
    with pytest.raises(Denied, match="not the key"):
        await room.enrolment.renew(thief.renews(room.enrolment.challenge("web-1")))
    with pytest.raises(NotFound):
        await room.enrolment.renew(machine("ghost").renews(room.enrolment.challenge("ghost")))


async def test_a_revoked_node_neither_renews_nor_joins_again(room: Any, machine: Any, admin: Any) -> None:
    web, token = machine("web-1"), await room.token(uses=3)
    await room.join(web, token)
    await room.removal.revoke(admin, "web-1", reason="stolen")
    with pytest.raises(Denied, match="stolen"):
        await room.enrolment.renew(web.renews(room.enrolment.challenge("web-1")))
    with pytest.raises(Denied, match="stolen"):
        await room.join(web, token)


async def test_one_key_for_both_links_gets_one_credential_with_both_rights(room: Any, machine: Any) -> None:
    sim = machine("sim-1")
    sim.worker_seed = sim.daemon_seed
    _, credentials = await room.join(sim)
    assert credentials.daemon_jwt == credentials.worker_jwt


async def test_the_engine_is_told_when_the_fleet_outgrows_its_connections(room: Any, machine: Any) -> None:
    token = await room.token(uses=300)
    for i in range(255):
        await room.join(machine(f"n{i}"), token)
    assert not room.bus.accounts.claims
    await room.join(machine("n255"), token)
    assert decode(room.bus.accounts.claims[-1])["nats"]["limits"]["conn"] == 1280
    assert [size for size in range(1, 1100) if outgrown(size)] == [256, 512, 1024]
