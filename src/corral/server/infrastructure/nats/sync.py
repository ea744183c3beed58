"""Sync: a node says what it has, the server answers with what it lacks. Truth repaired by levels: any lost message is in here.

Only tasks the database still calls `queued` are handed over. What it calls delivered or running the node accepted once; if the
node does not list it, its journal is gone, and handing it over again could run it twice. Such a task is `lost` (journal_reset),
but only when two syncs, the second asked for after the first, both lack it: one alone may have crossed the report on its way.
That needs no memory across restarts: the digests differ until it is settled, so the node is asked again.
What the node lists and the database has settled may be forgotten; what was withdrawn while the node was away is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from corral.bus.port import BusMessage, Streams, Wire
from corral.domain.errors import CorralError, NotFound
from corral.domain.ids import NODE_ID, OBJECT_ID
from corral.domain.job import CommandSpec
from corral.domain.task import OPEN, Reason, Task, TaskState
from corral.protocol import codec, subjects
from corral.protocol.codec import BadMessage
from corral.protocol.messages import VERSION, SyncAnswer, SyncRequest
from corral.protocol.signing import Signer, seal
from corral.runtime.backoff import RECONNECT
from corral.runtime.clock import Clock
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.jobs import Delivery, JobQueries, JobStore
from corral.server.infrastructure.nats.down import NatsDown

BATCH: Final = 100
WAIT_SECONDS: Final = 5.0
ANSWER_BYTES_MAX: Final = 512 << 10
ANSWER_SECONDS: Final = 120.0
PAGE: Final = 200
AT_ONCE: Final = 8
"""Answers worked on together: what the database's readers can serve."""
OPEN_MAX: Final = 20_000
POISON_SAID_SECONDS: Final = 60.0
LOOKED_UP_MAX: Final = 200
MISSING_MAX: Final = 4000
"""Less than a page of what a node says it has."""
NONCE_CHARS_MAX: Final = 128
ASK_AGAIN_SECONDS: Final = 1.0
"""A second sync counts as asked for after the first when it comes at least this much later: nodes sync once a second at most."""

log = logging.getLogger("corral.sync")

Item = tuple[str, int]
Policy = Callable[[str, int], Awaitable[str | None]]
"""Node and the policy revision it has → the signed policy that it lacks."""


async def no_policy(node: str, revision: int) -> str | None:
    return None


