"""The system room: is every part there, and the figures `corral doctor` judges (it knows the thresholds, this only measures)."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509

import corral
from corral.runtime.clock import iso
from corral.server.application.ports.jobs import DeadLetters
from corral.server.application.system.backup import Backup
from corral.server.application.system.room import SystemRoom
from corral.server.compose.backup import LAST, BackupSource
from corral.server.compose.ground import Ground
from corral.server.config import ServerConfig
from corral.server.infrastructure.sql.audit_chain import SqlAuditChain
from corral.server.infrastructure.sql.retention import SqlRetention

LETTERS_SHOWN: Final = 100
CONNECTIONS_PER_NODE: Final = 2
_PRIVATE: Final = ("", "keys", "pki/ca.key", "pki/server.key", "pki/engine.key", "admin.token", "corral.db")


def compose_system(ground: Ground, letters: DeadLetters) -> SystemRoom:
    config = ground.config

    async def sql() -> Mapping[str, Any]:
        await ground.db.ping()
        return {"kind": ground.db.dialect, "database": ground.db.name}

    async def engine() -> Mapping[str, Any]:
        sickness = ground.embedded.sickness if ground.embedded else ""
        usage = await ground.bus.streams.usage()
        pid = ground.embedded.pid if ground.embedded else None
        urls = [] if ground.embedded else list(config.engine.urls)
        return {
            "embedded": ground.embedded is not None,
            "pid": pid,
            "urls": urls,
            "sickness": sickness,
            "streams": usage,
        }

    async def retention() -> Mapping[str, Any]:
        """Per kind: how long it is kept and when the oldest goes."""
        oldest = await SqlRetention(ground.db).oldest()
        keep = {"jobs": config.retention.jobs_days, "audit": config.retention.audit_days}
        return {
            kind: {
                "keep_days": days,
                "oldest_at": iso(at) if (at := oldest.get(kind)) else None,
                "oldest_goes_at": iso(at + timedelta(days=days)) if at else None,
            }
            for kind, days in keep.items()
        }

    async def sealing() -> Mapping[str, Any]:
        """How far the audit record is sealed, and since when something waits for its seal."""
        chain = SqlAuditChain(ground.db)
        (_, head, last), (waiting, since) = await chain.ends(), await chain.waiting()
        signed = None if head is None else iso(datetime.fromtimestamp(head.at_ms / 1000, UTC))
        return {"sealed": last, "signed_at": signed, "waiting": waiting, "waiting_since": iso(since)}

    async def dead_letters() -> Mapping[str, Any]:
        since = ground.clock.now() - timedelta(days=1)
        recent = [letter for letter in await letters.list(limit=LETTERS_SHOWN) if letter.at and letter.at > since]
        return {"last_day": len(recent), "at_most": LETTERS_SHOWN, "newest": recent[0].reason[:200] if recent else None}

    def info() -> Mapping[str, Any]:
        leadership = ground.leadership
        nodes = dict(ground.registry.counts())
        return {
            "pid": os.getpid(),
            "url": config.server.public_url or None,
            "leader": {"leading": leadership.leading, "fencing_token": leadership.token},
            "nodes": nodes,
            "time": ground.clock.wall(),
            "disk": _disk(config.data_dir),
            "files": _files(nodes["nodes"], embedded=ground.embedded is not None),
            "certificates": _certificates(ground),
            "permissions": {"data_dir": str(config.data_dir), "too_open": _too_open(config.data_dir)},
            "backup": {"last_at": _last_backup(config.data_dir), "covers_sql": ground.db.dialect == "sqlite"},
        }

    source = BackupSource(
        config=config, db=ground.db, clock=ground.clock, objects=ground.bus.objects, config_file=ground.config_file
    )
    return SystemRoom(
        version=corral.__version__,
        checks={"sql": sql, "engine": engine},
        figures={"retention": retention, "dead_letters": dead_letters, "audit": sealing},
        dead_letters=letters,
        info=info,
        backup=Backup(source=source.open, made=source.note_made),
    )


def _disk(path: Path) -> Mapping[str, Any]:
    usage = shutil.disk_usage(path)
    return {"path": str(path), "free_bytes": usage.free, "total_bytes": usage.total}


def _files(nodes: int, *, embedded: bool) -> Mapping[str, Any]:
    """The engine is our child and raises its own limit to the hard one; elsewhere its limit is not ours to see."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return {
        "soft": None if soft == unlimited else soft,
        "hard": None if hard == unlimited else hard,
        "connections_needed": CONNECTIONS_PER_NODE * nodes,
        "engine_is_ours": embedded,
    }


def _certificates(ground: Ground) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for name, path in _certificate_files(ground.config):
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError):
            found.append({"name": name, "path": str(path), "not_after": None, "days_left": None})
            continue
        left = certificate.not_valid_after_utc - ground.clock.now()
        not_after = iso(certificate.not_valid_after_utc)
        found.append({"name": name, "path": str(path), "not_after": not_after, "days_left": left.days})
    return found


def _certificate_files(config: ServerConfig) -> list[tuple[str, Path]]:
    named = (("server", config.server.tls_cert), ("engine", config.engine.tls_cert), ("ca", config.engine.tls_ca))
    return [(name, path) for name, path in named if path is not None]


def _too_open(data_dir: Path) -> list[str]:
    """What others than the owner can read and must not."""
    found = []
    for name in _PRIVATE:
        path = data_dir / name
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & 0o077:
            found.append(str(path))
    return found


def _last_backup(data_dir: Path) -> float | None:
    try:
        return float(json.loads((data_dir / LAST).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
