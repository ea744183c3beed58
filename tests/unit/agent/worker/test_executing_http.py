"""Kind http as a task of a node: what the node's own configuration allows, and what no task can."""

import socket

import pytest


@pytest.fixture
async def rig(make_rig):
    return await (await make_rig(http_allow="127.0.0.2").start()).synced()


@pytest.fixture
def nobody():
    """A port of 127.0.0.2 where nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.2", 0))
        yield held.getsockname()[1]


async def test_the_nodes_own_setting_says_what_else_may_be_asked(rig, nobody):
    rig.run(kind="http", params={"url": f"http://127.0.0.2:{nobody}/"})
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"]) == ("failed", 1)
    assert "Connection refused" in end["detail"]


async def test_what_it_does_not_name_stays_refused(rig, nobody):
    rig.run(kind="http", params={"url": f"http://127.0.0.1:{nobody}/"})
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema")
    assert "127.0.0.1 is the node itself" in end["detail"]
