"""Which requests are recorded: writes, refusals, sensitive reads; never a secret."""

from __future__ import annotations

from typing import Any

API = "/api/v1"


async def test_a_write_is_recorded_with_who_what_and_how_it_ended(stand: Any) -> None:
    await stand.client.post(f"{API}/things", json={"name": "a", "secret": "hunter2"}, headers=stand.bearer())
    await stand.client.post(f"{API}/things", json={"name": "taken"}, headers=stand.bearer())
    done, failed = stand.db.audit
    assert (done.actor, done.address, done.action, done.target) == (
        "admin",
        "192.0.2.7",
        "POST /things",
        "/api/v1/things",
    )
    assert (done.outcome, done.status, done.details) == ("ok", 201, {"name": "a", "made": "T1"})
    assert (failed.outcome, failed.status) == ("failed", 409)
    assert "hunter2" not in repr(stand.db.audit)


async def test_refusals_are_recorded(stand: Any) -> None:
    await stand.client.get(f"{API}/things/x")
    limited = await stand.token("node.read")
    await stand.client.delete(f"{API}/things/x", headers=stand.bearer(limited))
    unknown, denied = stand.db.audit
    assert (unknown.actor, unknown.action, unknown.outcome, unknown.status) == (
        "",
        "GET /things/{thing}",
        "unauthenticated",
        401,
    )
    assert (denied.actor, denied.action, denied.outcome) == ("limited", "DELETE /things/{thing}", "denied")


async def test_plain_reads_are_not_recorded_and_sensitive_ones_are(stand: Any) -> None:
    await stand.client.get(f"{API}/things/x", headers=stand.bearer())
    await stand.client.get(f"{API}/audit", headers=stand.bearer())
    await stand.client.get(f"{API}/things/events", headers=stand.bearer())
    assert [row.action for row in stand.db.audit] == ["GET /audit", "GET /things/events"]


async def test_logins_are_recorded_whether_they_work_or_not(stand: Any) -> None:
    await stand.client.get("/login?code=wrong")
    await stand.client.post(f"{API}/login", json={"token": stand.admin})
    failed, worked = stand.db.audit
    assert (failed.action, failed.outcome) == ("GET /login", "unauthenticated")
    assert (worked.action, worked.outcome, worked.details) == ("POST /login", "ok", {"made": "admin"})


async def test_a_flood_of_refusals_is_counted_instead_of_filling_the_disk(stand: Any) -> None:
    for _ in range(100):
        await stand.client.get(f"{API}/nowhere")
    assert len(stand.db.audit) == 60


async def test_the_record_is_paged_newest_first(stand: Any) -> None:
    for name in "abc":
        await stand.client.post(f"{API}/things", json={"name": name}, headers=stand.bearer())
    first = (await stand.client.get(f"{API}/audit?limit=2", headers=stand.bearer())).json()
    assert [row["details"]["name"] for row in first["data"]] == ["c", "b"]
    second = (await stand.client.get(f"{API}/audit?limit=2&cursor={first['next']}", headers=stand.bearer())).json()
    assert [row["details"]["name"] for row in second["data"]] == ["a"]
    assert second["next"] is None
    for query in ("limit=0", "limit=100000", "cursor=x", "cursor=-1"):
        assert (await stand.client.get(f"{API}/audit?{query}", headers=stand.bearer())).status_code == 400
