"""The topology as data, and held to its golden file: a changed limit is a decision, not an accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corral.protocol import subjects, topology

GOLDEN = Path(__file__).parents[2] / "golden" / "topology.json"


def test_the_topology_is_the_golden_one() -> None:
    """Write it anew with: python tests/unit/protocol/test_topology.py"""
    assert json.loads(GOLDEN.read_text()) == document()


@pytest.mark.parametrize("spec", topology.streams(), ids=lambda spec: spec.name)
def test_every_stream_is_bounded_and_takes_no_commanding_header(spec: topology.StreamSpec) -> None:
    config = spec.config()
    assert config["max_bytes"] > 0
    assert 0 < config["max_msg_size"] <= 1 << 20
    assert 0 < config["max_consumers"] < 1000
    assert config["duplicate_window"] == 100_000_000
    for switch in ("rollup_hdrs", "msg_ttl", "msg_schedules", "msg_counter", "atomic"):
        assert config[f"allow_{switch}"] is False


def test_every_kind_a_node_sends_is_stored_in_exactly_one_stream() -> None:
    stored = [subject for spec in topology.streams() for subject in spec.subjects if subject.startswith("corral.")]
    assert sorted(stored) == sorted(subjects.STREAM_SUBJECTS.values())
    assert len(stored) == len(subjects.UP_KINDS)


def test_the_limits_fit_the_engines_defaults() -> None:
    limits = topology.DEFAULT_LIMITS
    specs = topology.streams(limits)
    assert sum(spec.max_bytes for spec in specs if spec.storage == "file") == limits.file_bytes <= 20 << 30
    assert sum(spec.max_bytes for spec in specs if spec.storage == "memory") == limits.memory_bytes <= 256 << 20


def test_replicas_apply_to_what_is_on_disk_only() -> None:
    specs = topology.streams(topology.StoreLimits(replicas=3))
    assert {spec.replicas for spec in specs if spec.storage == "file"} == {3}
    assert {spec.replicas for spec in specs if spec.storage == "memory"} == {1}


def document() -> dict[str, object]:
    return {
        spec.name: {"stream": spec.config(), "consumers": [consumer.config() for consumer in spec.consumers]}
        for spec in topology.streams()
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(document(), indent=2, sort_keys=True) + "\n")
