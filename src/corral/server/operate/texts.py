"""The files `corral system init` writes for people to read and edit: corral.toml and an example for containers. Pure texts.

The first line of corral.toml carries a digest of the rest, so that a later `init` knows whether a person has edited the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "# Written by 'corral system init', digest "


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the server listens and what it tells others."""

    public_url: str
    engine_urls: Sequence[str]
    http_port: int = 8080
    https_port: int = 8443
    engine_port: int = 4222


def server_toml(data_dir: Path, addresses: Addresses) -> str:
    pki = data_dir / "pki"
    body = f"""\
# Every setting, with its value and origin: corral config show --config FILE --origin
# Any of them can be given as CORRAL__SECTION__KEY in the environment too.

[server]
data_dir = {_text(data_dir)}
# Plain HTTP, for programs on this machine only.
host = "127.0.0.1"
port = {addresses.http_port}
# HTTPS, for everybody else.
tls_host = "0.0.0.0"
tls_port = {addresses.https_port}
tls_cert = {_text(pki / "server.pem")}
tls_key = {_text(pki / "server.key")}
# What join tokens and login links hand out.
public_url = {_text(addresses.public_url)}

[engine]
host = "0.0.0.0"
port = {addresses.engine_port}
tls_cert = {_text(pki / "engine.pem")}
tls_key = {_text(pki / "engine.key")}
tls_ca = {_text(pki / "ca.pem")}
# What nodes are told at enrolment.
public_urls = {json.dumps(list(addresses.engine_urls))}

# [sql]
# url = "postgresql://corral:password@db.example.org/corral"
"""
    return f"{MARK}{_digest(body)}\n{body}"


def is_untouched(text: str) -> bool:
    """Whether this is a file of ours that nobody has edited."""
    first, _, body = text.partition("\n")
    return first == MARK + _digest(body)


def moved(text: str, old: str, new: str) -> str:
    """The same configuration for a data directory that lies elsewhere now; still untouched when it was."""
    if old == new:
        return text
    changed = text.replace(f'"{old}/', f'"{new}/').replace(f'"{old}"', f'"{new}"')
    if not is_untouched(text):
        return changed
    body = changed.partition("\n")[2]
    return f"{MARK}{_digest(body)}\n{body}"


def compose_yaml(data_dir: Path, addresses: Addresses) -> str:
    return f"""\
# An example, to be adapted: the server in a container, with the data and the keys of this directory.
# The image is any that has Python 3.11 and 'corral[server]' installed.
services:
  corral:
    image: corral:latest
    command: ["corral", "server", "--config", {_text(data_dir / "corral.toml")}]
    restart: unless-stopped
    stop_grace_period: 30s
    ports:
      - "{addresses.https_port}:{addresses.https_port}"
      - "{addresses.engine_port}:{addresses.engine_port}"
    volumes:
      - {_text(f"{data_dir}:{data_dir}")}
    ulimits:
      nofile: 65536
"""


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _text(value: str | Path) -> str:
    """A basic string of TOML, which is one of JSON and YAML too."""
    return json.dumps(str(value), ensure_ascii=False)
