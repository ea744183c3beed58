"""Ctrl-C has to reach the programs these tests start, also when the run itself was started in the background.

A shell has its background jobs ignore SIGINT, and what ignores it passes that on to every program it starts.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
