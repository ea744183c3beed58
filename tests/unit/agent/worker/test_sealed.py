"""Specs too large for a message: fetched, checked against the signed task, opened, and never believed otherwise."""

import base64
import hashlib
import json
import os

import pytest

from corral.runtime.crypto import aes_gcm_seal

KEY, NONCE = b"K" * 32, b"N" * 12


def put(rig, spec, nuid="N1", part=128 << 10):
    sealed = aes_gcm_seal(KEY, NONCE, json.dumps(spec).encode())
    rig.plane.objects[nuid] = [sealed[i : i + part] for i in range(0, len(sealed), part)]
    return {
        "nuid": nuid,
        "size": len(sealed),
        "sha256": hashlib.sha256(sealed).hexdigest(),
        "key": base64.b64encode(KEY).decode(),
        "nonce": base64.b64encode(NONCE).decode(),
    }


BIG = {"script": "x=" + "y" * 6_000_000 + "\necho ${#x}; exit 3\n", "interpreter": "sh", "timeout": 60.0}


async def test_a_large_script_runs(rig):
    rig.run(sealed=put(rig, BIG))
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"]) == ("failed", 3)
    assert rig.plane.stream()[0] == b"6000000\n"
    assert rig.plane.reports[0]["state"] == "delivered"


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "0" * 64},
        {"key": base64.b64encode(b"L" * 32).decode()},
        {"nonce": base64.b64encode(b"M" * 12).decode()},
        {"size": 0},
        {"size": 1 << 40},
        {"size": "9"},
        {"nuid": "../x"},
        {"nuid": ">"},
        {"key": "?"},
    ],
)
async def test_what_is_not_what_the_task_says_is_rejected(rig, change):
    reference = {**put(rig, BIG), **change}
    if change.get("sha256") is None and "size" not in change and "nuid" not in change and change.get("key") != "?":
        reference["sha256"] = hashlib.sha256(b"".join(rig.plane.objects["N1"])).hexdigest()
    rig.run(sealed=reference)
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema")


async def test_a_tampered_object_is_rejected(rig):
    reference = put(rig, BIG)
    parts = rig.plane.objects["N1"]
    parts[1] = parts[1][:-1] + bytes([parts[1][-1] ^ 1])
    rig.run(sealed=reference)
    assert (await rig.plane.end())["state"] == "rejected"


async def test_policy_and_cancel_hold_for_sealed_specs_too(rig, tmp_path):
    rig.state.root.mkdir(exist_ok=True)
    rig.state.policy.write_text(json.dumps([{"id": "no", "effect": "deny", "match": {"program": ["touch"]}}]))
    rig.worker._guard._looked_at = float("-inf")
    rig.run(job="J1", sealed=put(rig, {"shell": f"touch {tmp_path}/ran"}, "N1"))
    rig.run(job="J2", sealed={**put(rig, {"argv": ["true"]}, "N2"), "nuid": "absent"})
    rig.plane.push("cancel", rig.plane.cancel("J2"))
    assert (await rig.plane.end("J1"))["reason"] == "policy"
    assert (await rig.plane.end("J2"))["reason"] == "withdrawn"
    assert not (tmp_path / "ran").exists()


async def test_an_object_that_is_not_there_yet_is_waited_for_over_a_restart(rig):
    reference = put(rig, {"shell": "echo late"})
    parts = rig.plane.objects.pop("N1")
    rig.run(sealed=reference)
    await rig.plane.until(lambda: rig.plane.reports)
    await rig.restart()
    rig.plane.objects["N1"] = parts
    assert (await rig.plane.end())["state"] == "succeeded"
    assert os.path.exists(rig.state.journal)
