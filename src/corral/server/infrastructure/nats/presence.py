"""Feeds presence from the engine: every second the newest beats, all the time the comings and goings of links.

- Link events are applied within a fifth of a second, so a killed daemon shows as offline well under two.
- `latest` gives each node's newest beat, stored some time after the previous poll began: that moment goes along, because a beat
  from before a link went down must not bring the node back. Beats found at the very first poll may be a minute old and prove nothing.
- Every link there is (a census) is asked for at start, one window after the engine came back, every few minutes, and when a node
  lost a link while we believe it has another.
- A poll that failed or came late makes presence hold its verdicts from silence.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from corral.bus.port import Accounts, BusError, BusMessage, LinkEvent, Streams
from corral.domain.errors import CorralError
from corral.domain.presence import LinkChange, Role, Sighting
from corral.protocol.codec import BadMessage, decode
from corral.protocol.messages import BeatMessage
from corral.protocol.subjects import BEATS, node_of
from corral.runtime.clock import Clock
from corral.runtime.lifecycle import TaskSet
from corral.server.application.nodes.presence import PresenceKeeper, Vitals
from corral.server.application.ports.jobs import DeadLetter, DeadLetters

log = logging.getLogger("corral.presence")

POLL_SECONDS: Final = 1.0
TICK_SECONDS: Final = 0.2
LAG_SECONDS: Final = 5.0
CENSUS_SECONDS: Final = 300.0
CENSUS_RETRY_SECONDS: Final = 5.0
LETTER_BYTES: Final = 1024

OnBeats = Callable[[Sequence[tuple[str, BeatMessage]]], Awaitable[None]]


async def _ignore(beats: Sequence[tuple[str, BeatMessage]]) -> None:
    return None


class PresenceFeed:
    """Component; every server runs one. `count` hears how many beats nodes sent (floods); `on_beats` gets what they said."""

    name = "presence"

    def __init__(
        self,
        *,
        streams: Streams,
        accounts: Accounts,
        keeper: PresenceKeeper,
        letters: DeadLetters,
        clock: Clock,
        beat_seconds: float = 10.0,
        on_beats: OnBeats = _ignore,
        count: Callable[[Mapping[str, int]], None] = lambda sent: None,
    ) -> None:
        self._streams = streams
        self._accounts = accounts
        self._keeper = keeper
        self._letters = letters
        self._clock = clock
        self._window = beat_seconds
        self._on_beats = on_beats
        self._count = count
        self._tasks = TaskSet("presence")
        self._links: list[LinkChange] = []
        self._cursor = 0
        self._polled_at: float | None = None
        self._lately: set[str] = set()
        self._census_at = 0.0
        self._lagged = False

    async def run(self, ready: Callable[[], None]) -> None:
        self._keeper.begin()
        await self._accounts.events(self._hear)
        self._census_at = self._clock.monotonic()
        ready()
        next_poll = self._clock.monotonic()
        try:
            while True:
                self._apply_links()
                now = self._clock.monotonic()
                if now >= self._census_at:
                    await self._census()
                if now >= next_poll:
                    next_poll = now + POLL_SECONDS
                    await self._poll()
                    await self._persist()
                await self._clock.sleep(TICK_SECONDS)
        finally:
            await self._tasks.close()
            await self._persist(last=True)

    async def engine_came_back(self) -> None:
        """After every (re)connect to the engine: events were missed, and nodes need a moment to come back too."""
        self._lagged = True
        self._census_at = self._clock.monotonic() + (0 if self._polled_at is None else self._window)

    # ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _hear(self, event: LinkEvent) -> None:
        owner = self._keeper.role_of(event.key)
        if owner is None:
            return
        node, roles = owner
        self._links += [LinkChange(node=node, role=r, up=event.connected, reason=event.reason) for r in roles]

    def _apply_links(self) -> None:
        if not self._links:
            return
        links, self._links = self._links, []
        self._keeper.observe(links=links)
        if any(not link.up and link.role is Role.DAEMON and self._keeper.linked_elsewhere(link.node) for link in links):
            self._census_at = min(self._census_at, self._clock.monotonic())

    async def _census(self) -> None:
        """Applied alone: links that changed while the answer was on its way are applied after it."""
        try:
            keys = await self._accounts.connected_keys()
        except BusError as error:
            log.warning("Cannot list the links of nodes: %s", error, extra={"action": "census_failed"})
            self._census_at = self._clock.monotonic() + CENSUS_RETRY_SECONDS
            return
        linked: dict[str, frozenset[Role]] = {}
        for key in keys:
            owner = self._keeper.role_of(key)
            if owner is not None:
                linked[owner[0]] = linked.get(owner[0], frozenset()) | frozenset(owner[1])
        self._keeper.observe(linked=linked)
        self._census_at = self._clock.monotonic() + CENSUS_SECONDS

    # ── beats ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _poll(self) -> None:
        started, before = self._clock.monotonic(), self._polled_at
        try:
            messages = await self._streams.latest(BEATS, self._cursor)
        except BusError as error:
            log.warning("Cannot read beats: %s", error, extra={"action": "beats_unread"})
            self._keeper.observe(lagged=True)
            return
        self._polled_at = started
        lagged = self._lagged or (before is not None and started - before > LAG_SECONDS)
        self._lagged = False
        beats = await self._read(messages)
        known = [] if before is None else [s for s in beats if s[0] in self._keeper]
        sightings = [Sighting(node=n, after=before or 0.0, worker_down=beat.worker != "up") for n, beat in known]
        self._keeper.observe(sightings=sightings, lagged=lagged)
        self._watch_rate(messages)
        if known:
            self._hand_over(known)

    async def _read(self, messages: Sequence[BusMessage]) -> list[tuple[str, BeatMessage]]:
        beats: list[tuple[str, BeatMessage]] = []
        letters: list[DeadLetter] = []
        wall = self._clock.wall()
        for message in messages:
            node = node_of(message.subject)
            try:
                beat = decode(BeatMessage, message.data)
            except BadMessage as error:
                letters.append(
                    DeadLetter(
                        subject=message.subject,
                        node=node,
                        reason=str(error),
                        body=message.data[:LETTER_BYTES],
                        at=self._clock.now(),
                    )
                )
                continue
            beats.append((node, beat))
            self._keeper.note(node, _vitals(beat, wall))
        if letters:
            await keep_letters(self._letters, letters)
        return beats

    def _watch_rate(self, messages: Sequence[BusMessage]) -> None:
        """Of a node's beats only the newest is seen; what the sequence skipped was sent by somebody who is seen every time."""
        if not messages:
            self._lately = set()
            return
        nodes = {node_of(message.subject) for message in messages}
        last = max(message.sequence for message in messages)
        unseen = max(0, last - self._cursor - len(messages)) if self._cursor and last > self._cursor else 0
        self._cursor = last
        suspects, self._lately = nodes & self._lately, nodes
        sent = dict.fromkeys(nodes, 1)
        for node in suspects:
            sent[node] += unseen // len(suspects)
        self._count(sent)

    def _hand_over(self, beats: Sequence[tuple[str, BeatMessage]]) -> None:
        if len(self._tasks):
            return  # the last round is still being compared; the next beats say the same again
        self._tasks.start(self._compare(beats), name="compare")

    async def _compare(self, beats: Sequence[tuple[str, BeatMessage]]) -> None:
        try:
            await self._on_beats(beats)
        except CorralError as error:
            log.warning("Cannot compare digests: %s", error, extra={"action": "digests_uncompared"})

    async def _persist(self, *, last: bool = False) -> None:
        try:
            await self._keeper.persist(now=last)
        except CorralError as error:
            log.warning("Cannot store presence: %s", error, extra={"action": "presence_unsaved"})


def _vitals(beat: BeatMessage, wall: float) -> Vitals:
    return Vitals(
        version=beat.version[:64],
        boot_id=beat.boot_id[:64],
        running=beat.running,
        queued=beat.queued,
        slots=beat.slots,
        spool=beat.spool,
        spool_bytes=beat.spool_bytes,
        skew_seconds=round(beat.sent - wall, 1),
    )


async def keep_letters(letters: DeadLetters, found: Sequence[DeadLetter]) -> None:
    """Store them if the database is there; what cannot be understood is no reason to stop."""
    try:
        await letters.add(found)
    except CorralError as error:
        log.warning("Cannot keep %d dead letters: %s", len(found), error, extra={"action": "letters_lost"})
