"""`corral whoami`: as whom the server knows you, and what you may do."""

from __future__ import annotations

from corral.cli.options import verb
from corral.cli.output.units import show_time
from corral.cli.session import Session
from corral.sdk.models import parse_time


@verb(None, "whoami", examples=("corral whoami", "corral whoami -o json"))
async def command(session: Session) -> None:
    """Name, how you logged in, until when, and your permissions with the nodes they hold on."""
    async with session.connect() as fleet:
        who = await fleet.system.whoami()
        url = fleet.context.url

    def table(wide: bool) -> str:
        how = {"token": "an API token", "user": who.get("method"), "session": who.get("method")}.get(str(who["kind"]))
        lines = [f"{who['name']} at {url}, by {how or who['kind']}"]
        if who.get("expires_at"):
            lines.append(f"session until {show_time(parse_time(who['expires_at']))}")
        if who.get("must_change"):
            lines.append("your password was set by somebody else: nothing works until you run: corral user passwd")
        grants = who.get("grants")
        if grants is None:
            lines.append(f"on every node: {', '.join(who['permissions'])}")
        else:
            lines += [
                f"on {grant['selector']}{' (' + grant['role'] + ')' if grant['role'] else ''}: "
                f"{', '.join(grant['permissions'])}"
                for grant in grants
            ]
            if not grants and not who.get("must_change"):
                lines.append("nothing yet: somebody has to grant you a role (corral role grant)")
        return "\n".join(lines)

    session.show(who, names=[str(who["name"])], table=table)
