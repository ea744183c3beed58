"""The realm: what its credentials say, and what it refuses to sign."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from corral.bus import grants
from corral.bus.claims import KeyPair, decode
from corral.bus.realm import NodesClaims, Realm
from corral.domain.errors import Invalid
from corral.runtime.clock import SystemClock


@pytest.fixture
def realm() -> Realm:
    return Realm.create(SystemClock(0))


def test_a_saved_realm_is_private_and_comes_back(realm: Realm, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "realm.json"
    realm.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Realm.load(path)
    assert again.nodes_account == realm.nodes_account
    public = KeyPair("U").public
    assert decode(again.user_worker("web-1", public, 0))["iss"] == decode(realm.user_worker("web-1", public, 0))["iss"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"seeds":{}}', '{"seeds":{"operator":"SUnonsense"}}'])
def test_a_file_that_is_no_realm_is_refused_with_a_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "realm.json"
    path.write_text(text)
    with pytest.raises(Invalid) as caught:
        Realm.load(path)
    assert caught.value.hint


def test_a_realm_whose_keys_are_of_the_wrong_kind_is_refused(realm: Realm, tmp_path: Path) -> None:
    path = tmp_path / "realm.json"
    realm.save(path)
    document = json.loads(path.read_text())
    document["seeds"]["nodes"] = document["seeds"]["operator"]
    path.write_text(json.dumps(document))
    with pytest.raises(Invalid):
        Realm.load(path)


@pytest.mark.parametrize("role", ["daemon", "worker", "sim"])
def test_a_nodes_token_carries_key_name_expiry_and_no_right(realm: Realm, role: str) -> None:
    key = KeyPair("U").public
    claims = decode(getattr(realm, f"user_{role}")("web-1", key, 1_900_000_000.2))
    assert {claims["sub"], claims["name"], claims["exp"]} == {key, "web-1", 1_900_000_001}
    assert claims["nats"] == {
        "type": "user",
        "version": 2,
        "issuer_account": realm.nodes_account,
        "pub": {},
        "sub": {},
    }


@pytest.mark.parametrize(
    "name", ["*", ">", "a.b", "", "Web", "web_1", "all", "-a", "a-", "a" * 64, "a\n", "{{name()}}"]
)
def test_a_name_that_would_widen_the_template_is_not_signed(realm: Realm, name: str) -> None:
    for sign in (realm.user_daemon, realm.user_worker, realm.user_sim):
        with pytest.raises(Invalid):
            sign(name, KeyPair("U").public, 1_900_000_000)


@pytest.mark.parametrize("kind", ["A", "O", "N"])
def test_a_key_of_another_kind_is_not_signed(realm: Realm, kind: str) -> None:
    with pytest.raises(Invalid):
        realm.user_daemon("web-1", KeyPair(kind).public, 1_900_000_000)


def test_the_templates_are_the_complete_list(realm: Realm) -> None:
    keys = decode(realm.nodes_jwt(NodesClaims()))["nats"]["signing_keys"]
    rights: dict[str, Any] = {key["role"]: key["template"] for key in keys}
    daemon = [f"corral.up.{{{{name()}}}}.{kind}" for kind in ("beat", "facts", "metrics")]
    worker = [f"corral.up.{{{{name()}}}}.{kind}" for kind in ("sync", "report", "output.>")]
    worker.append("$JS.API.DIRECT.GET.OBJ_artifacts")
    assert rights["daemon"]["pub"] == {"allow": daemon}
    assert rights["worker"]["pub"] == {"allow": worker}
    assert rights["sim"]["pub"] == {"allow": daemon + worker}
    for template in rights.values():
        assert template["sub"] == {
            "allow": ["_INBOX_n.{{name()}}.>", "corral.down.{{name()}}.>", "corral.rpc.{{name()}}.>"]
        }
        assert (template["subs"], template["payload"], template["resp"]["max"]) == (64, 1 << 20, 64)


def test_the_nodes_account_denies_by_default_and_imports_only_its_slice(realm: Realm) -> None:
    nats = decode(realm.nodes_jwt(NodesClaims()))["nats"]
    assert nats["default_permissions"] == {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}
    assert {row["subject"] for row in nats["imports"]} == {row["subject"] for row in grants.CTL_EXPORTS}
    assert [row["subject"] for row in nats["exports"]] == ["corral.rpc.*.*"]
    for row in grants.CTL_EXPORTS:
        if row["name"].startswith("up-"):
            assert row["response_threshold"] == 3_000_000_000


@pytest.mark.parametrize(("nodes", "connections"), [(0, 1000), (100, 1000), (401, 1003), (10_000, 25_000)])
def test_connections_follow_the_number_of_nodes(realm: Realm, nodes: int, connections: int) -> None:
    assert decode(realm.nodes_jwt(NodesClaims(nodes=nodes)))["nats"]["limits"]["conn"] == connections


def test_revocations_are_in_the_claims_of_the_nodes(realm: Realm) -> None:
    key = KeyPair("U").public
    jwts = realm.account_jwts(NodesClaims(revoked={key: 1234}))
    assert decode(jwts[realm.nodes_account])["nats"]["revocations"] == {key: 1234}
    assert set(jwts) == {realm.nodes_account, realm.server_account, realm.system_account}


def test_no_secret_shows_in_the_text_of_a_key() -> None:
    key = KeyPair("U")
    assert key.seed not in repr(key)


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "a.bm8.c", "a.W10.c"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Invalid):
        decode(token)
