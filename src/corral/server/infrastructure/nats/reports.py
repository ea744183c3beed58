"""Ingest: reports from the stream into SQL, a batch in one transaction, and only then acknowledgement, receipts and news.

Order is the promise: commit → acknowledge to the engine → receipt to the node → watchers → deliveries that became due. A crash
between any two repeats a step, and every step may be repeated. Poison never stops a batch: it goes to the dead letters. A batch
that SQL refuses is kept, not acknowledged, and tried again; if SQL keeps refusing it although it is there, the reports go one
by one, so that one of them cannot hold up the rest.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from corral.bus.port import Batches, BusMessage, Streams
from corral.domain.errors import CorralError, OutOfSpace, Unavailable
from corral.protocol.codec import BadMessage
from corral.protocol.subjects import REPORTS, node_of
from corral.protocol.topology import INGEST
from corral.runtime import failpoint
from corral.runtime.backoff import RECONNECT
from corral.runtime.clock import Clock
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.jobs import Changed, DeadLetter, DeadLetters, Down, JobStore
from corral.server.infrastructure.nats.reading import ReadReport, read_report

BATCH: Final = 500
WAIT_SECONDS: Final = 5.0
BEHIND_SECONDS: Final = 2.0
LETTER_BYTES: Final = 4096
TRIES_TOGETHER: Final = 3

log = logging.getLogger("corral.ingest")

Rates = Callable[[Mapping[str, int]], None]
"""Node → messages in one batch: whoever watches for floods."""


class ReportIngest:
    """Component; every server runs one, they share the consumer. `behind` is what pauses the dispatcher's sweeps."""

    name = "ingest"

    def __init__(
        self,
        *,
        streams: Streams,
        store: JobStore,
        letters: DeadLetters,
        down: Down,
        aftermath: Aftermath,
        clock: Clock,
        counters: Counters,
        rates: Rates = lambda counts: None,
    ) -> None:
        self._batches: Batches = streams.batches(REPORTS, INGEST)
        self._store = store
        self._letters = letters
        self._down = down
        self._aftermath = aftermath
        self._clock = clock
        self._counters = counters
        self._rates = rates
        self._busy_since: float | None = None

    def behind(self) -> bool:
        """Whether reports have been waiting for us for longer than BEHIND_SECONDS."""
        return self._behind_seconds() > BEHIND_SECONDS

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        failures = 0
        while True:
            try:
                messages = await self._batches.next(limit=BATCH, wait_seconds=WAIT_SECONDS)
            except CorralError as error:
                if failures == 0:
                    log.warning("Cannot take reports: %s; trying again", error, extra={"action": "ingest_failed"})
                await self._clock.sleep(RECONNECT.delay(failures))
                failures += 1
                continue
            failures = 0
            if len(messages) < BATCH:
                self._busy_since = None
            elif self._busy_since is None:
                self._busy_since = self._clock.monotonic()
            if messages:
                await self.take(messages)
            self._counters["ingest_behind_seconds"] = int(self._behind_seconds())

    async def take(self, messages: Sequence[BusMessage]) -> None:
        """One batch from decoding to news. Returns when it is settled; a failing database is waited for."""
        await failpoint.gate("before_ingest")
        self._counters.add("reports_received_total", len(messages))
        self._rates(Counter(node_of(message.subject) for message in messages))
        reports, poison = [], []
        for message in messages:
            try:
                reports.append(read_report(message.subject, message.data))
            except BadMessage as error:
                poison.append(self._letter(message, error.message))
        changed, refused = await self._apply(reports)
        tokens: dict[str, list[str]] = defaultdict(list)
        for report in reports:
            tokens[report.reported.node].append(report.token)
        failpoint.hit("after_ingest")
        await self._bury([*poison, *refused])
        await self._settle(messages, tokens)
        for change in changed:
            self._aftermath.of(change)

    async def _apply(self, reports: Sequence[ReadReport]) -> tuple[list[Changed], list[DeadLetter]]:
        """Commit; repeats until the database answers. Returns what changed and the reports it cannot take at all."""
        if not reports:
            return [], []
        since = self._busy_since
        tries = 0
        while True:
            try:
                changed = await self._store.apply([r.reported for r in reports], now=self._clock.now())
            except CorralError as error:
                self._counters.add("reports_retries_total")
                if self._busy_since is None:
                    self._busy_since = self._clock.monotonic()
                away = isinstance(error, Unavailable | OutOfSpace)
                log.warning("Cannot store %d reports: %s; trying again", len(reports), error, extra={"action": "apply"})
                tries += 0 if away else 1
                if tries >= TRIES_TOGETHER:
                    self._busy_since = since
                    return await self._apply_each(reports, error)
                await self._clock.sleep(RECONNECT.delay(tries if not away else 3))
                continue
            self._busy_since = since
            self._counters.add("reports_applied_total", len(reports) - changed.ignored)
            self._counters.add("reports_unchanged_total", changed.ignored)
            return [changed], []

    async def _apply_each(
        self, reports: Sequence[ReadReport], error: CorralError
    ) -> tuple[list[Changed], list[DeadLetter]]:
        """The database is there but refuses these: find the one it means."""
        if len(reports) == 1:
            reported = reports[0].reported
            letter = DeadLetter(
                subject=f"report of {reported.outcome.job}",
                reason=f"the database refuses it: {error.message}"[:300],
                body=repr(reported.outcome).encode()[:LETTER_BYTES],
                node=reported.node,
                at=self._clock.now(),
            )
            self._counters.add("reports_poison_total")
            return [], [letter]
        middle = len(reports) // 2
        first, second = await self._apply(reports[:middle]), await self._apply(reports[middle:])
        return first[0] + second[0], first[1] + second[1]

    async def _settle(self, messages: Sequence[BusMessage], tokens: Mapping[str, Sequence[str]]) -> None:
        """Acknowledge and receipt. If either fails the reports come again, change nothing and are receipted then."""
        try:
            await self._batches.ack(messages)
            failpoint.hit("after_ack")
            await self._down.receipt(tokens)
            self._counters.add("receipts_total", sum(map(len, tokens.values())))
        except CorralError as error:
            self._counters.add("reports_retries_total")
            log.warning("Cannot acknowledge reports: %s; they will come again", error, extra={"action": "ack_failed"})

    def _letter(self, message: BusMessage, reason: str) -> DeadLetter:
        self._counters.add("reports_poison_total")
        return DeadLetter(
            subject=message.subject[:200],
            reason=reason,
            body=message.data[:LETTER_BYTES],
            node=node_of(message.subject)[:63],
            at=self._clock.now(),
        )

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        try:
            await self._letters.add(letters)
        except CorralError as error:
            # They are counted above; keeping poison is not worth holding up what is good.
            log.warning("Cannot keep %d dead letters: %s", len(letters), error, extra={"action": "dead_letters"})

    def _behind_seconds(self) -> float:
        return 0.0 if self._busy_since is None else self._clock.monotonic() - self._busy_since
