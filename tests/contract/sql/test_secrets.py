"""Secrets and connections on SQLite and PostgreSQL: what is stored cannot be read, exchanged, or lost by a new master key."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from corral.domain.connection import Connection
from corral.domain.errors import BadSelector, Conflict, Denied, Invalid, NotFound, TooLarge, Unavailable, WrongState
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, JobSpec
from corral.runtime.clock import SystemClock
from corral.server.application.connections.book import ConnectionBook
from corral.server.application.ports.access import Caller
from corral.server.application.secrets.book import SecretBook
from corral.server.application.secrets.guard import SecretGuard
from corral.server.application.secrets.private import PrivateParts
from corral.server.infrastructure.secrets.cipher import AesCipher
from corral.server.infrastructure.secrets.master import MasterKeys, load_master
from corral.server.infrastructure.sql.connections import SqlConnectionStore
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.secrets import SqlSecretStore
from corral.server.infrastructure.sql.statements import Statement

CANARY = "canary-7f3a-value"
WHO = Caller(name="ana")


class Fleet:
    """web-1 and web-2 carry role=web."""

    def within(self, selectors: tuple[str, ...]) -> frozenset[str]:
        return frozenset({"web-1", "web-2"}) if selectors != ("all",) else frozenset({"web-1", "web-2", "db-1"})


@dataclass
class Room:
    db: Database
    keys: Path
    master: MasterKeys

    def __post_init__(self) -> None:
        self.secrets, self.connections, cipher = SqlSecretStore(self.db), SqlConnectionStore(self.db), AesCipher()
        clock = SystemClock()
        self.private = PrivateParts(
            secrets=self.secrets, connections=self.connections, master=self.master, cipher=cipher, clock=clock
        )
        self.book = SecretBook(
            store=self.secrets, master=self.master, cipher=cipher, clock=clock, changed=self.private.forget
        )
        self.named = ConnectionBook(store=self.connections, secrets=self.secrets, clock=clock)
        self.guard = SecretGuard(secrets=self.secrets, connections=self.connections, fleet=Fleet())

    async def value(self, name: str) -> str | None:
        parts = await self.private.of(CommandSpec(argv=("true",), env={"X": f"{{{{ secret.{name} }}}}"}))
        found: str | None = parts["secrets"].get(name)
        return found

    async def dump(self) -> bytes:
        async with self.db.read() as tx:
            rows = await tx.rows(Statement("select name, version, value, key, selector, description from secrets"))
            rows += await tx.rows(Statement("select name, host, login, password_secret, tls, options from connections"))
        return b"".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for row in rows for v in row)


@pytest.fixture
async def room(url: str, tmp_path: Path) -> AsyncIterator[Room]:
    db = Database(url)
    try:
        await migrate(db)
        keys = tmp_path / "keys" / "master.json"
        yield Room(db=db, keys=keys, master=load_master(keys))
    finally:
        await db.close()


async def test_a_value_goes_in_and_comes_out_only_for_a_task(room: Room) -> None:
    first = await room.book.set(WHO, "db", CANARY, description="of the shop")
    assert (first.version, first.selector, first.changed_by) == (1, "all", "ana")
    assert await room.value("db") == CANARY
    assert CANARY not in repr(await room.book.list(WHO))
    for form in (CANARY.encode(), base64.b64encode(CANARY.encode()), CANARY.encode().hex().encode()):
        assert form not in await room.dump()


async def test_a_new_value_counts_at_once_and_keeps_what_was_said_of_it(room: Room) -> None:
    await room.book.set(WHO, "db", CANARY, description="of the shop", selector="web-*")
    assert await room.value("db") == CANARY
    again = await room.book.set(WHO, "db", "other-value")
    assert (again.version, again.description, again.selector) == (2, "of the shop", "web-*")
    assert await room.value("db") == "other-value"
    moved = await room.book.describe(WHO, "db", selector="all")
    assert (moved.version, moved.selector) == (2, "all")
    assert await room.value("db") == "other-value"


async def test_what_was_deleted_is_left_out(room: Room) -> None:
    await room.book.set(WHO, "db", CANARY)
    await room.book.delete(WHO, "db")
    assert await room.value("db") is None
    with pytest.raises(NotFound, match="'db'"):
        await room.book.delete(WHO, "db")


async def test_sealed_bytes_belong_to_their_name_and_version(room: Room) -> None:
    await room.book.set(WHO, "a", CANARY)
    await room.book.set(WHO, "b", "something")
    swap = """
        update secrets set value = (select s.value from secrets s where s.name = 'a'),
            key = (select s.key from secrets s where s.name = 'a') where name = 'b'
    """
    async with room.db.write() as tx:
        await tx.run(Statement(swap))
    assert await room.value("b") is None
    assert await room.value("a") == CANARY


async def test_a_new_master_key_opens_everything_and_the_old_one_nothing(room: Room) -> None:
    before = json.loads(room.keys.read_text())["keys"]
    for number in range(5):
        await room.book.set(WHO, f"s{number}", f"{CANARY}-{number}")
    assert await room.book.rotate(WHO) == 5
    after = json.loads(room.keys.read_text())["keys"]
    assert len(after) == 1 and after != before
    assert room.keys.stat().st_mode & 0o777 == 0o600
    fresh = Room(db=room.db, keys=room.keys, master=load_master(room.keys))
    assert [await fresh.value(f"s{n}") for n in range(5)] == [f"{CANARY}-{n}" for n in range(5)]
    old = Room(db=room.db, keys=room.keys, master=MasterKeys([base64.b64decode(before[0])]))
    assert await old.value("s0") is None


async def test_a_rotation_that_was_cut_short_is_finished_by_the_next(room: Room) -> None:
    await room.book.set(WHO, "a", CANARY)
    room.master.begin_rotation()  # killed here: the file holds both keys, nothing is sealed anew
    again = Room(db=room.db, keys=room.keys, master=load_master(room.keys))
    assert await again.value("a") == CANARY
    assert await again.book.rotate(WHO) == 1
    assert len(json.loads(room.keys.read_text())["keys"]) == 1
    assert await Room(db=room.db, keys=room.keys, master=load_master(room.keys)).value("a") == CANARY


async def test_a_key_from_outside_is_rotated_by_giving_both(room: Room, tmp_path: Path) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    first = Room(db=room.db, keys=room.keys, master=load_master(tmp_path / "none", given=old))
    await first.book.set(WHO, "a", CANARY)
    with pytest.raises(WrongState, match="comes from outside"):
        await first.book.rotate(WHO)
    file = tmp_path / "credential"
    file.write_text(new + "\n")
    both = Room(db=room.db, keys=room.keys, master=load_master(tmp_path / "none", file=file, older=[old]))
    assert await both.book.rotate(WHO) == 1
    alone = Room(db=room.db, keys=room.keys, master=load_master(tmp_path / "none", given=new))
    assert await alone.value("a") == CANARY
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["c2hvcnQ=", "not base64!", ""])
def test_a_master_key_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    if text:
        with pytest.raises(Invalid, match="32 bytes"):
            load_master(tmp_path / "none", file=file)
    (tmp_path / "broken").write_text("{}")
    with pytest.raises(Invalid, match="holds no master key"):
        load_master(tmp_path / "broken")


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("1a", "x", Invalid),
        ("a/b", "x", Invalid),
        ("a", "", Invalid),
        ("a", "\0", Invalid),
        ("a", "\ud800", Invalid),
        ("a", "x" * 70_000, TooLarge),
    ],
)
async def test_what_no_secret_can_be_is_refused_and_stores_nothing(
    room: Room, name: str, value: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await room.book.set(WHO, name, value)
    assert await room.book.list(WHO) == []


async def test_a_secret_may_not_be_bound_to_what_a_node_says_of_itself(room: Room) -> None:
    with pytest.raises(BadSelector):
        await room.book.set(WHO, "a", CANARY, selector='facts["kernel"] == "6.1"')


SHOP = Connection(name="shop", engine="postgres", host="db-1", port=5432, database="shop", user="app")


async def test_a_connection_keeps_no_credential_and_gets_them_with_the_task(room: Room) -> None:
    await room.book.set(WHO, "pw", CANARY)
    await room.book.set(WHO, "tls.key", "-----BEGIN PRIVATE KEY-----\nabc")
    stored = await room.named.set(WHO, replace(SHOP, password_secret="pw", tls={"key": "{{ secret.tls.key }}"}))
    assert stored.resource_version == 1
    assert CANARY.encode() not in await room.dump()
    spec = ExecutorSpec(kind="postgres", params={"sql": "select '{{ secret.pw }}'"}, connection="shop")
    assert await room.private.of(spec) == {
        "secrets": {"pw": CANARY},
        "connection": {
            "name": "shop",
            "engine": "postgres",
            "host": "db-1",
            "port": 5432,
            "database": "shop",
            "user": "app",
            "tls": {"key": "-----BEGIN PRIVATE KEY-----\nabc"},
            "password": CANARY,
        },
    }
    assert await room.private.of(CommandSpec(argv=("true",))) == {}


async def test_a_connection_that_changed_meanwhile_is_not_overwritten(room: Room) -> None:
    assert (await room.named.set(WHO, SHOP, if_match=0)).resource_version == 1
    assert (await room.named.set(WHO, replace(SHOP, host="db-2"), if_match=1)).resource_version == 2
    for version in (0, 1):
        with pytest.raises(Conflict, match="version 2"):
            await room.named.set(WHO, SHOP, if_match=version)
    assert [item.host for item in await room.named.list(WHO)] == ["db-2"]
    await room.named.delete(WHO, "shop")
    with pytest.raises(NotFound):
        await room.named.get(WHO, "shop")


@pytest.mark.parametrize(
    ("change", "element"),
    [
        ({"name": "Shop"}, "name"),
        ({"engine": "oracle"}, "engine"),
        ({"port": 0}, "port"),
        ({"host": "a\nb"}, "host"),
        ({"options": {"password": "hunter2"}}, "options.password"),
        ({"tls": {"key": "-----BEGIN PRIVATE KEY-----"}}, "tls.key"),
        ({"password_secret": "a b"}, "password_secret"),
    ],
)
async def test_a_connection_that_cannot_be_meant_names_its_field(
    room: Room, change: dict[str, object], element: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await room.named.set(WHO, replace(SHOP, **change))  # type: ignore[arg-type]  # the point of the test
    assert caught.value.element == element


async def test_the_password_of_a_connection_has_to_be_there(room: Room) -> None:
    with pytest.raises(NotFound, match="'pw'"):
        await room.named.set(WHO, replace(SHOP, password_secret="pw"))


def job(command: CommandSpec | ExecutorSpec) -> JobSpec:
    return JobSpec(target="all", command=command, kind="exec" if isinstance(command, CommandSpec) else command.kind)


async def test_a_submission_may_only_name_what_is_there_for_its_caller_and_its_nodes(room: Room) -> None:
    await room.book.set(WHO, "pw", CANARY, selector="web-*")
    spec = job(CommandSpec(argv=("true",), env={"X": "{{ secret.pw }}"}))
    assert await room.guard.check(WHO, spec, ["web-1", "web-2"]) is None
    with pytest.raises(Denied, match="db-1"):
        await room.guard.check(WHO, spec, ["web-1", "db-1"])
    with pytest.raises(Denied, match="no permission"):
        await room.guard.check(Caller(name="bob", permissions=frozenset({"exec.run"})), spec, ["web-1"])
    with pytest.raises(NotFound, match="'gone'"):
        await room.guard.check(WHO, job(CommandSpec(argv=("true",), stdin=b"{{ secret.gone }}")), ["web-1"])


async def test_a_submission_may_only_use_a_connection_of_its_kind(room: Room) -> None:
    await room.named.set(WHO, replace(SHOP, selector="web-*"))
    fits = job(ExecutorSpec(kind="postgres", params={"sql": "select 1"}, connection="shop"))
    assert await room.guard.check(WHO, fits, ["web-1"]) is None
    with pytest.raises(Denied, match="db-1"):
        await room.guard.check(WHO, fits, ["db-1"])
    with pytest.raises(Denied, match="no permission"):
        await room.guard.check(Caller(name="bob", permissions=frozenset({"sql.run"})), fits, ["web-1"])
    other = job(ExecutorSpec(kind="mongodb", params={"operation": "collections"}, connection="shop"))
    with pytest.raises(Invalid, match="postgres"):
        await room.guard.check(WHO, other, ["web-1"])
    with pytest.raises(NotFound):
        await room.guard.check(WHO, replace(fits, command=replace(fits.command, connection="none")), ["web-1"])


async def test_a_value_nobody_can_open_says_so_and_is_left_out(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    await room.book.set(WHO, "a", CANARY)
    stranger = Room(db=room.db, keys=room.keys, master=MasterKeys([os.urandom(32)]))
    assert await stranger.value("a") is None
    assert "sealed with master key" in caplog.text
    with pytest.raises(Unavailable):
        stranger.master.open(b"abcd" + b"x" * 40, context="c")
