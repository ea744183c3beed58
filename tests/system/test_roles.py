"""A dev-only operator against a real server: sees dev, runs on dev, and is told why not elsewhere. The CLI as people run it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import Conflict, Denied, NotFound
from corral.runtime.lifecycle import TaskSet
from corral.sdk import Fleet, connect
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]
DEV = 'labels["env"] == "dev"'


@dataclass
class House:
    stack: Stack
    dev: list[str]
    prod: list[str]
    folder: Path

    async def cli(self, token: str, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "CORRAL_URL": self.stack.url, "CORRAL_TOKEN": token},
            cwd=self.folder,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()

    async def admin(self, *words: str) -> tuple[int, str, str]:
        return await self.cli((self.stack.data / "admin.token").read_text().strip(), *words)

    async def person(self, name: str) -> str:
        """A new user's access token, by invitation."""
        made = await self.stack.fleet.call("POST", "/users", {"name": name})
        body = {"invite": made["invite"], "password": "a horse, a boat and a lamp"}
        return str((await self.stack.fleet.call("POST", "/login", body))["access_token"])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with Stack.temporary() as stack:
        await stack.simulate(5, prefix="n")
        nodes = [node.id for node in await stack.fleet.nodes.list()]
        for place, node in enumerate(nodes):
            await stack.fleet.nodes.set(node, labels={"env": "dev" if place < 3 else "prod"})
        house = House(stack, nodes[:3], nodes[3:], tmp_path)
        await house.person("boss")  # the first user of an installation is its admin
        yield house


async def test_a_dev_only_operator_sees_dev_runs_on_dev_and_is_told_why_not_elsewhere(house: House) -> None:
    token = await house.person("ana")
    assert (await house.cli(token, "node", "list", "-o", "name"))[0] == 5  # nothing is allowed that no grant allows
    status, out, err = await house.admin("role", "grant", "operator", "--to", "ana", "-t", DEV)
    assert (status, out) == (0, f"ana has operator on {DEV}\n"), err

    status, out, err = await house.cli(token, "node", "list", "-o", "name")
    assert (status, out.split()) == (0, house.dev), err
    status, out, err = await house.cli(token, "exec", "run", "-t", DEV, "-o", "json", "--", "true")
    assert status == 0, err
    assert sorted(task["node"] for task in json.loads(out)["tasks"]) == house.dev

    # Refused as a whole: nothing reaches the dev nodes either.
    status, out, err = await house.cli(token, "exec", "run", "-t", ",".join([*house.dev, *house.prod]), "--", "true")
    assert status == 5 and "2 of the 5 nodes" in err and DEV in err and house.prod[0] in err
    jobs = await house.stack.fleet.call("GET", "/jobs")
    assert len(jobs) == 1

    status, out, _ = await house.cli(token, "can-i", "exec.run", "-t", f"{house.dev[0]},{house.prod[0]}")
    assert status == 1 and out.startswith(f"yes on 1 of 2; no on {house.prod[0]}") and f"role operator on {DEV}" in out
    status, out, _ = await house.cli(token, "can-i", "exec.run", "-t", DEV)
    assert (status, out.splitlines()[0]) == (0, f"yes: role operator on {DEV}")
    status, out, _ = await house.admin("can-i", "file.apply", "-t", DEV, "--as", "ana")
    assert status == 1 and "role deployer has it" in out


async def test_what_others_do_elsewhere_is_not_there_for_him(house: House) -> None:
    admin = house.stack.fleet
    token = await house.person("ana")
    await admin.roles.grant("operator", "ana", selector=DEV)
    both = await (await admin.submit("true", on="all")).wait()
    prod = await (await admin.submit("true", on=house.prod[0])).wait()
    async with connect(house.stack.url, token) as ana:
        assert [job["job"] for job in await ana.call("GET", "/jobs")] == [both.job]
        seen = await ana.call("GET", f"/jobs/{both.job}?with_output=true")
        assert [task["node"] for task in seen["tasks"]] == house.dev
        for path in (f"/jobs/{prod.job}", f"/jobs/{prod.job}/why", f"/nodes/{house.prod[0]}"):
            with pytest.raises(NotFound):
                await ana.call("GET", path)
        with pytest.raises(NotFound):
            await ana.call("POST", f"/jobs/{prod.job}/cancel")
        with pytest.raises(Denied):
            await ana.call("POST", f"/jobs/{both.job}/retry", {})
        for path in ("/audit", "/system/backup", "/users", "/grants", "/tokens"):
            with pytest.raises(Denied):
                await ana.call("GET", path)
        with pytest.raises(Denied):
            await ana.call("PATCH", f"/nodes/{house.dev[0]}", {"labels": {"env": "prod"}})


