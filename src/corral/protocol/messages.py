"""Every message between server and node, with its version. A change of meaning is a new version; golden files in tests/golden hold each.

Protocol versions: 1 = this file. A server of version N serves agents N and N-1 (the lower version from sync is spoken).
Times are seconds since the epoch by the server's clock; a node judges them by the time it learnt from signed sync answers.
Annotations here are plain words on purpose: codec checks values against their first word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

VERSION: Final = 1

HEADER_STREAM: Final = "Corral-Stream"
"""Output chunks: `stdout` or `stderr`."""
HEADER_OFFSET: Final = "Corral-Offset"
"""Output chunks: byte offset of the payload's first byte within its stream, as the command wrote it."""
HEADER_SKIPPED: Final = "Corral-Skipped"
"""Output chunks: bytes dropped just before this chunk (output beyond the cap); absent = 0."""


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """DOWN task, signed. One attempt of one task for one node. `spec` is domain.kinds.as_mapping of its kind's spec.

    `labels` are the node's, sent only when the spec asks for them (a template); `must` then names them.

    `must` names what the node has to understand (`spec.user`: a key of the spec). A spec beyond INLINE_BYTES_MAX travels as
    {"sealed": {"nuid", "size", "sha256", "key", "nonce"}}: its JSON under AES-256-GCM in the artifacts bucket (base64 key and
    nonce; size and sha256 are of the sealed bytes).

    `private` is what only this node and only this task may see: {"secrets": {NAME: value}, "connection": {…}}. The node seals it
    before anything of it reaches its disk, and `must` names it, so a node that would not do that does not run the task.
    """

    v: int = VERSION
    kid: str
    node: str
    job: str
    attempt: int
    kind: str
    spec: dict[str, Any]
    issued: float
    not_after: float
    must: list[str] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)
    private: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CancelMessage:
    """DOWN cancel, signed. Withdraws or stops (job, attempt) and every earlier attempt; leaves a tombstone until not_after + 24 h."""

    v: int = VERSION
    kid: str
    node: str
    job: str
    attempt: int
    issued: float
    not_after: float
    grace: float | None = None


@dataclass(frozen=True, kw_only=True)
class StateMessage:
    """DOWN state, signed: the node's desired instances at one revision (apps come later; the revision is kept and shown)."""

    v: int = VERSION
    kid: str
    node: str
    revision: int
    issued: float
    not_after: float
    instances: list[Any] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PolicyMessage:
    """DOWN policy, signed: the command policy at one revision. `rules`: [{"effect": "deny"|"allow", "match": …, "id": …}].

    `mode` says what may run that no rule matches: domain.policy.Mode.
    """

    v: int = VERSION
    kid: str
    node: str
    revision: int
    issued: float
    not_after: float
    rules: list[Any] = field(default_factory=list)
    mode: str = ""


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    """UP sync: what the node has. `open` = [[job, attempt], …] accepted and not yet receipted, one page of it when `more`.

    `nonce` (hex, 128 bits) comes back in the answer; `versions` are the protocol versions this node speaks.
    `journal` is a random id made with the journal file: a new one tells the server the old journal is gone.
    """

    v: int = VERSION
    nonce: str
    journal: str
    boot_id: str
    open: list[list[Any]] = field(default_factory=list)
    versions: list[int] = field(default_factory=lambda: [VERSION])
    state_revision: int = 0
    policy_revision: int = 0
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class SyncAnswer:
    """DOWN sync with a body, signed: what the node lacks. At most 512 KiB; `more` = ask again with what you now have.

    `cancels` and `tasks` are complete wire forms (signature, newline, body) of CancelMessage and TaskMessage as text, cancels
    first, oldest first. `forget` = [[job, attempt], …] the server has settled: treat as receipted. `keys` = {key id: base64}.
    """

    v: int = VERSION
    kid: str
    node: str
    nonce: str
    issued: float
    not_after: float
    cancels: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    forget: list[list[Any]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    state: str | None = None
    policy: str | None = None
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class ReportMessage:
    """UP report: one attempt's latest outcome (domain.task.Outcome as a mapping). Repeated until the receipt echoes `token`.

    `token` is 128 random bits in hex, made for this report: whoever did not read the report cannot forge its receipt.
    """

    v: int = VERSION
    token: str
    job: str
    attempt: int
    seq: int
    state: str
    reason: str = ""
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    delivered_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    cancel: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReceiptMessage:
    """DOWN receipt, unsigned: the tokens prove it."""

    v: int = VERSION
    tokens: list[str]


@dataclass(frozen=True, kw_only=True)
class BeatMessage:
    """UP beat, every 10 s by the daemon: it is alive, and a digest by which the server sees whether it and the node agree.

    `digest` = hex XOR of blake2b-8 of `<job>.<attempt>` over what the node accepted and has no receipt for (protocol.digest).
    """

    v: int = VERSION
    sent: float
    boot_id: str = ""
    digest: str = ""
    worker: str = "up"
    running: int = 0
    queued: int = 0
    spool: int = 0
    spool_bytes: int = 0
    slots: int = 0
    factor: float = 1.0
    state_revision: int = 0
    policy_revision: int = 0
    version: str = ""
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class FactsMessage:
    """UP facts: what the machine says of itself; sent on connect and when it changed."""

    v: int = VERSION
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class MetricsMessage:
    """UP metrics: one sample. `values` = flat names → numbers, e.g. cpu_percent, load1, mem_used, disk./, net.eth0.rx_bytes."""

    v: int = VERSION
    at: float
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RpcRequest:
    """RPC, signed: the server asks a live node. Answered on the reply subject with JSON {"result": …} or {"error": …}."""

    v: int = VERSION
    kid: str
    node: str
    method: str
    issued: float
    not_after: float
    params: dict[str, Any] = field(default_factory=dict)
