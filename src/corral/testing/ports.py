"""A TCP port of loopback for a server that is started, killed and started again on it.

Below the range from which the kernel gives ports to outgoing connections: a free one of that range is taken by some connection before
the server gets to it, now and then.
"""

from __future__ import annotations

import random
import socket
from typing import Final

_FIRST: Final = 10_000
_BELOW: Final = 32_000
_TRIES: Final = 1000


def free_port() -> int:
    """Raises OSError when none is found."""
    for _ in range(_TRIES):
        port = random.randrange(_FIRST, _BELOW)  # noqa: S311  # so that two runs at once rarely choose the same; no secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {_FIRST} and {_BELOW} on loopback")