async def test_a_live_view_tells_nothing_of_other_nodes(house: House) -> None:
    admin = house.stack.fleet
    token = await house.person("ana")
    await admin.roles.grant("viewer", "ana", selector=DEV)
    heard: list[tuple[str, str]] = []
    hear = heard.append
    async with connect(house.stack.url, token) as ana:
        watching = TaskSet("watching")
        first = asyncio.Event()

        async def watch(fleet: Fleet) -> None:
            async with aclosing(fleet._api.stream("/nodes/events")) as events:
                async for event in events:
                    hear((event.event, json.loads(event.data)["id"]))
                    first.set()

        task = watching.start(watch(ana), name="watch")
        for turn in range(200):  # until the stream is open
            await admin.nodes.set(house.dev[0], labels={"turn": str(turn)})
            if first.is_set():
                break
            await asyncio.sleep(0.05)
        await admin.nodes.set(house.prod[0], labels={"seen": "no"})
        await admin.nodes.set(house.dev[1], labels={"env": "prod"})
        for _ in range(200):
            if ("removed", house.dev[1]) in heard:
                break
            await asyncio.sleep(0.05)
        await watching.close()
        assert task.done()
    assert ("removed", house.dev[1]) in heard
    assert not {node for _, node in heard} & set(house.prod)


async def test_a_revoked_grant_counts_at_once_and_the_last_admin_stays(house: House) -> None:
    admin = house.stack.fleet
    token = await house.person("ana")
    (boss,) = await admin.roles.grants(role="admin")
    assert boss["subject"] == "boss"
    with pytest.raises(Conflict, match="nobody else"):
        await admin.roles.revoke(boss["id"])
    made: Any = await admin.roles.grant("admin", "ana")
    async with connect(house.stack.url, token) as ana:
        assert (await ana.roles.can_i("exec.run", "all"))["verdict"] == "yes"
        await ana.roles.revoke(made["id"])
        assert (await ana.roles.can_i("exec.run", "all"))["verdict"] == "no"
        with pytest.raises(Denied):
            await ana.call("GET", "/nodes")


async def test_a_rollout_goes_no_further_than_its_creator_may_go_then(house: House) -> None:
    admin = house.stack.fleet
    token = await house.person("ana")
    await admin.roles.grant("deployer", "ana", selector=DEV)
    ran: Any = await admin.roles.grant("operator", "ana", selector=DEV)
    change = {"argv": ["true"]}
    body = {"name": "web", "target": "all", "strategy": {"kind": "count", "values": ["1", "0"]}, "change": change}
    async with connect(house.stack.url, token) as ana:
        with pytest.raises(Denied, match="2 of the 5 nodes"):
            await ana.call("POST", "/rollouts", body)
        made = await ana.call("POST", "/rollouts", {**body, "target": DEV})
    path = f"/rollouts/{made['rollout']}"
    await settle(lambda: admin.call("GET", path), lambda found: found["stages"][0]["gate"] == "passed")
    await admin.roles.revoke(ran["id"])
    await admin.call("POST", f"{path}/advance")
    found = await settle(lambda: admin.call("GET", path), lambda found: found["state"] == "failed")
    assert "exec.run" in found["reason"] and "ana" in found["reason"]
    assert found["stages"][1]["job"] is None


async def test_a_users_own_api_token_stays_where_the_user_is(house: House) -> None:
    token = await house.person("ana")
    await house.stack.fleet.roles.grant("operator", "ana", selector=DEV)
    async with connect(house.stack.url, token) as ana:
        own = await ana.call("POST", "/me/api-tokens", {"name": "ci", "permissions": ["*"]})
    async with connect(house.stack.url, own["token"]) as ci:
        assert [node["id"] for node in await ci.call("GET", "/nodes")] == house.dev
        code = await ci.call("POST", "/login-codes")
        session = await ci.call("POST", "/login", {"code": code["code"]})
    async with connect(house.stack.url, session["access_token"]) as page:
        assert [node["id"] for node in await page.call("GET", "/nodes")] == house.dev
        with pytest.raises(Denied):
            await page.submit("true", on=house.prod[0])


async def settle(ask: Callable[[], Awaitable[Any]], done: Callable[[Any], bool]) -> Any:
    """The answer once it is `done`."""
    for _ in range(400):
        found = await ask()
        if done(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never came: {found}")


async def test_own_roles_come_and_go_by_the_command_line(house: House) -> None:
    await house.person("ana")
    words = ("role", "create", "careful", "--like", "operator", "--without", "exec.shell", "--max-nodes", "1")
    status, out, err = await house.admin(*words)
    assert status == 0 and "at most 1 nodes" in out and "exec.shell" not in out, err
    assert (await house.admin("role", "grant", "careful", "--to", "ana"))[0] == 0
    status, _, err = await house.admin("role", "delete", "careful")
    assert status == 1 and "granted to ana" in err
    status, out, _ = await house.admin("role", "set", "careful", "--add", "exec.shell", "--no-max-nodes", "-o", "json")
    changed = json.loads(out)
    assert (status, changed["max_nodes"], "exec.shell" in changed["permissions"]) == (0, None, True)
    status, out, _ = await house.admin("role", "grants", "--user", "ana")
    assert "careful" in out
    status, out, _ = await house.admin("role", "revoke", "careful", "--from", "ana")
    assert (status, out) == (0, "ana has careful on all no more\n")
    assert (await house.admin("role", "delete", "careful"))[0] == 0
    status, _, err = await house.admin("role", "grant", "operator", "--to", "ana", "-t", 'facts["os"] == "linux"')
    assert status == 2 and "column 1" in err
    status, _, err = await house.admin("role", "set", "viewer", "--add", "exec.run")
    assert status == 1 and "ready" in err
