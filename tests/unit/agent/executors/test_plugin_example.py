"""The plugin in docs/executors.md, installed from a folder: what people copy has to work."""

import json
import re
import socket
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs" / "executors.md"


def block(language):
    """The last fenced block of the page in that language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)[-1]


@pytest.fixture
def plugin(tmp_path, child):
    """Runs the installed plugin: a folder with the module and its metadata, as an installer leaves it."""
    project = tomllib.loads(block("toml"))["project"]
    site = tmp_path / "site"
    info = site / f"corral_port-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (site / "corral_port.py").write_text(block("python"))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["corral.executors"]
    (info / "entry_points.txt").write_text(
        "[corral.executors]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )

    def run(*words, params=None, **options):
        return child(
            "port", params or {}, module="corral.agent.executors", words=words, env={"PYTHONPATH": str(site)}, **options
        )

    return run


def test_the_example_is_as_short_as_it_says():
    assert len(block("python").strip().splitlines()) <= 20


def test_an_installed_plugin_is_listed_and_says_its_schema(plugin):
    assert "port" in plugin("--list").out.split()
    done = plugin("port", "--schema")
    assert (done.code, json.loads(done.out)["required"]) == (0, ["port"])


def test_it_does_its_task_by_the_contract(plugin):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = plugin("port", params={"port": listener.getsockname()[1]})
    assert (done.code, done.out, done.err, done.result) == (0, "open\n", "", {"open": True})


def test_it_fails_and_refuses_by_the_contract(plugin):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        done = plugin("port", params={"port": held.getsockname()[1]})
    assert done.code == 1
    assert re.fullmatch(r"cannot reach port \d+: .*refused\nhint: is the service running\?\n", done.err)
    assert done.result is None
    done = plugin("port", params={"port": 70000})
    assert (done.code, done.err) == (2, "cannot use 70000 as params.port: expected at most 65535\n")


def test_a_kind_nobody_installed_says_what_to_do(plugin):
    done = plugin("teleport")
    assert done.code == 3
    assert done.err.startswith("cannot run kind 'teleport': this node has no executor for it\nhint: install its plugin")
