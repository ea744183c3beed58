"""The words around enrolling: its options, what is printed afterwards, and writing the systemd units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from corral.agent.command import agent_argv
from corral.agent.enroll import Enrolled, Enrolment, enroll
from corral.agent.units import ROLES, UNIT_DIR, bare_command, unit_name, unit_text
from corral.domain.errors import Invalid
from corral.runtime.clock import SystemClock
from corral.runtime.files import write_atomic


def run_enroll(options: Mapping[str, str], state: Path) -> int:
    for name in ("server", "token"):
        if not options.get(name):
            raise Invalid(
                f"cannot enrol: --{name} is missing",
                element=f"--{name}",
                hint="corral token create, on the server, prints the whole command",
            )
    asked = Enrolment(
        server=options["server"],
        token=options["token"],
        state_dir=state,
        node_id=options.get("node-id") or options.get("id", ""),
        reset="reset" in options,
    )
    done = enroll(asked, SystemClock())
    print(_headline(done, state))
    if "write-units" in options:
        print(write_units(Path(options.get("unit-dir", UNIT_DIR)), state))
    elif done.fresh:
        print(how_to_start(state, systemd=Path("/run/systemd/system").is_dir()))
    return 0


def write_units(directory: Path, state: Path) -> str:
    """Write both units and return what to do next. Starts nothing."""
    for role in ROLES:
        write_atomic(directory / unit_name(role), unit_text(role, agent_argv(role, state)).encode(), mode=0o644)
    names = " ".join(unit_name(role) for role in ROLES)
    return f"wrote {names} to {directory}; start them:\n  systemctl daemon-reload && systemctl enable --now {names}"


def how_to_start(state: Path, *, systemd: bool) -> str:
    if not systemd:
        lines = [f"  {bare_command(agent_argv(role, state))}" for role in ROLES]
        return "start its two processes:\n" + "\n".join(lines)
    units = [f"# {UNIT_DIR}/{unit_name(role)}\n{unit_text(role, agent_argv(role, state))}" for role in ROLES]
    return "its two systemd units (--write-units writes them):\n\n" + "\n".join(units)


def _headline(done: Enrolled, state: Path) -> str:
    identity = done.identity
    if done.fresh:
        return f"enrolled {identity.node_id} at {identity.server_url}; its identity is in {state}"
    return f"already enrolled: {identity.node_id} at {identity.server_url} (--reset to do it again)"
