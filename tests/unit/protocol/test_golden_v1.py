"""Every message of protocol 1 as bytes on disk: this version writes exactly these, and reads them back to the same values.

A file is written once and never changed: a change of meaning is a new version with files of its own. A message without a file
fails here; make it with CORRAL_WRITE_GOLDEN=1 and look at it before it is committed.
"""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from corral.protocol import messages
from corral.protocol.codec import BadMessage, NotUnderstood, decode, encode

FOLDER = Path(__file__).parents[2] / "golden" / "protocol_v1"
SIGNED = {"kid": "k1", "node": "web-1", "issued": 1800000000.25, "not_after": 1800003600.0}
JOB = {"job": "J01JABCDEFGHJKMNPQR", "attempt": 2}
REPORT = {
    **JOB,
    "token": "00112233445566778899aabbccddeeff",
    "seq": 3,
    "state": "cancelled",
    "reason": "killed",
    "detail": "größer 漢字",
    "exit_code": 143,
    "signal": 15,
    "delivered_at": 1800000000.5,
    "started_at": 1800000001.0,
    "finished_at": 1800000002.0,
    "stdout_bytes": 7,
    "stderr_bytes": 8,
    "truncated": True,
    "cancel": {"signalled": [{"pid": 7, "command": "sleep 9", "signals": ["SIGTERM"]}], "survivors": []},
    "result": {"a": 1},
}
EXAMPLES = {
    "task_exec": messages.TaskMessage(
        **SIGNED, **JOB, kind="exec", spec={"argv": ["echo", "ü"], "timeout": 300.0, "user": "www"}, must=["spec.user"]
    ),
    "task_sealed": messages.TaskMessage(
        **SIGNED,
        **JOB,
        kind="exec",
        spec={"sealed": {"nuid": "N1", "size": 9, "sha256": "00", "key": "AA==", "nonce": "AA=="}},
    ),
    "task_file": messages.TaskMessage(
        **SIGNED,
        **JOB,
        kind="file",
        spec={
            "op": "apply",
            "source": "nginx/ü.conf",
            "revision": 3,
            "digest": "0f" * 32,
            "size": 131_057,
            "blob": {"nuid": "N1", "key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "chunks": 2},
            "dest": "/srv/{{ node.id }}/{{ labels.role }}.conf",
            "owner": "www:www",
            "mode": "0640",
            "validate": "nginx -tc %s",
            "notify": "systemctl reload nginx",
            "timeout": 300.0,
            "grace": 5.0,
            "max_output": 67108864,
        },
        must=["spec.op", "spec.blob", "labels"],
        labels={"role": "web"},
    ),
    "cancel": messages.CancelMessage(**SIGNED, **JOB, grace=2.5),
    "cancel_default_grace": messages.CancelMessage(**SIGNED, **JOB),
    "state": messages.StateMessage(**SIGNED, revision=4, instances=[{"app": "web"}]),
    "policy": messages.PolicyMessage(
        **SIGNED, revision=5, rules=[{"id": "r", "effect": "deny", "match": {"program": ["reboot"]}}]
    ),
    "sync_request": messages.SyncRequest(
        nonce="aa" * 16,
        journal="bb" * 8,
        boot_id="cc",
        open=[["J1", 1], ["J2", 3]],
        versions=[1],
        state_revision=4,
        policy_revision=5,
        more=True,
    ),
    "sync_answer": messages.SyncAnswer(
        **SIGNED,
        nonce="aa" * 16,
        cancels=["c2ln\n{}"],
        tasks=["c2ln\n{}"],
        forget=[["J1", 1]],
        keys={"k2": "AAAA"},
        state="c2ln\n{}",
        policy="c2ln\n{}",
        more=True,
    ),
    "report": messages.ReportMessage(**REPORT),
    "report_smallest": messages.ReportMessage(token="t", job="J1", attempt=1, seq=1, state="delivered"),
    "receipt": messages.ReceiptMessage(tokens=["00112233445566778899aabbccddeeff"]),
    "beat": messages.BeatMessage(
        sent=1800000000.25,
        boot_id="cc",
        digest="0123456789abcdef",
        worker="down",
        running=1,
        queued=2,
        spool=3,
        spool_bytes=4,
        slots=5,
        factor=0.5,
        state_revision=6,
        policy_revision=7,
        version="0.1.0",
        restarts=8,
    ),
    "facts": messages.FactsMessage(facts={"hostname": "web-1", "cpus": 2}),
    "metrics": messages.MetricsMessage(at=1800000000.25, values={"load1": 0.5, "disk./": 42}),
    "rpc_request": messages.RpcRequest(
        kid="k1", node="web-1", method="tail", issued=1800000000.25, not_after=1800000010.0, params={"path": "x"}
    ),
}


def test_every_message_has_an_example_and_every_file_a_message():
    kinds = {kind for kind in vars(messages).values() if dataclasses.is_dataclass(kind)}
    assert {type(example) for example in EXAMPLES.values()} == kinds
    if os.environ.get("CORRAL_WRITE_GOLDEN"):
        for name, example in EXAMPLES.items():
            path = FOLDER / f"{name}.json"
            if not path.exists():
                path.write_bytes(encode(example) + b"\n")
    assert {path.stem for path in FOLDER.glob("*.json")} == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_this_version_writes_the_golden_bytes(name):
    assert encode(EXAMPLES[name]) + b"\n" == (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_this_version_reads_the_golden_bytes_also_with_fields_of_a_newer_one(name):
    data = (FOLDER / f"{name}.json").read_bytes()
    assert decode(type(EXAMPLES[name]), data) == EXAMPLES[name]
    newer = {**json.loads(data), "invented_later": {"x": 1}}
    assert decode(type(EXAMPLES[name]), json.dumps(newer).encode()) == EXAMPLES[name]


def test_a_newer_field_that_must_be_understood_is_not_passed_over():
    data = {**json.loads((FOLDER / "task_exec.json").read_bytes()), "sandbox": True, "must": ["sandbox"]}
    with pytest.raises(NotUnderstood):
        decode(messages.TaskMessage, json.dumps(data).encode())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_required_field_of_the_wrong_type_is_no_message(name):
    data = json.loads((FOLDER / f"{name}.json").read_bytes())
    kind = type(EXAMPLES[name])
    required = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]
    for field in required:
        with pytest.raises(BadMessage):
            decode(kind, json.dumps({**data, field: {"wrong": 1} if not isinstance(data[field], dict) else 7}).encode())
        with pytest.raises(BadMessage):
            decode(kind, json.dumps({k: v for k, v in data.items() if k != field}).encode())
