"""What follows a committed change, always in this order: watchers hear of it, deliveries that became due are pushed."""

from __future__ import annotations

from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.jobs.events import EventHub
from corral.server.application.ports.jobs import Changed


class Aftermath:
    """Never waits and never fails; call it after the commit, whoever made the change."""

    def __init__(self, *, events: EventHub, dispatcher: Dispatcher) -> None:
        self._events = events
        self._dispatcher = dispatcher

    def of(self, changed: Changed) -> None:
        self._events.publish(changed)
        self._dispatcher.hand(changed.released)
