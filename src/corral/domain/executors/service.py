"""Kind service: start, stop and look at a systemd unit of the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.domain.executors.contract import ExecutorKind

ACTIONS: Final = ("status", "start", "stop", "restart", "reload", "enable", "disable")
SUFFIXES: Final = (".service", ".socket", ".timer", ".target", ".path", ".mount")

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["action", "unit"],
    "properties": {
        "action": {"type": "string", "enum": list(ACTIONS)},
        "unit": {
            "type": "string",
            "minLength": 1,
            "maxLength": 250,
            "pattern": r"^[A-Za-z0-9_@.:\\][A-Za-z0-9_@.:\\-]*\Z",
            "description": "a unit of systemd; .service may be left out",
        },
        "now": {"type": "boolean", "default": False, "description": "with enable and disable: start or stop it too"},
        "wait_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": 3600,
            "default": 30,
            "description": "how long it may take until it is active (stop: inactive); 0: do not look",
        },
    },
}


def unit_name(params: Mapping[str, Any]) -> str:
    """The unit's whole name."""
    unit: str = params["unit"]
    return unit if unit.endswith(SUFFIXES) else f"{unit}.service"


def words(params: Mapping[str, Any]) -> Sequence[str]:
    """What a command policy judges: whoever may not run systemctl may not do it this way either."""
    now = ("--now",) if params.get("now") else ()
    return ("systemctl", str(params.get("action")), *now, unit_name(params))


KIND: Final = ExecutorKind(
    name="service",
    summary="Start, stop, restart, enable or look at a systemd unit",
    module="corral.agent.executors.service",
    permission="service.run",
    schema=SCHEMA,
    line=lambda params: f"{params['action']} {unit_name(params)}",
    changes=lambda params: params.get("action") != "status",
    words=words,
)
