"""Which server to talk to, and as whom.

Order: an explicit argument, then CORRAL_URL / CORRAL_TOKEN / CORRAL_CA, then `.corral/local.json` in the working directory
and in its parents that belong to us, then ~/.config/corral/local.json, then the default address. Rules: a file that
belongs to somebody else is never read (a stranger's /tmp/.corral must not choose our server), and the token of a file is only
ever sent to the URL of that same file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.runtime.files import private_dir, write_atomic

DEFAULT_URL: Final = "http://127.0.0.1:8080"
LOCAL: Final = Path(".corral") / "local.json"
SESSION_KEYS: Final = ("name", "access_token", "refresh_token", "expires_at")
USER: Final = Path(".config") / "corral" / "local.json"


@dataclass(frozen=True, kw_only=True)
class Context:
    """A server and a credential. `origin` says where each part came from, for `corral config show --origin`."""

    url: str = DEFAULT_URL
    token: str | None = field(default=None, repr=False)
    ca: str | None = None
    file: Path | None = None
    session: bool = False
    """Whether `file` holds the session of somebody who logged in: sdk.credential keeps it going."""
    origin: Mapping[str, str] = field(default_factory=dict)


def find_context(
    *,
    url: str | None = None,
    token: str | None = None,
    ca: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    home: Path | None = None,
) -> Context:
    """Resolve every part; raises Invalid when a context file that is ours cannot be read."""
    env = os.environ if env is None else env
    file, stored = _stored(cwd or Path.cwd(), home or Path(env.get("HOME") or "/"))
    origin: dict[str, str] = {}

    def pick(name: str, given: str | None, usable: bool) -> str | None:
        for value, source in (
            (given, "flag"),
            (env.get(f"CORRAL_{name.upper()}"), f"CORRAL_{name.upper()}"),
            (stored.get(name) if usable else None, str(file)),
        ):
            if value:
                origin[name] = source
                return str(value)
        return None

    where = pick("url", url, True)
    if where is None:
        where, origin["url"] = DEFAULT_URL, "default"
    same = where.rstrip("/") == str(stored.get("url", "")).rstrip("/")
    credential = pick("token", token, same)
    session = credential is None and same and isinstance(stored.get("session"), dict)
    if session:
        origin["token"] = f"{file} (a session)"
    return Context(
        url=where.rstrip("/"), token=credential, ca=pick("ca", ca, same), file=file, session=session, origin=origin
    )


def save_context(url: str, token: str, *, ca: str | None = None, home: Path | None = None) -> Path:
    """Write ~/.config/corral/local.json, readable by us alone; returns its path."""
    path = (home or Path.home()) / USER
    private_dir(path.parent)
    write_atomic(path, json.dumps({"url": url, "token": token, "ca": ca}, indent=2).encode() + b"\n", mode=0o600)
    return path


def save_session(
    url: str, session: Mapping[str, Any], *, ca: str | None = None, home: Path | None = None, path: Path | None = None
) -> Path:
    """As `save_context`, for a session: {"name", "access_token", "refresh_token", "expires_at"}. `path`: where it was read."""
    path = path or (home or Path.home()) / USER
    private_dir(path.parent)
    kept = {"url": url, "ca": ca, "session": {key: session.get(key) for key in SESSION_KEYS}}
    write_atomic(path, json.dumps(kept, indent=2).encode() + b"\n", mode=0o600)
    return path


def forget_context(*, home: Path | None = None) -> Path | None:
    """Remove what `save_context` wrote; its path, or None when there was nothing."""
    path = (home or Path.home()) / USER
    try:
        path.unlink()
    except FileNotFoundError:
        return None
    return path


def _stored(cwd: Path, home: Path) -> tuple[Path | None, Mapping[str, Any]]:
    for path in _candidates(cwd, home):
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_uid not in (os.geteuid(), 0):
                    continue
                data = json.loads(file.read(1 << 20))
        except OSError:
            continue
        except ValueError as error:
            raise Invalid(
                f"cannot read the context file {str(path)!r}: {error}",
                element=str(path),
                hint="remove it, or run: corral login",
            ) from None
        if isinstance(data, dict) and isinstance(data.get("url"), str):
            return path, data
    return None, {}


def _candidates(cwd: Path, home: Path) -> Iterator[Path]:
    yield cwd / LOCAL
    uid = os.geteuid()
    for parent in cwd.parents:
        try:
            if parent.stat().st_uid != uid:
                break
        except OSError:
            break
        yield parent / LOCAL
    yield home / USER
