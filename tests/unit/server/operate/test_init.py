"""`system init` in a folder: what it makes, what it leaves alone, and what it refuses."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from corral.domain.errors import Conflict, Invalid
from corral.runtime.clock import SystemClock
from corral.runtime.files import DirectoryLock
from corral.server.config import load_server_config
from corral.server.infrastructure.pki.ca import Authority, Certificate, chain_authority
from corral.server.operate.init import Initialised, InitOptions, init
from corral.server.operate.texts import Addresses, is_untouched, moved, server_toml
from corral.testing.clock import FakeClock

CLOCK = SystemClock(0)


def did(done: Initialised) -> dict[str, str]:
    return {step.path.name: step.did for step in done.steps}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_makes_everything_the_server_loads_with_private_keys(tmp_path: Path) -> None:
    done = init(InitOptions(output_dir=tmp_path / "d", hosts=["Corral.example.org", "10.0.0.5"]), CLOCK)
    assert set(did(done).values()) == {"made"}
    config = load_server_config(file=done.config, env={}).value
    assert config.server.public_url == "https://Corral.example.org:8443"
    assert config.engine.public_urls == ["tls://Corral.example.org:4222", "tls://10.0.0.5:4222"]
    assert config.server.tls_cert is not None
    chain = config.server.tls_cert.read_bytes()
    assert chain_authority(chain) == done.fingerprint, "nodes find the CA in the handshake"
    for name in (
        "pki/ca.key",
        "pki/server.key",
        "pki/engine.key",
        "keys/realm.json",
        "keys/signing.json",
        "corral.toml",
    ):
        assert stat.S_IMODE((tmp_path / "d" / name).stat().st_mode) == 0o600, name


def test_running_it_again_changes_nothing(tmp_path: Path) -> None:
    options = InitOptions(output_dir=tmp_path, hosts=["a.example"], https_port=9443, engine_port=5222, http_port=9080)
    init(options, CLOCK)
    before = contents(tmp_path)
    done = init(InitOptions(output_dir=tmp_path), CLOCK)
    assert set(did(done).values()) == {"kept"}
    assert contents(tmp_path) == before
    assert done.public_url == "https://a.example:9443"


def test_other_hosts_renew_certificates_and_configuration_but_no_key_of_the_fleet(tmp_path: Path) -> None:
    init(InitOptions(output_dir=tmp_path, hosts=["a.example"]), CLOCK)
    before = contents(tmp_path)
    done = init(InitOptions(output_dir=tmp_path, hosts=["b.example"]), CLOCK)
    changed = {name for name, data in contents(tmp_path).items() if before.get(name) != data}
    assert changed == {"pki/server.pem", "pki/server.key", "pki/engine.pem", "pki/engine.key", "corral.toml"}
    assert done.public_url == "https://b.example:8443"


def test_a_configuration_somebody_edited_is_kept_and_the_new_one_lies_beside(tmp_path: Path) -> None:
    init(InitOptions(output_dir=tmp_path, hosts=["a.example"]), CLOCK)
    config = tmp_path / "corral.toml"
    mine = config.read_text() + "\n[log]\nlevel = 'debug'\n"
    config.write_text(mine)
    done = init(InitOptions(output_dir=tmp_path, hosts=["b.example"]), CLOCK)
    assert did(done)["corral.toml"] == "edited"
    assert config.read_text() == mine
    assert "b.example" in (tmp_path / "corral.toml.new").read_text()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = init(InitOptions(output_dir=tmp_path / "new", hosts=["a.example"]), CLOCK, dry_run=True)
    assert set(did(done).values()) == {"made"}
    assert not (tmp_path / "new").exists()
    init(InitOptions(output_dir=tmp_path, hosts=["a.example"]), CLOCK)
    before = contents(tmp_path)
    forced = init(InitOptions(output_dir=tmp_path, hosts=["a.example"], force=True), CLOCK, dry_run=True)
    assert did(forced)["ca.pem"] == "made"
    assert contents(tmp_path) == before


def test_force_moves_the_old_keys_aside_and_not_under_a_running_server(tmp_path: Path) -> None:
    init(InitOptions(output_dir=tmp_path, hosts=["a.example"]), CLOCK)
    old = contents(tmp_path)
    lock = DirectoryLock(tmp_path, name="server.lock")
    lock.acquire()
    forced = InitOptions(output_dir=tmp_path, hosts=["a.example"], force=True)
    with pytest.raises(Conflict, match="held by pid"):
        init(forced, CLOCK)
    lock.release()
    assert {name: data for name, data in contents(tmp_path).items() if name != "server.lock"} == old

    init(forced, CLOCK)
    aside = next(tmp_path.glob("replaced-*"))
    assert contents(aside) == old
    assert (tmp_path / "pki" / "ca.pem").read_bytes() != old["pki/ca.pem"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (InitOptions(hosts=["a b"]), "not a host name"),
        (InitOptions(hosts=["https://a.example"]), "not a host name"),
        (InitOptions(hosts=["a.example:8443"]), "not a host name"),
        (InitOptions(hosts=["0.0.0.0"]), "not a host name"),
        (InitOptions(hosts=["a.example"], public_url="http://a.example"), "expected https://"),
        (InitOptions(hosts=["a.example"], public_url="https://c.example:8443"), "would not name 'c.example'"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, options: InitOptions, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        init(replace(options, output_dir=tmp_path / "d"), CLOCK)
    assert not list((tmp_path / "d").iterdir()), "nothing half-made"


def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Invalid, match="cannot write"):
        init(InitOptions(output_dir=tmp_path / "file" / "d", hosts=["a.example"]), CLOCK)


def test_a_certificate_that_is_due_is_signed_again_for_the_same_names_and_a_foreign_one_never(tmp_path: Path) -> None:
    clock = FakeClock()
    authority = Authority(tmp_path, clock)
    authority.create()
    files = authority.server_certificate("server", ["a.example", "10.0.0.5", "::1"])
    assert not authority.renew_due(files)
    clock.step_wall(300 * 86400)
    before = files.certificate.read_bytes()
    assert authority.renew_due(files)
    assert files.certificate.read_bytes() != before
    assert authority.hosts_of(files) == ["a.example", "10.0.0.5", "::1"]

    other = Authority(tmp_path / "other", clock)
    other.create()
    foreign: Certificate = other.server_certificate("theirs", ["a.example"])
    clock.step_wall(500 * 86400)
    kept = foreign.certificate.read_bytes()
    assert not authority.renew_due(foreign)
    assert foreign.certificate.read_bytes() == kept


def test_a_chain_pins_its_own_ca_and_one_without_a_ca_pins_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path, CLOCK)
    authority.create()
    chain = authority.server_certificate("server", ["a.example"]).certificate.read_bytes()
    assert chain_authority(chain) == authority.fingerprint()
    leaf = chain[: chain.index(b"-----END CERTIFICATE-----") + 26]
    assert chain_authority(leaf) == ""
    assert chain_authority(b"nonsense") == ""


def test_a_moved_configuration_points_to_its_new_place_and_stays_untouched() -> None:
    addresses = Addresses(public_url="https://a:8443", engine_urls=["tls://a:4222"])
    text = server_toml(Path("/old/place"), addresses)
    there = moved(text, "/old/place", "/new")
    assert "/old/place" not in there
    assert is_untouched(there)
    assert there == server_toml(Path("/new"), addresses)
    edited = text + "# mine\n"
    assert not is_untouched(edited)
    assert moved(edited, "/old/place", "/new").endswith("# mine\n")
