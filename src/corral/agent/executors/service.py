"""The service executor: systemctl, and then a look whether the unit really is what was asked for.

A unit that starts and falls over a moment later is a failure, so after start, restart and reload the unit has to be active, and what
systemd says of it is shown when it is not. A cancel ends systemctl; what systemd began it brings to its end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from corral.agent.executors.contract import Failed, MissingDriver, Request, emit, main, result
from corral.domain.executors.service import KIND, unit_name
from corral.runtime.capture import Captured, capture
from corral.runtime.clock import Clock, SystemClock, iso
from corral.runtime.process import DEFAULT_PATH, find_program

POLL_SECONDS: Final = 0.2
_PROPERTIES: Final = "LoadState,ActiveState,SubState,UnitFileState,MainPID,ActiveEnterTimestamp,InvocationID,LoadError"
_NO_SYSTEMD: Final = (
    "not been booted with systemd",
    "failed to connect to bus",
    "failed to connect to system scope bus",
)
_GOAL: Final = {"start": "active", "restart": "active", "reload": "active", "stop": "inactive"}
_SETTLED: Final = {"active": ("active",), "inactive": ("inactive", "failed")}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What systemd says of a unit."""

    load: str
    active: str
    sub: str
    enabled: str
    main_pid: int
    since: str | None
    invocation: str

    @property
    def words(self) -> str:
        return f"{self.active} ({self.sub})" + (f", {self.enabled}" if self.enabled else "")


class Systemctl:
    """Raises MissingDriver where there is no systemd, Failed when systemctl does."""

    def __init__(self, *, deadline_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._deadline = clock.monotonic() + deadline_seconds
        found = find_program("systemctl", os.environ.get("PATH") or DEFAULT_PATH, "/")
        if found is None:
            self._no_systemd("there is no systemctl on PATH")
        self._program = found

    def left(self) -> float:
        return max(0.0, self._deadline - self._clock.monotonic())

    def call(self, verb: str, *rest: str) -> Captured:
        try:
            done = capture(
                (self._program, verb, *rest),
                timeout_seconds=self.left() or 0.001,
                env={"LC_ALL": "C", "TZ": "UTC", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"},
            )
        except TimeoutError:
            raise Failed(
                f"cannot {verb} {rest[-1]!r}: systemctl did not end in time", hint="give the task more time"
            ) from None
        except OSError as error:
            raise Failed(f"cannot run {self._program!r}: {error.strerror}") from None
        if done.status and any(words in done.err.lower() for words in _NO_SYSTEMD):
            self._no_systemd(done.err.strip().splitlines()[0])
        return done

    def show(self, unit: str) -> Unit:
        done = self.call("show", f"--property={_PROPERTIES}", "--", unit)
        if done.status:
            raise Failed(f"cannot look at {unit!r}: {_said(done)}")
        found = dict(line.partition("=")[::2] for line in done.out.splitlines())
        if found.get("LoadState") == "not-found":
            raise Failed(
                f"cannot find {unit!r}: this node has no such unit", hint="systemctl list-unit-files on the node"
            )
        return Unit(
            load=found.get("LoadState", ""),
            active=found.get("ActiveState", "unknown"),
            sub=found.get("SubState", ""),
            enabled=found.get("UnitFileState", ""),
            main_pid=int(found.get("MainPID") or 0),
            since=_moment(found.get("ActiveEnterTimestamp", "")),
            invocation=found.get("InvocationID", ""),
        )

    @staticmethod
    def _no_systemd(cause: str) -> NoReturn:
        raise MissingDriver(
            f"cannot manage services: this node runs no systemd ({cause})",
            hint="use exec with the service manager this node has, for example rc-service or supervisorctl",
        )


def run(request: Request) -> None:
    """Raises Failed, MissingDriver."""
    params = request.params
    unit, action = unit_name(params), params["action"]
    systemctl = Systemctl(deadline_seconds=request.deadline_seconds, clock=SystemClock())
    before = systemctl.show(unit)
    if action == "status" or request.dry_run:
        emit(f"{unit}: {before.words}" if action == "status" else f"would {action} {unit}: it is {before.words}")
        result(_outcome(params, before, before))
        return
    if before.load == "masked" and action in ("start", "restart", "enable"):
        raise Failed(f"cannot {action} {unit!r}: it is masked", hint=f"systemctl unmask {unit} on the node")
    now = ("--now",) if params["now"] and action in ("enable", "disable") else ()
    done = systemctl.call(action, *now, "--", unit)
    after = systemctl.show(unit) if done.status else _settled(systemctl, params, unit)
    result(_outcome(params, before, after))
    emit(f"{unit}: {after.words}")
    goal = _goal(params)
    if done.status == 0 and (not goal or not params["wait_seconds"] or after.active in _SETTLED[goal]):
        return
    status = systemctl.call("status", "--no-pager", "--lines=10", "--", unit)
    emit(status.out.rstrip("\n"))
    if done.status:
        raise Failed(f"cannot {action} {unit!r}: {_said(done)}")
    raise Failed(
        f"cannot {action} {unit!r}: it is {after.active} ({after.sub}) after {params['wait_seconds']:g} s, not {goal}",
        hint=f"journalctl -u {unit} on the node says why",
    )


def _goal(params: Mapping[str, Any]) -> str:
    if params["now"] and params["action"] in ("enable", "disable"):
        return "active" if params["action"] == "enable" else "inactive"
    return _GOAL.get(params["action"], "")


def _settled(systemctl: Systemctl, params: Mapping[str, Any], unit: str) -> Unit:
    """The unit once it is what was asked for, has failed, or the time is up."""
    found = systemctl.show(unit)
    goal = _goal(params)
    end = systemctl.left() - params["wait_seconds"]
    while goal and found.active not in (*_SETTLED[goal], "failed") and systemctl.left() > max(end, 0.0):
        # not Clock.sleep: this is no loop, and a cancel has to interrupt it
        threading.Event().wait(POLL_SECONDS)
        found = systemctl.show(unit)
    return found


def _outcome(params: Mapping[str, Any], before: Unit, after: Unit) -> dict[str, Any]:
    changed = (before.active, before.enabled, before.invocation) != (after.active, after.enabled, after.invocation)
    return {
        "unit": unit_name(params),
        "action": params["action"],
        "changed": changed,
        "active": after.active,
        "sub": after.sub,
        "enabled": after.enabled,
        "main_pid": after.main_pid,
        "since": after.since,
    }


def _moment(text: str) -> str | None:
    """systemd's own way to write a time, in UTC, as everything else of ours writes it."""
    try:
        return iso(datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC))
    except ValueError:
        return text or None


def _said(done: Captured) -> str:
    lines = (done.err or done.out).strip().splitlines()
    return lines[0][:300] if lines else f"systemctl ended with status {done.status}"


if __name__ == "__main__":
    main(KIND, run)
