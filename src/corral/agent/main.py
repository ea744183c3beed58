"""`corral agent daemon|worker|enroll|renew|status`: what runs on a node. No argparse: the two long-lived processes stay small."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from corral.agent.config import DEFAULT_STATE, AgentSettings, StateDir
from corral.domain.errors import CorralError, Invalid

_HELP: Final = {
    "": """\
usage: corral agent daemon|worker|enroll|renew|status [--help]

  enroll   make this machine a node of a server
  daemon   presence, facts, metrics and the keeper of the worker (runs until stopped)
  worker   runs the commands of the fleet (runs until stopped)
  status   what daemon and worker of this machine say of themselves
  renew    get a new credential now (the daemon does it by itself)
""",
    "daemon": """\
usage: corral agent daemon [--state DIR] [--<setting> VALUE …]

Runs in the foreground until TERM. Every setting of <state>/agent.toml can be given as a flag.

examples:
  corral agent daemon --state /var/lib/corral-agent
  corral agent daemon --log-level debug --keep-worker false
""",
    "worker": """\
usage: corral agent worker [--state DIR] [--<setting> VALUE …]

Runs in the foreground until TERM; running tasks survive it and are adopted by the next worker.

examples:
  corral agent worker --state /var/lib/corral-agent
  corral agent worker --slots 4
""",
    "enroll": """\
usage: corral agent enroll --server URL --token TOKEN [--state DIR] [--node-id ID] [--reset] [--write-units [--unit-dir DIR]]

  --server URL    https://host:port (http:// only on the server's own machine)
  --token TOKEN   as `corral token create` printed it
  --state DIR     where this node keeps its things (default /var/lib/corral-agent)
  --node-id ID    instead of the host name (--id for short)
  --reset         give the identity in DIR up and enrol anew
  --write-units   write the two systemd units instead of printing them
  --unit-dir DIR  where to write them (default /etc/systemd/system)

examples:
  corral agent enroll --server https://corral.example.org:8443 --token cj1.T0ABC.…
  corral agent enroll --server http://127.0.0.1:8080 --token cj1.… --state ./node --node-id web-1
""",
    "renew": """\
usage: corral agent renew [--state DIR]

Works before and after the old credential has expired, as long as the server knows this node.

example:
  corral agent renew --state /var/lib/corral-agent
""",
    "status": """\
usage: corral agent status [--state DIR] [-o text|json]

example:
  corral agent status -o json
""",
}
_OPTIONS: Final = {
    "enroll": (("server", "token", "state", "node-id", "id", "unit-dir"), ("reset", "write-units")),
    "renew": (("state",), ()),
    "status": (("state", "o", "output"), ()),
}


def main(words: Sequence[str]) -> int:
    """Run one verb; the exit status is the error's own."""
    verb, rest = (words[0] if words else ""), list(words[1:])
    try:
        if verb not in _HELP or not verb or "--help" in rest or "-h" in rest:
            print(_HELP.get(verb, _HELP[""]), end="")
            return 0 if verb and verb in _HELP else 2
        return _run(verb, rest)
    except CorralError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_status
    except PermissionError as error:
        print(f"error: cannot use {error.filename!r}: {error.strerror}", file=sys.stderr)
        print("hint: run it as the user who owns the state directory (often root)", file=sys.stderr)
        return 1


def _run(verb: str, words: list[str]) -> int:
    if verb in ("daemon", "worker"):
        settings = _settings(verb, words)
        if verb == "daemon":
            from corral.agent.daemon.main import main as run_daemon

            return run_daemon(settings)
        from corral.agent.worker.main import main as run_worker

        result: int = run_worker(settings, _facts)
        return result
    options = _options(verb, words)
    state = Path(options.get("state", DEFAULT_STATE)).absolute()
    if verb == "enroll":
        from corral.agent.joined import run_enroll

        return run_enroll(options, state)
    if verb == "renew":
        from corral.agent.renew import renew

        identity = renew(StateDir(state))
        print(f"renewed the credential of {identity.node_id}")
        return 0
    from corral.agent.status import show

    return show(StateDir(state), json_output=options.get("o", options.get("output", "text")) == "json")


def _facts() -> Mapping[str, Any]:
    """What templates may name; the collector is loaded when the first template asks."""
    from corral.agent.daemon.facts import collect

    return collect()


def _settings(verb: str, words: list[str]) -> AgentSettings:
    from dataclasses import fields

    from corral.agent.settings import load_settings

    names = {field.name.replace("_", "-"): field.name for field in fields(AgentSettings)}
    names["state"] = "state_dir"
    given = _parse(verb, words, values=tuple(names), switches=())
    return load_settings({names[name]: value for name, value in given.items()})


def _options(verb: str, words: list[str]) -> Mapping[str, str]:
    values, switches = _OPTIONS[verb]
    return _parse(verb, words, values=values, switches=switches)


def _parse(verb: str, words: list[str], *, values: Sequence[str], switches: Sequence[str]) -> dict[str, str]:
    """`--name value`, `--name=value`, `-o value` and switches; anything else is refused by name."""
    given: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name not in (*values, *switches):
            raise Invalid(
                f"cannot use {word!r} with corral agent {verb}: no such option",
                element=word,
                hint=f"corral agent {verb} --help lists them",
            )
        if name in switches:
            given[name] = "yes"
        elif equals:
            given[name] = value
        elif rest:
            given[name] = rest.pop(0)
        else:
            raise Invalid(f"cannot use {word!r}: it wants a value", element=word, hint=f"corral agent {verb} --help")
    return given
