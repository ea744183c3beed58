"""`corral doctor`: is this installation all right, and if not, what to do."""

from __future__ import annotations

import sys
from dataclasses import asdict

from corral.cli import exits
from corral.cli.checks import local_checks, server_checks
from corral.cli.finding import Finding
from corral.cli.options import verb
from corral.cli.output.terminal import cell
from corral.cli.session import Session

_COLOURS = {"OK": "32", "WARN": "33", "FAIL": "31"}


@verb(
    None,
    "doctor",
    examples=("corral doctor", "corral doctor -o json", "corral doctor --url https://corral.example.com:8443"),
)
async def command(session: Session) -> int:
    """Check server, credential, clock, nodes and this machine; every problem comes with a remedy. Exit 1 on FAIL."""
    context = session.context()
    findings = list(local_checks(context))
    async with session.connect() as fleet:
        findings += await server_checks(session, fleet)
    session.show(
        [asdict(finding) for finding in findings],
        names=[finding.check for finding in findings if finding.status != "OK"],
        table=lambda wide: report(session, findings),
    )
    return exits.FAILED if any(finding.status == "FAIL" for finding in findings) else exits.OK


def report(session: Session, findings: list[Finding]) -> str:
    lines = []
    for finding in findings:
        status = session.paint(f"{finding.status:<4}", _COLOURS[finding.status], sys.stdout)
        lines.append(f"{status}  {finding.check:<8}  {cell(finding.text)}")
        if finding.remedy:
            lines.append(f"{'':<16}→ {cell(finding.remedy)}")
    return "\n".join(lines)
