"""Which requests are recorded: writes, refusals, sensitive reads; never a secret."""

from __future__ import annotations

from typing import Any

from corral.server.application.audit import about

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


async def test_the_record_is_filtered_and_one_entry_is_shown(stand: Any) -> None:
    for name in "ab":
        await stand.client.post(f"{API}/things", json={"name": name}, headers=stand.bearer())
    await stand.client.get(f"{API}/nowhere")

    async def found(query: str) -> list[dict[str, Any]]:
        answer = await stand.client.get(f"{API}/audit?{query}", headers=stand.bearer())
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    assert [row["outcome"] for row in await found("outcome=unauthenticated")] == ["unauthenticated"]
    made = await found("actor=admin&action=things&since=2020-01-01T00:00:00Z&until=2999-01-01T00:00:00Z")
    assert [row["details"]["name"] for row in made] == ["b", "a"]
    assert {row["credential"] for row in made} == {stand.admin_id}
    assert await found("job=J0123456789ABCDEFGH") == []
    one = await stand.client.get(f"{API}/audit/entries/{made[0]['id']}", headers=stand.bearer())
    assert one.json()["data"] == made[0]
    for path, status in (("entries/999999", 404), ("entries/x", 400), ("?outcome=fine", 400), ("?since=soon", 400)):
        answer = await stand.client.get(f"{API}/audit/{path}".replace("/?", "?"), headers=stand.bearer())
        assert answer.status_code == status, path
    for query in ("job=x", "node=..%2F"):
        assert (await stand.client.get(f"{API}/audit?{query}", headers=stand.bearer())).status_code == 400


async def test_what_a_use_case_adds_is_in_the_entry_and_a_sensitive_read_makes_one(
    stand: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(stand.things, "made", Telling())
    await stand.client.post(f"{API}/things", json={"name": "x"}, headers=stand.bearer())
    assert stand.db.audit[-1].details["spec_hash"] == "sha256:1"
    before = len(stand.db.audit)
    await stand.client.post(f"{API}/things/ask", json={"name": "x"}, headers=stand.bearer())
    assert len(stand.db.audit) == before, "a question is not recorded, whatever was noted on the way"


class Telling(list[str]):
    """What is made tells the record about itself."""

    def append(self, name: str) -> None:
        about.add(spec_hash="sha256:1")
        about.reads("output")
        super().append(name)
