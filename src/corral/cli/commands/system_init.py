"""`corral system init` and `corral system engine-config`: what is made on the server's machine before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from corral.cli import exits
from corral.cli.commands.on_server import operate
from corral.cli.options import verb
from corral.cli.output.table import render
from corral.cli.session import Session

_PORT = click.IntRange(1, 65535)


@verb(
    None,
    "init",
    server=False,
    examples=(
        "corral system init --hosts corral.example.org",
        "corral system init --output-dir /srv/corral --hosts corral.example.org,10.0.0.5",
        "corral system init --dry-run",
    ),
)
@click.option("--output-dir", metavar="DIR", help="Data directory of the server (default /var/lib/corral).")
@click.option("--hosts", metavar="A,B,IP", help="Names and addresses it is reached by (default: this machine's name).")
@click.option("--public-url", metavar="URL", help="What nodes are told (default: https://<first host>:<https port>).")
@click.option("--http-port", type=_PORT, metavar="N", help="Plain HTTP on loopback (default 8080).")
@click.option("--https-port", type=_PORT, metavar="N", help="HTTPS (default 8443).")
@click.option("--engine-port", type=_PORT, metavar="N", help="Engine, TLS (default 4222).")
@click.option(
    "--force", is_flag=True, help="New CA and keys; the old ones are moved aside. All nodes must enrol again."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
async def init(session: Session, output_dir: str | None, hosts: str | None, dry_run: bool, **given: Any) -> int:
    """Make CA, certificates, keys and corral.toml of a server that nodes reach over the network.

    Run it again to renew certificates or to change hosts: nothing that exists is replaced without --force.
    """
    module = operate("init")
    options = {name: value for name, value in given.items() if value is not None}
    if output_dir is not None:
        options["output_dir"] = Path(output_dir)
    options["hosts"] = tuple((hosts or "").split(","))
    done = module.init(module.InitOptions(**options), session.clock, dry_run=dry_run)
    data = {
        "config": str(done.config),
        "url": done.public_url,
        "hosts": list(done.hosts),
        "ca_fingerprint": done.fingerprint,
        "dry_run": dry_run,
        "steps": [{"path": str(step.path), "did": step.did, "note": step.note} for step in done.steps],
    }
    session.show(data, names=[str(done.config)], table=lambda wide: _report(done, dry_run))
    return exits.OK


def _report(done: Any, dry_run: bool) -> str:
    rows = [[f"would be {step.did}" if dry_run else step.did, str(step.path), step.note] for step in done.steps]
    lines = [render(["", "FILE", "NOTE"], rows)]
    if not dry_run:
        folder = done.config.parent
        url = done.public_url
        lines += [
            "",
            "next:",
            f"  corral server --config {done.config}",
            f"  corral login --url {url} --ca {folder / 'pki' / 'ca.pem'} --token-file {folder / 'admin.token'}",
            "  corral token create          (prints the line to type on each node)",
        ]
    return "\n".join(lines)


@verb(
    None,
    "engine-config",
    server=False,
    formats=False,
    examples=(
        "corral system engine-config --config /etc/corral/corral.toml > nats.conf",
        "corral system engine-config --config corral.toml --store-dir /var/lib/nats --listen 0.0.0.0:4222",
    ),
)
@click.option("--config", metavar="FILE", help="The server's configuration (default: ./corral.toml, /etc/corral).")
@click.option("--store-dir", default="/var/lib/nats", metavar="DIR", help="Where that engine keeps its streams.")
@click.option("--listen", metavar="HOST:PORT", help="Where it listens (default 0.0.0.0:4222).")
@click.option("--monitor-port", type=click.IntRange(0, 65535), default=8222, help="Its monitoring, on loopback.")
@click.option("--tls-cert", metavar="FILE", help="Its certificate there (default: the configured engine.tls_cert).")
@click.option("--tls-key", metavar="FILE", help="The certificate's key there (default: the configured engine.tls_key).")
async def engine_config(session: Session, config: str | None, **given: Any) -> int:
    """Print the nats-server configuration of an engine that runs elsewhere, for engine.urls. It holds no secret."""
    text = await operate("engine_config").engine_config(Path(config) if config else None, **given)
    sys.stdout.write(text)
    return exits.OK
