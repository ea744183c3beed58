"""The server: what server/compose made, started in this order and stopped in reverse.

1 engine      first, because everything talks through it (absent when engine.urls names an external one)
2 bus         our connections to it; the topology exists once it is ready
3 restored    objects of a backup go into the engine before a task can need one
  leadership  who leads, before anything is decided that must be decided once
  sealing     the leader seals the audit record
4 access      the audit writer and the tokens: a request must be recordable before the first one can come
5 nodes       the registry is loaded before presence is judged
6 files       uploads that nobody continued go away
  jobs        dispatcher, ingest, sync, sweeper: both directions between SQL and the nodes
  policy      brings the rules to the nodes, which the jobs room checks first
  rollouts    the driver submits jobs, so these come first
7 http        last in, first out: nobody is let in before we can serve, and intake ends first when we stop
"""

from __future__ import annotations

from pathlib import Path

from corral.runtime.clock import SystemClock
from corral.runtime.files import private_dir
from corral.runtime.lifecycle import Component, Lifecycle
from corral.server.compose.access import compose_access
from corral.server.compose.approvals import compose_approvals
from corral.server.compose.backup import remove_leftovers
from corral.server.compose.files import compose_files
from corral.server.compose.ground import lay_ground
from corral.server.compose.jobs import compose_jobs
from corral.server.compose.listen import compose_listeners
from corral.server.compose.named import compose_named
from corral.server.compose.nodes import compose_nodes
from corral.server.compose.proof import compose_sealing
from corral.server.compose.restored import RestoredObjects
from corral.server.compose.review import compose_review
from corral.server.compose.roles import compose_roles
from corral.server.compose.rollouts import compose_rollouts
from corral.server.compose.rules import compose_rules
from corral.server.config import ServerConfig
from corral.server.infrastructure.plugins.executors import install_executors
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import migrate

START_SECONDS = 300.0
"""A large store takes the engine long to recover after a crash."""


async def serve(config: ServerConfig, *, config_file: Path | None = None) -> None:
    """Run the server until TERM or Ctrl-C. Raises CorralError when it cannot start. `config_file` goes into backups."""
    private_dir(config.data_dir)
    remove_leftovers(config.data_dir)
    install_executors()
    db = Database(config.sql.url.reveal() or f"sqlite:///{config.data_dir / 'corral.db'}")
    try:
        await migrate(db)
        ground = lay_ground(config, SystemClock(), db, config_file=config_file)
        sealing = compose_sealing(ground)
        files = compose_files(ground)
        named, review = compose_named(ground), compose_review(ground)
        rules = compose_rules(ground)
        jobs = compose_jobs(ground, files, named, review, rules)
        roles = compose_roles(ground, [named.selectors, rules.room.book.selectors])
        nodes = compose_nodes(ground, jobs, roles.deciding, rules.observe)
        rollouts = compose_rollouts(ground, jobs, files, roles.book, review)
        access = await compose_access(ground, roles)
        rooms = {
            "nodes": nodes.room,
            "simulated": nodes.simulated,
            "jobs": jobs.room,
            "files": files.room,
            "rollouts": rollouts.room,
            "policy": rules.room,
            "secrets": named.secrets,
            "connections": named.connections,
            "roles": roles.room,
            "audit": sealing.proof,
            "approvals": compose_approvals(ground, jobs, named),
            "sql_review": review,
        }
        engine: list[Component] = [ground.embedded] if ground.embedded else []
        components: list[Component] = [
            *engine,
            ground.bus,
            RestoredObjects(data_dir=config.data_dir, objects=ground.bus.objects),
            ground.leadership,
            sealing.sealer,
            *access.components,
            *nodes.components,
            *files.components,
            *jobs.components,
            rules.distribution,
            *rollouts.components,
            *compose_listeners(ground, rooms, access, jobs.letters),
        ]
        await Lifecycle(components, start_seconds=START_SECONDS).run()
    finally:
        await db.close()
