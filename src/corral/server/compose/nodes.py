"""The nodes room: enrolment, presence, labels, removal, facts and samples, and the guard against floods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from corral.protocol.digest import digest
from corral.protocol.messages import BeatMessage
from corral.runtime.lifecycle import Component
from corral.server.application.access.deciding import Deciding
from corral.server.application.jobs.agreement import DigestWatch
from corral.server.application.nodes.enrolment import Enrolment
from corral.server.application.nodes.labels import Labelling
from corral.server.application.nodes.nonce import Nonces
from corral.server.application.nodes.presence import PresenceKeeper
from corral.server.application.nodes.quarantine import Quarantine
from corral.server.application.nodes.refresh import RegistryRefresh
from corral.server.application.nodes.removal import Removal
from corral.server.application.nodes.room import NodeRoom
from corral.server.application.nodes.samples import Samples
from corral.server.application.nodes.simulated import SimulatedNodes
from corral.server.application.nodes.timeline import Timeline
from corral.server.application.nodes.tokens import NO_PIN, JoinTokens
from corral.server.application.ports.jobs import Changed
from corral.server.compose.ground import Ground
from corral.server.compose.jobs import Jobs
from corral.server.infrastructure.auth.keyfile import load_key
from corral.server.infrastructure.nats.credentials import RealmIssuer
from corral.server.infrastructure.nats.links import LinkWatch
from corral.server.infrastructure.nats.presence import PresenceFeed
from corral.server.infrastructure.nats.rpc import SignedRpc
from corral.server.infrastructure.nats.sayings import FactsFeed, MetricsFeed
from corral.server.infrastructure.pki.ca import chain_authority
from corral.server.infrastructure.sql.nodes import SqlNodeStore
from corral.server.infrastructure.sql.presence_log import SqlPresenceLog
from corral.server.infrastructure.sql.tokens import SqlTokenStore

EXPECTED_PER_SECOND = {"report": 200.0, "sync": 20.0, "facts": 0.01, "metrics": 0.5}
"""What a busy, well-behaved node sends; ten times this for three seconds is a flood."""
REFRESH_SECONDS = 5.0
"""With several servers on one PostgreSQL: how soon a node enrolled at another server is known here."""

Revisions = Callable[[Mapping[str, int]], Awaitable[None]]
"""Hears node → the policy revision its beat names."""


@dataclass(kw_only=True)
class Nodes:
    room: NodeRoom
    simulated: SimulatedNodes
    components: Sequence[Component]


def compose_nodes(ground: Ground, jobs: Jobs, deciding: Deciding, revisions: Revisions) -> Nodes:
    clock, registry, bus = ground.clock, ground.registry, ground.bus
    store, tokens = SqlNodeStore(ground.db), SqlTokenStore(ground.db)
    presence_log = SqlPresenceLog(ground.db)
    issuer = RealmIssuer(
        realm=ground.realm,
        accounts=bus.accounts,
        signing_keys=ground.ring.announced,
        engine=(ground.engine_urls, _engine_ca(ground)),
        nodes=lambda: len(registry),
    )

    async def settled(changed: Changed) -> None:
        jobs.aftermath.of(changed)

    removal = Removal(
        fleet=registry,
        store=store,
        credentials=issuer,
        jobs=(jobs.store, jobs.room.queries),
        clock=clock,
        settled=settled,
    )
    beat_seconds = ground.config.nodes.beat_seconds
    expected = {**EXPECTED_PER_SECOND, "beat": 1 / beat_seconds}
    quarantine = Quarantine(removal=removal, clock=clock, expected=expected)
    ground.count_reports = quarantine.counter("report")
    ground.count_syncs = quarantine.counter("sync")
    keeper = PresenceKeeper(
        registry=registry,
        store=store,
        log=presence_log,
        clock=clock,
        beat_seconds=beat_seconds,
        leads=lambda: ground.leadership.leading,
    )
    watch = DigestWatch(queries=jobs.room.queries, down=jobs.down, digest=digest, clock=clock, counters=ground.counters)

    async def on_beats(beats: Sequence[tuple[str, BeatMessage]]) -> None:
        if ground.leadership.leading:
            await watch.observe({node: beat.digest for node, beat in beats if beat.worker == "up"})
            await revisions({node: beat.policy_revision for node, beat in beats if beat.worker == "up"})

    feed = PresenceFeed(
        streams=bus.streams,
        accounts=bus.accounts,
        keeper=keeper,
        letters=jobs.letters,
        clock=clock,
        beat_seconds=beat_seconds,
        on_beats=on_beats,
        count=quarantine.counter("beat"),
    )
    links = LinkWatch(accounts=bus.accounts, keeper=keeper, accuse=quarantine.accuse, clock=clock)
    samples = Samples()
    facts = FactsFeed(
        streams=bus.streams,
        registry=registry,
        store=store,
        letters=jobs.letters,
        clock=clock,
        count=quarantine.counter("facts"),
    )
    metrics = MetricsFeed(
        streams=bus.streams,
        registry=registry,
        samples=samples,
        letters=jobs.letters,
        clock=clock,
        count=quarantine.counter("metrics"),
    )
    refresh = RegistryRefresh(
        registry=registry,
        store=store,
        clock=clock,
        every_seconds=0.0 if ground.db.dialect == "sqlite" else REFRESH_SECONDS,
    )

    async def engine_came_back() -> None:
        await issuer.apply_revocations(await store.revocations())
        links.engine_came_back()
        await feed.engine_came_back()

    bus.on_connect(engine_came_back)
    room = NodeRoom(
        fleet=registry,
        timeline=Timeline(fleet=registry, log=presence_log),
        enrolment=Enrolment(
            fleet=registry,
            stores=(store, tokens),
            credentials=issuer,
            nonces=Nonces(key=load_key(ground.keys / "nonce.key"), clock=clock),
            clock=clock,
        ),
        labels=Labelling(fleet=registry, store=store, deciding=deciding),
        removal=removal,
        samples=samples,
        tokens=JoinTokens(
            store=tokens,
            clock=clock,
            fingerprint=_pin(ground),
            server_url=ground.config.server.public_url,
            deciding=deciding,
        ),
        presence=keeper,
        rpc=SignedRpc(wire=bus.wire, signer=ground.ring, clock=clock),
    )
    simulated = SimulatedNodes(fleet=registry, store=store, jobs=jobs.store, credentials=issuer, clock=clock)
    return Nodes(room=room, simulated=simulated, components=(refresh, feed, facts, metrics, quarantine, links))


def _engine_ca(ground: Ground) -> str:
    """The CA that nodes check the engine with; empty when it is plain on loopback."""
    ca = ground.config.engine.tls_ca
    return "" if ca is None else ca.read_text()


def _pin(ground: Ground) -> str:
    """What a join token pins: the CA at the end of the chain this server shows. Nodes look for it in the handshake."""
    cert = ground.config.server.tls_cert
    return NO_PIN if cert is None else chain_authority(cert.read_bytes()) or NO_PIN
