"""Parsers of /proc against golden samples (tests/golden/proc): a new case is a new file there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.agent.daemon import facts, metrics, proc
from corral.testing.clock import FakeClock

SAMPLES = sorted((Path(__file__).parents[3] / "golden" / "proc").glob("*.json"))
PARSERS = [
    proc.os_release,
    proc.meminfo,
    proc.cpu_model,
    proc.hypervisor,
    proc.mounts,
    proc.interface_bytes,
    proc.ipv4_addresses,
    proc.loadavg,
    proc.uptime,
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_read_as_expected(sample: Path) -> None:
    case = json.loads(sample.read_text())
    found = getattr(proc, case["parser"])(case["text"])
    assert json.loads(json.dumps(found)) == case["expect"]


@given(text=st.text(max_size=300))
def test_text_of_any_kind_breaks_no_parser(text: str) -> None:
    for parser in PARSERS:
        parser(text)


def test_cpu_percent_is_the_busy_part_of_the_time_between() -> None:
    before, after = proc.CpuTimes(100, 1000), proc.CpuTimes(150, 1200)
    assert proc.cpu_percent(before, after) == 25.0
    assert proc.cpu_percent(after, after) == 0.0
    assert proc.cpu_percent(after, before) == 0.0


def test_disk_traffic_counts_whole_disks_once() -> None:
    text = (
        "   8       0 sda 10 0 100 5 20 0 200 9 0 1 1\n"
        "   8       1 sda1 10 0 100 5 20 0 200 9 0 1 1\n"
        " 253       0 dm-0 10 0 100 5 20 0 200 9 0 1 1\n"
        "   7       0 loop0 1 0 8 0 0 0 0 0 0 0 0\n"
    )
    assert proc.disk_bytes(text, {"sda", "dm-0", "loop0"}) == (100 * 512, 200 * 512)


@pytest.mark.parametrize(
    ("vendor", "product", "guest", "name"),
    [
        ("QEMU", "Standard PC", True, "kvm"),
        ("VMware, Inc.", "VMware7,1", True, "vmware"),
        ("Amazon EC2", "t3.micro", True, "aws"),
        ("Microsoft Corporation", "Virtual Machine", True, "hyperv"),
        ("", "", True, "vm"),
        ("Dell Inc.", "PowerEdge", False, ""),
    ],
)
def test_the_host_of_a_guest_is_named(vendor: str, product: str, guest: bool, name: str) -> None:
    assert proc.virtualization(vendor, product, guest=guest) == name


def test_traffic_is_what_passed_between_two_readings_and_never_negative() -> None:
    before = metrics.Counters(10.0, proc.CpuTimes(0, 0), (1000, 2000), {"eth0": (100, 200), "eth1": (50, 50)})
    after = metrics.Counters(12.5, proc.CpuTimes(50, 100), (1500, 2000), {"eth0": (10, 250), "eth2": (70, 80)})
    assert metrics.traffic(before, after) == {
        "interval_seconds": 2.5,
        "cpu_percent": 50.0,
        "disk_read_bytes": 500,
        "disk_write_bytes": 0,
        "net.eth0.rx_bytes": 10,
        "net.eth0.tx_bytes": 50,
        "net.eth2.rx_bytes": 0,
        "net.eth2.tx_bytes": 0,
    }


def test_the_facts_of_this_machine_are_complete_and_plain_json() -> None:
    found = facts.collect()
    assert {"hostname", "os", "arch", "kernel", "boot_id", "python", "agent_version", "cpu_count", "mem_total"} <= set(
        found
    )
    assert found["mounts"]
    assert found == json.loads(json.dumps(found))
    assert not facts.VOLATILE & set(facts.steady(found))


def test_a_second_sample_of_this_machine_has_traffic_and_processor_time() -> None:
    sampler = metrics.Sampler(FakeClock())
    first, second = sampler.sample(), sampler.sample()
    assert first["mem_total"] > first["mem_used"] > 0
    assert "cpu_percent" not in first
    assert 0 <= second["cpu_percent"] <= 100
    assert all(isinstance(value, int | float) for value in second.values())
    assert any(name.startswith("disk./") for name in second)
