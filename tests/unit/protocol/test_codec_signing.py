from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from corral.protocol import digest, subjects
from corral.protocol.codec import BadMessage, NotUnderstood, decode, encode
from corral.protocol.messages import BeatMessage, ReceiptMessage, ReportMessage, TaskMessage
from corral.protocol.signing import BadSignature, open_sealed, seal

TASK = TaskMessage(
    kid="k1", node="web-1", job="J1", attempt=1, kind="exec", spec={"argv": ["true"]}, issued=1.0, not_after=2.0
)


class Key:
    key_id = "k1"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def verify(public: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except Exception:
        return False
    return True


def key_id(body: bytes) -> str:
    return str(json.loads(body)["kid"])


def test_a_message_survives_and_defaults_travel_unsaid() -> None:
    data = encode(TASK)
    assert decode(TaskMessage, data) == TASK
    assert b"must" not in data


def test_unknown_fields_are_ignored_unless_the_message_demands_them() -> None:
    body = json.loads(encode(TASK)) | {"colour": "red"}
    assert decode(TaskMessage, json.dumps(body).encode()) == TASK
    body["must"] = ["colour"]
    with pytest.raises(NotUnderstood, match="colour"):
        decode(TaskMessage, json.dumps(body).encode())


def test_a_dotted_demand_is_left_to_the_executor() -> None:
    body = json.loads(encode(TASK)) | {"must": ["spec.user"]}
    assert decode(TaskMessage, json.dumps(body).encode()).must == ["spec.user"]


@pytest.mark.parametrize(
    "change", [{"attempt": "1"}, {"attempt": True}, {"spec": []}, {"must": "user"}, {"issued": None}, {"job": 7}]
)
def test_a_field_of_the_wrong_type_is_named(change: dict[str, object]) -> None:
    body = json.loads(encode(TASK)) | change
    with pytest.raises(BadMessage, match=next(iter(change))):
        decode(TaskMessage, json.dumps(body).encode())


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_a_message_or_a_bad_message(data: bytes) -> None:
    for kind in (TaskMessage, ReportMessage, BeatMessage, ReceiptMessage):
        try:
            decode(kind, data)
        except BadMessage:
            pass


def test_a_deeply_nested_message_is_refused_and_not_a_crash() -> None:
    with pytest.raises(BadMessage):
        decode(TaskMessage, b"[" * 100_000)


def test_a_sealed_message_opens_only_as_its_kind_unaltered_and_by_a_pinned_key() -> None:
    key, other = Key(), Key()
    body = encode(TASK)
    wire = seal(key, "task", body)
    pinned = {"k1": key.public}
    assert open_sealed(wire, "task", pinned, key_id, verify) == body
    for bad, kind, keys in (
        (wire, "cancel", pinned),
        (wire.replace(b'"web-1"', b'"web-2"'), "task", pinned),
        (wire, "task", {"k1": other.public}),
        (wire, "task", {}),
        (body, "task", pinned),
        (b"\n" + body, "task", pinned),
    ):
        with pytest.raises(BadSignature):
            open_sealed(bad, kind, keys, key_id, verify)


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(1, 9)), unique=True))
def test_the_digest_does_not_depend_on_order(items: list[tuple[str, int]]) -> None:
    assert digest.digest(items) == digest.digest(reversed(items))
    assert digest.digest([]) == digest.EMPTY


def test_subjects_hold_the_node_as_one_token() -> None:
    subject = subjects.output("web-1", "J1", 2)
    assert subjects.parse_output(subject) == ("web-1", "J1", 2)
    assert subjects.node_of(subjects.up("web-1", "report")) == "web-1"
    assert subjects.kind_of(subjects.down("web-1", "task")) == "task"
