"""The way down to nodes: tasks and cancels, signed when published; receipts and pokes.

Nothing here is kept or repeated: SQL brings back what stays unanswered, and sync what a node lacks. A task message is put
together from texts made once per job; per message there are one signature and one publish.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from corral.bus.port import Wire
from corral.domain.job import TaskSpec
from corral.protocol import codec, subjects
from corral.protocol.messages import VERSION, CancelMessage, ReceiptMessage
from corral.protocol.signing import Signer, seal
from corral.runtime.clock import Clock
from corral.server.application.ports.jobs import Delivery
from corral.server.infrastructure.nats.specs import WireSpec, WireSpecs

CANCEL_SECONDS: Final = 86400.0
"""A cancel stays valid at least this long: a task may run on long after its time to be delivered ended."""
RECEIPT_TOKENS_MAX: Final = 512


Private = Callable[[TaskSpec], Awaitable[Mapping[str, Any]]]
"""The values a spec only names: {"secrets": {NAME: value}, "connection": {…}}. One it cannot find is left out: the node says so."""


async def nothing_private(spec: TaskSpec) -> Mapping[str, Any]:
    return {}


class NatsDown:
    """Implements ports.jobs.Down. `speaks` is the protocol version each node understands, as its sync said.

    `labels` gives a node's labels, for the specs that ask for them; `private` the values of those that name secrets. Those go
    into the signed message at the moment it is published, and nowhere else.
    """

    def __init__(
        self,
        *,
        wire: Wire,
        specs: WireSpecs,
        signer: Signer,
        clock: Clock,
        labels: Callable[[str], Mapping[str, str]] = lambda node: {},
        private: Private = nothing_private,
    ) -> None:
        self._wire = wire
        self._specs = specs
        self._signer = signer
        self._clock = clock
        self._labels = labels
        self._private = private
        self._speaks: dict[str, int] = {}

    def speaks(self, node: str, version: int) -> None:
        """Talk to `node` in this version from now on; ours is assumed until its first sync."""
        if version == VERSION:
            self._speaks.pop(node, None)
        else:
            self._speaks[node] = version

    async def push(self, deliveries: Sequence[Delivery]) -> None:
        """Raises BusError when the engine takes no more; what was not published comes due again."""
        for delivery in deliveries:
            kind = "cancel" if delivery.cancel else "task"
            await self._wire.publish(subjects.down(delivery.node, kind), await self.sealed(delivery))

    async def receipt(self, tokens: Mapping[str, Sequence[str]]) -> None:
        for node, of_node in tokens.items():
            for start in range(0, len(of_node), RECEIPT_TOKENS_MAX):
                body = codec.encode(ReceiptMessage(tokens=list(of_node[start : start + RECEIPT_TOKENS_MAX])))
                await self._wire.publish(subjects.down(node, "receipt"), body)

    async def poke(self, nodes: Sequence[str]) -> None:
        for node in nodes:
            await self._wire.publish(subjects.down(node, "sync"), b"")

    async def sealed(self, delivery: Delivery) -> bytes:
        """The complete wire form of a task or a cancel, signed now."""
        if delivery.cancel:
            return seal(self._signer, "cancel", self._cancel_body(delivery))
        spec = self._specs.cached(delivery.job) or await self._specs.get(delivery.job, delivery.spec)
        private = await self._private(delivery.spec) if spec.private else {}
        return seal(self._signer, "task", self._task_body(delivery, spec, private))

    def _task_body(self, delivery: Delivery, spec: WireSpec, private: Mapping[str, Any]) -> bytes:
        # TaskMessage by hand: ids and kinds hold no character that JSON would escape, floats print as JSON numbers.
        version = self._speaks.get(delivery.node, VERSION)
        labels = f',"labels":{json.dumps(dict(self._labels(delivery.node)))}' if spec.labels else ""
        secret = f',"private":{json.dumps(private)}' if private else ""
        return (
            f'{{"v":{version},"kid":{json.dumps(self._signer.key_id)},"node":"{delivery.node}","job":"{delivery.job}",'
            f'"attempt":{delivery.attempt},"kind":"{delivery.kind}","issued":{self._clock.wall()!r},'
            f'"not_after":{delivery.not_after.timestamp()!r},"must":{spec.must},"spec":{spec.spec}{labels}{secret}}}'
        ).encode()

    def _cancel_body(self, delivery: Delivery) -> bytes:
        now = self._clock.wall()
        return codec.encode(
            CancelMessage(
                v=self._speaks.get(delivery.node, VERSION),
                kid=self._signer.key_id,
                node=delivery.node,
                job=delivery.job,
                attempt=delivery.attempt,
                issued=now,
                not_after=max(delivery.not_after.timestamp(), now + CANCEL_SECONDS),
            )
        )
