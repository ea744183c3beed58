"""`corral logout`: forget the server and the token that `corral login` remembered."""

from __future__ import annotations

from corral.cli import exits
from corral.cli.options import verb
from corral.cli.session import Session
from corral.sdk.context import find_context, forget_context


@verb(None, "logout", formats=False, server=False, examples=("corral logout",))
async def command(session: Session) -> int:
    """Remove ~/.config/corral/local.json. The token itself stays valid until it expires or is revoked."""
    gone = forget_context()
    session.note(f"removed {gone}" if gone is not None else "nothing to remove: nobody is logged in")
    left = find_context()
    if left.file is not None or left.token is not None:
        session.note(f"note: {left.origin.get('token') or left.file} still names a server here")
    return exits.OK
