"""Every stream, bucket and consumer at the engine, as pure data (design section 4).

What is stated explicitly is stated because an attack or a jam was measured without it: bounds per subject so that one node
cannot fill a stream, `max_consumers` (the engine's default is 1,000), no rollup, time-to-live, schedule or counter headers (a
node could wipe or postpone others' messages), and the shortest duplicate window the engine allows (a stolen `Nats-Msg-Id` makes
another node's message vanish within it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from corral.protocol import subjects

NANOSECONDS: Final = 1_000_000_000
KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
DUPLICATE_WINDOW_NS: Final = 100_000_000
"""The shortest the engine takes."""
CHUNK_BYTES_MAX: Final = 64 * KIB
"""Raw payload of one output chunk."""
OBJECT_CHUNK_BYTES: Final = 128 * KIB

INGEST: Final = "ingest"
"""The durable consumer of `reports`; the other work queues have one named like their stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerSpec:
    """A shared durable pull consumer: each message to one server, again after `ack_wait_seconds` without an acknowledgement."""

    name: str
    ack_wait_seconds: float = 5.0
    max_ack_pending: int = 20_000

    def config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "durable_name": self.name,
            "ack_policy": "explicit",
            "ack_wait": int(self.ack_wait_seconds * NANOSECONDS),
            "deliver_policy": "all",
            "max_ack_pending": self.max_ack_pending,
            "max_deliver": -1,
            "max_waiting": 512,
            "replay_policy": "instant",
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSpec:
    """One stream, and the consumers servers share on it."""

    name: str
    subjects: tuple[str, ...]
    storage: Literal["file", "memory"] = "file"
    retention: Literal["limits", "workqueue"] = "limits"
    discard: Literal["old", "new"] = "old"
    discard_new_per_subject: bool = False
    max_bytes: int
    max_msg_bytes: int
    max_per_subject: int = -1
    max_age_seconds: float = 0
    max_consumers: int = 64
    allow_direct: bool = True
    replicas: int = 1
    consumers: tuple[ConsumerSpec, ...] = field(default=())

    def config(self) -> dict[str, Any]:
        """What JetStream's STREAM.CREATE takes."""
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "storage": self.storage,
            "retention": self.retention,
            "discard": self.discard,
            "discard_new_per_subject": self.discard_new_per_subject,
            "max_bytes": self.max_bytes,
            "max_msgs": -1,
            "max_msg_size": self.max_msg_bytes,
            "max_msgs_per_subject": self.max_per_subject,
            "max_age": int(self.max_age_seconds * NANOSECONDS),
            "max_consumers": self.max_consumers,
            "duplicate_window": DUPLICATE_WINDOW_NS,
            "num_replicas": self.replicas,
            "allow_direct": self.allow_direct,
            "allow_rollup_hdrs": False,
            "allow_msg_ttl": False,
            "allow_msg_schedules": False,
            "allow_msg_counter": False,
            "allow_atomic": False,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreLimits:
    """How much the engine may keep. The sums have to fit the engine's own `max_file` and `max_mem`: it reserves them."""

    reports_bytes: int = 1 * GIB
    output_bytes: int = 4 * GIB
    output_seconds: float = 14 * 86400.0
    metrics_bytes: int = 256 * MIB
    facts_bytes: int = 256 * MIB
    artifacts_bytes: int = 8 * GIB
    archive_bytes: int = 4 * GIB
    memory_stream_bytes: int = 64 * MIB
    replicas: int = 1

    @property
    def file_bytes(self) -> int:
        kept = self.reports_bytes + self.output_bytes + self.metrics_bytes + self.facts_bytes
        return kept + self.artifacts_bytes + self.archive_bytes

    @property
    def memory_bytes(self) -> int:
        return 2 * self.memory_stream_bytes


DEFAULT_LIMITS: Final = StoreLimits()


def bucket_stream(bucket: str) -> str:
    return f"OBJ_{bucket}"


def object_chunks(bucket: str, nuid: str) -> str:
    """Subject of all chunks of one stored blob, in order."""
    return f"$O.{bucket}.C.{nuid}"


def object_meta(bucket: str, encoded_name: str) -> str:
    return f"$O.{bucket}.M.{encoded_name}"


def _bucket(bucket: str, max_bytes: int, replicas: int) -> StreamSpec:
    return StreamSpec(
        name=bucket_stream(bucket),
        subjects=(object_chunks(bucket, ">"), object_meta(bucket, ">")),
        discard="new",
        max_bytes=max_bytes,
        max_msg_bytes=OBJECT_CHUNK_BYTES + 4 * KIB,
        replicas=replicas,
    )


def streams(limits: StoreLimits = DEFAULT_LIMITS) -> tuple[StreamSpec, ...]:
    """The whole topology, in the order in which it is made."""
    replicas = limits.replicas
    return (
        # A work queue that refuses: a node that floods is refused its 257th unread report, everyone else is served.
        StreamSpec(
            name=subjects.REPORTS,
            subjects=(subjects.STREAM_SUBJECTS[subjects.REPORTS],),
            retention="workqueue",
            discard="new",
            discard_new_per_subject=True,
            max_per_subject=256,
            max_bytes=limits.reports_bytes,
            max_msg_bytes=256 * KIB,
            replicas=replicas,
            consumers=(ConsumerSpec(name=INGEST),),
        ),
        # The last beat of each node, polled; a beat older than a minute says nothing any more.
        StreamSpec(
            name=subjects.BEATS,
            subjects=(subjects.STREAM_SUBJECTS[subjects.BEATS],),
            storage="memory",
            max_per_subject=1,
            max_age_seconds=60,
            max_bytes=limits.memory_stream_bytes,
            max_msg_bytes=4 * KIB,
        ),
        # The newest question of each node; an unanswered one is asked again by the node.
        StreamSpec(
            name=subjects.SYNC,
            subjects=(subjects.STREAM_SUBJECTS[subjects.SYNC],),
            storage="memory",
            retention="workqueue",
            max_per_subject=1,
            max_age_seconds=60,
            max_bytes=limits.memory_stream_bytes,
            max_msg_bytes=512 * KIB,
            consumers=(ConsumerSpec(name=subjects.SYNC),),
        ),
        # Followed and read by offset; the oldest goes first, by age and by size. One ephemeral consumer per live view.
        StreamSpec(
            name=subjects.OUTPUT,
            subjects=(subjects.STREAM_SUBJECTS[subjects.OUTPUT],),
            max_bytes=limits.output_bytes,
            max_age_seconds=limits.output_seconds,
            max_msg_bytes=CHUNK_BYTES_MAX + 4 * KIB,
            max_consumers=512,
            replicas=replicas,
        ),
        StreamSpec(
            name=subjects.METRICS,
            subjects=(subjects.STREAM_SUBJECTS[subjects.METRICS],),
            retention="workqueue",
            max_per_subject=60,
            max_age_seconds=3600,
            max_bytes=limits.metrics_bytes,
            max_msg_bytes=32 * KIB,
            replicas=replicas,
            consumers=(ConsumerSpec(name=subjects.METRICS),),
        ),
        StreamSpec(
            name=subjects.FACTS,
            subjects=(subjects.STREAM_SUBJECTS[subjects.FACTS],),
            retention="workqueue",
            max_per_subject=1,
            max_bytes=limits.facts_bytes,
            max_msg_bytes=256 * KIB,
            replicas=replicas,
            consumers=(ConsumerSpec(name=subjects.FACTS),),
        ),
        _bucket(subjects.ARTIFACTS, limits.artifacts_bytes, replicas),
        _bucket(subjects.ARCHIVE, limits.archive_bytes, replicas),
    )
