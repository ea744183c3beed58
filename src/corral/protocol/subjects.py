"""The only file that spells subjects, streams and buckets.

DOWN  corral.down.<node>.<kind>   server → node: task, cancel, state, policy, sync (empty = poke, signed = answer), receipt
UP    corral.up.<node>.<kind>     node → server: beat, sync, report, output.<job>.<attempt>, metrics, facts
RPC   corral.rpc.<node>.<method>  server asks a live node: preview, tail, status

The node id is always one token, so permissions pin it: a node can only speak as itself and only hear its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

DOWN: Final = "corral.down"
UP: Final = "corral.up"
RPC: Final = "corral.rpc"

DOWN_KINDS: Final = ("task", "cancel", "state", "policy", "sync", "receipt")
UP_KINDS: Final = ("beat", "sync", "report", "output", "metrics", "facts")
DAEMON_UP: Final = ("beat", "facts", "metrics")
WORKER_UP: Final = ("sync", "report", "output")
RPC_METHODS: Final = ("preview", "tail", "status")

REPORTS: Final = "reports"
BEATS: Final = "beats"
SYNC: Final = "sync"
OUTPUT: Final = "output"
METRICS: Final = "metrics"
FACTS: Final = "facts"
STREAMS: Final = (REPORTS, BEATS, SYNC, OUTPUT, METRICS, FACTS)

ARTIFACTS: Final = "artifacts"
ARCHIVE: Final = "archive"

OBJECT_READ: Final = f"$JS.API.DIRECT.GET.OBJ_{ARTIFACTS}"
"""The one JetStream verb a node has: read sealed blobs by sequence."""

SERVER_INBOX: Final = "_INBOX_s"
SYSTEM_INBOX: Final = "_INBOX_sys"

STREAM_SUBJECTS: Final = {
    REPORTS: f"{UP}.*.report",
    BEATS: f"{UP}.*.beat",
    SYNC: f"{UP}.*.sync",
    OUTPUT: f"{UP}.*.output.>",
    METRICS: f"{UP}.*.metrics",
    FACTS: f"{UP}.*.facts",
}


def node_inbox(node: str) -> str:
    return f"_INBOX_n.{node}"


def down(node: str, kind: str) -> str:
    return f"{DOWN}.{node}.{kind}"


def up(node: str, kind: str) -> str:
    return f"{UP}.{node}.{kind}"


def rpc(node: str, method: str) -> str:
    return f"{RPC}.{node}.{method}"


def output(node: str, job: str, attempt: int) -> str:
    return f"{UP}.{node}.output.{job}.{attempt}"


def output_filter(job: str, node: str = "*", attempt: str = "*") -> str:
    """Matches the output of a job: of every node, or of one, or of one attempt."""
    return f"{UP}.{node}.output.{job}.{attempt}"


class OutputSubject(NamedTuple):
    node: str
    job: str
    attempt: int


def node_of(subject: str) -> str:
    """The node id inside any of our subjects."""
    return subject.split(".", 3)[2]


def kind_of(subject: str) -> str:
    return subject.split(".", 4)[3]


def parse_output(subject: str) -> OutputSubject:
    parts = subject.split(".")
    return OutputSubject(parts[2], parts[4], int(parts[5]))
