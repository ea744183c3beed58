"""Figures of plugins' collectors: asked in a child, kept for two rounds, and none that fails spoils the others."""

import json
import sys

import pytest

from corral.agent.daemon.collectors import Collectors
from corral.agent.executors.collect import VALUES_MAX, numbers

PLUGIN = """
import os

def queue():
    return {"depth": 7, "load": 0.5, "note": "text", "nan": float("nan"), "flag": True}

def broken():
    raise RuntimeError("no such queue")

def forever():
    import time
    time.sleep(60)
"""


class Clock:
    def __init__(self):
        self.at = 0.0

    def monotonic(self):
        return self.at


@pytest.fixture
def make(tmp_path):
    """A Python that has these entry points installed: a folder with a module and its names."""

    def made(*points):
        site = tmp_path / "site"
        (site / "figures-1.dist-info").mkdir(parents=True)
        (site / "figures_plugin.py").write_text(PLUGIN)
        (site / "figures-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: figures\nVersion: 1\n")
        names = "\n".join(f"{point} = figures_plugin:{point}" for point in points)
        (site / "figures-1.dist-info" / "entry_points.txt").write_text(f"[corral.collectors]\n{names}\n")
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        clock = Clock()
        return Collectors(path=tmp_path / "collected.json", python=str(python), clock=clock, every_seconds=10), clock

    return made


async def test_a_plugins_figures_are_found_and_a_broken_one_costs_only_its_own(make):
    collectors, _ = make("queue", "broken")
    assert collectors.values() == {}
    await collectors.collect()
    assert collectors.values() == {"queue.depth": 7, "queue.load": 0.5}


async def test_figures_of_a_collector_that_went_silent_do_not_stay(make):
    collectors, clock = make("queue")
    await collectors.collect()
    clock.at = 19.0
    assert collectors.values()
    clock.at = 20.0
    assert collectors.values() == {}


async def test_one_that_does_not_end_is_ended_and_said(make, monkeypatch, caplog):
    monkeypatch.setattr("corral.agent.daemon.collectors.PATIENCE_SECONDS", 0.5)
    collectors, _ = make("forever")
    await collectors.collect()
    assert collectors.values() == {}
    assert "Cannot collect" in caplog.text


def test_what_is_no_number_is_left_out_and_too_many_are_cut():
    assert len(numbers("a", {str(n): n for n in range(VALUES_MAX + 50)})) == VALUES_MAX
    assert json.dumps(numbers("a", {"x": 1, "y": None, "z": "1"})) == '{"a.x": 1}'
    with pytest.raises(TypeError):
        numbers("a", [1])