class SyncResponder:
    """Component; any server answers any node. `keys` gives what nodes are to pin: key id → base64."""

    name = "sync"

    def __init__(
        self,
        *,
        streams: Streams,
        wire: Wire,
        store: JobStore,
        queries: JobQueries,
        down: NatsDown,
        aftermath: Aftermath,
        signer: Signer,
        keys: Callable[[], Mapping[str, str]],
        clock: Clock,
        counters: Counters,
        on_sync: Callable[[str, SyncRequest], None] = lambda node, request: None,
        rates: Callable[[Mapping[str, int]], None] = lambda counts: None,
        policy: Policy = no_policy,
    ) -> None:
        self._policy = policy
        self._batches = streams.batches(subjects.SYNC, subjects.SYNC)
        self._wire = wire
        self._store = store
        self._queries = queries
        self._down = down
        self._aftermath = aftermath
        self._signer = signer
        self._keys = keys
        self._clock = clock
        self._counters = counters
        self._on_sync = on_sync
        self._rates = rates
        self._poison_said_at = float("-inf")
        self._pages: dict[str, tuple[str, set[Item]]] = {}
        self._missing: dict[str, dict[Item, float]] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        failures = 0
        while True:
            try:
                messages = await self._batches.next(limit=BATCH, wait_seconds=WAIT_SECONDS)
                if messages:
                    await self.take(messages)
                failures = 0
            except CorralError as error:
                # Not acknowledged: they come again, here or at another server; and nodes ask again anyway.
                log.warning("Cannot answer syncs: %s; trying again", error, extra={"action": "sync_failed"})
                await self._clock.sleep(RECONNECT.delay(failures))
                failures += 1

    async def take(self, messages: Sequence[BusMessage]) -> None:
        """Answer a batch, then acknowledge it."""
        requests: dict[str, SyncRequest] = {}
        self._rates(Counter(subjects.node_of(message.subject) for message in messages))
        for message in messages:
            try:
                requests[subjects.node_of(message.subject)] = read_request(message)
            except BadMessage as error:
                self._counters.add("sync_poison_total")
                self._say_poison(message, error)
        if requests:
            accepted = await self._queries.open_digests(list(requests))
            gate = asyncio.Semaphore(AT_ONCE)

            async def answer(node: str, request: SyncRequest) -> None:
                async with gate:
                    await self._answer(node, request, accepted.get(node, frozenset()))

            # One node's trouble (a sealed spec that cannot be stored) must not keep the others waiting; it asks again.
            results = await asyncio.gather(*(answer(*item) for item in requests.items()), return_exceptions=True)
            failed = [result for result in results if isinstance(result, BaseException)]
            if failed:
                self._counters.add("sync_failed_total", len(failed))
                if len(failed) == len(results) and isinstance(failed[0], CorralError):
                    raise failed[0]
                # Ours or theirs: whatever one node says must not end the server. It asks again.
                log.warning(
                    "Cannot answer %d syncs: %s",
                    len(failed),
                    failed[0],
                    exc_info=failed[0],
                    extra={"action": "sync_failed"},
                )
        await self._batches.ack(messages)

    def _say_poison(self, message: BusMessage, error: BadMessage) -> None:
        """One line a minute: all are counted, and a node must not be able to fill our log."""
        now = self._clock.monotonic()
        if now - self._poison_said_at >= POISON_SAID_SECONDS:
            self._poison_said_at = now
            log.info("Cannot read a sync: %s", error, extra={"action": "sync_poison", "subject": message.subject[:200]})

    async def _answer(self, node: str, request: SyncRequest, accepted: frozenset[Item]) -> None:
        self._counters.add("syncs_total")
        self._down.speaks(node, min(VERSION, max(request.versions)))
        self._on_sync(node, request)
        has = {(str(job), int(attempt)) for job, attempt in request.open}
        forget, withdrawn = await self._over(node, has, accepted)
        journal, said = self._pages.get(node, ("", set()))
        pages = said if journal == request.journal else set()
        if request.more:
            # One page of what it has: what it lacks can only be told after the last one.
            if len(pages) < OPEN_MAX:
                self._pages[node] = (request.journal, pages | has)
            await self._send(node, request, cancels=withdrawn, forget=forget)
            return
        self._pages.pop(node, None)
        has |= pages
        # Earlier pages may have gone to another server, so of a node with that much in hand nothing counts as missing.
        if len(accepted) < MISSING_MAX:
            await self._settle_missing(node, accepted - has)
        await self._send_lacking(node, request, has | accepted, forget=forget, cancels=withdrawn)

    async def _send_lacking(
        self, node: str, request: SyncRequest, known: set[Item], *, forget: Sequence[Item], cancels: Sequence[str]
    ) -> None:
        """Cancels first, then tasks, oldest first, until the answer is full."""
        cancels, tasks = list(cancels), list[str]()
        size = sum(len(json.dumps(wire)) for wire in cancels)
        after: Item | None = None
        while True:
            page = await self._store.open_for(node, limit=PAGE, after=after)
            for delivery in page:
                after = (delivery.job, delivery.attempt)
                if not delivery.cancel and after in known:
                    continue
                wire = (await self._down.sealed(delivery)).decode()
                # As JSON inside JSON every quote doubles: only the encoded length says whether it fits.
                cost = len(json.dumps(wire)) + 1
                if size + cost > ANSWER_BYTES_MAX and size:
                    await self._send(node, request, cancels=cancels, tasks=tasks, forget=forget, more=True)
                    return
                size += cost
                (cancels if delivery.cancel else tasks).append(wire)
            if len(page) < PAGE:
                break
        await self._send(node, request, cancels=cancels, tasks=tasks, forget=forget)

    async def _send(
        self,
        node: str,
        request: SyncRequest,
        *,
        cancels: Sequence[str] = (),
        tasks: Sequence[str] = (),
        forget: Sequence[Item] = (),
        more: bool = False,
    ) -> None:
        now = self._clock.wall()
        answer = SyncAnswer(
            kid=self._signer.key_id,
            node=node,
            nonce=request.nonce,
            issued=now,
            not_after=now + ANSWER_SECONDS,
            cancels=list(cancels),
            tasks=list(tasks),
            forget=[list(item) for item in forget],
            keys=dict(self._keys()),
            policy=await self._policy(node, request.policy_revision),
            more=more,
        )
        self._counters.add("sync_tasks_total", len(tasks))
        self._counters.add("sync_forgotten_total", len(forget))
        await self._wire.publish(subjects.down(node, "sync"), seal(self._signer, "sync", codec.encode(answer)))

    async def _over(self, node: str, has: set[Item], accepted: frozenset[Item]) -> tuple[list[Item], list[str]]:
        """(what it may forget, cancels of what was withdrawn while it was not there)."""
        cancels: list[str] = []
        unaccounted = sorted(has - accepted)
        if not unaccounted:
            return [], cancels
        forget = list(await self._queries.settled(node, unaccounted))
        # Left are queued tasks, whose report is on its way, and tasks we gave up: of these the withdrawn must be stopped.
        for job, attempt in [item for item in unaccounted if item not in set(forget)][:LOOKED_UP_MAX]:
            task = await self._task(job, node)
            if task is None or task.attempt != attempt or task.state in OPEN or not task.cancel_asked:
                continue
            delivery = Delivery(
                job=job,
                node=node,
                attempt=attempt,
                kind="exec",
                spec=CommandSpec(),
                not_after=task.not_after or self._clock.now(),
                cancel=True,
            )
            cancels.append((await self._down.sealed(delivery)).decode())
        return forget, cancels

    async def _settle_missing(self, node: str, missing: frozenset[Item]) -> None:
        """End what two syncs in a row did not list; ask for the second one."""
        now = self._clock.monotonic()
        before = self._missing.pop(node, {})
        first_seen = {item: before.get(item, now) for item in missing}
        gone = {item for item, since in first_seen.items() if now - since >= ASK_AGAIN_SECONDS}
        waiting = {item: since for item, since in first_seen.items() if item not in gone}
        if waiting:
            self._missing[node] = waiting
            await self._down.poke([node])
        if not gone:
            return
        changed = await self._store.settle_node(
            node, state=TaskState.LOST, reason=Reason.JOURNAL_RESET, now=self._clock.now(), items=gone
        )
        if changed.tasks:
            self._counters.add("journal_lost_total", len(changed.tasks))
            log.warning(
                "Node %s no longer knows %d tasks it had accepted; they are lost",
                node,
                len(changed.tasks),
                extra={"action": "journal_reset", "node": node},
            )
            self._aftermath.of(changed)

    async def _task(self, job: str, node: str) -> Task | None:
        try:
            return await self._queries.task(job, node)
        except NotFound:
            return None


def read_request(message: BusMessage) -> SyncRequest:
    """Raises BadMessage. The node is the subject's."""
    if NODE_ID.match(subjects.node_of(message.subject)) is None:
        raise BadMessage("cannot read a sync: its subject names no node", element="subject")
    request = codec.decode(SyncRequest, message.data)
    if len(request.nonce) > NONCE_CHARS_MAX or len(request.open) > OPEN_MAX:
        raise BadMessage("cannot read a sync: it is too large", element="open")
    for item in request.open:
        if (
            not isinstance(item, list)
            or len(item) != 2
            or not isinstance(item[0], str)
            or OBJECT_ID.match(item[0]) is None
            or type(item[1]) is not int
            or not 0 < item[1] < 2**31
        ):
            raise BadMessage(f"cannot read a sync: {str(item)[:60]!r} is no (job, attempt)", element="open")
    spoken = [version for version in request.versions if type(version) is int and version > 0]
    if not spoken or min(spoken) > VERSION:
        raise BadMessage(f"cannot speak any of the versions {str(request.versions)[:60]}", element="versions")
    return request
