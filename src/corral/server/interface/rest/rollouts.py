"""The rollouts routes: decode, one use case, encode."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

import msgspec
from litestar.params import HeaderParameter
from litestar.response import Stream

from corral.domain.errors import Invalid
from corral.domain.rollout_state import TERMINAL, RolloutState
from corral.server.application.ports.access import Caller
from corral.server.application.rollouts.listing import RolloutView
from corral.server.application.rollouts.room import RolloutRoom
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.rollouts_types import (
    CreateBody,
    RollbackBody,
    RolloutJson,
    RolloutWhyJson,
    plain_json,
    planned_json,
    view_json,
    why_json,
)
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.sse import SseEvent, sse

Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", required=False)]
TAGS: Final = ("rollouts",)
_ENCODER = msgspec.json.Encoder()


async def create(
    rollouts: RolloutRoom, caller: Caller, data: CreateBody, idempotency_key: Key = None
) -> Envelope[RolloutJson]:
    """Accepted = committed; stage 1 starts within a moment. With dry_run nothing is stored and nothing starts."""
    wanted = data.wanted()
    if data.dry_run:
        return ok(planned_json(await rollouts.creation.plan(caller, wanted), dry_run=True))
    operation = None if not idempotency_key else _operation(caller, idempotency_key)
    return ok(planned_json(await rollouts.creation.create(caller, wanted, operation), dry_run=False))


async def list_rollouts(
    rollouts: RolloutRoom, caller: Caller, states: list[str] | None = None, limit: int = 50, cursor: str | None = None
) -> Envelope[list[RolloutJson]]:
    """Newest first; counts are in each one's own page."""
    page = await rollouts.listing.list(caller, states=_states(states), limit=limit, cursor=cursor)
    return ok([plain_json(rollout) for rollout in page.items], next=page.next)


async def get_rollout(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Envelope[RolloutJson]:
    """The rollout with the counts of each stage as they are now."""
    return ok(view_json(await rollouts.listing.get(caller, rollout)))


async def advance(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Envelope[RolloutJson]:
    """Let the next stage start; refused while the gate of the one before has not passed."""
    return ok(view_json(await rollouts.listing.view(await rollouts.steering.advance(caller, rollout))))


async def pause(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Envelope[RolloutJson]:
    """Nothing new starts; what is out goes on."""
    return ok(view_json(await rollouts.listing.view(await rollouts.steering.pause(caller, rollout))))


async def resume(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Envelope[RolloutJson]:
    """Go on after a pause; a stage that failed is judged again as its tasks are now."""
    return ok(view_json(await rollouts.listing.view(await rollouts.steering.resume(caller, rollout))))


async def abort(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Envelope[RolloutJson]:
    """Stop for good: no new stage, the tasks of the current one are cancelled, the rollout has failed. It can still be rolled back."""
    return ok(view_json(await rollouts.listing.view(await rollouts.steering.abort(caller, rollout))))


async def rollback(
    rollouts: RolloutRoom, caller: Caller, rollout: str, data: RollbackBody | None = None
) -> Envelope[RolloutJson]:
    """Take back what was touched, in stages, those that failed first. `command` undoes it where nothing else is known to."""
    command = None if data is None or data.command is None else data.command.spec()
    return ok(view_json(await rollouts.listing.view(await rollouts.steering.roll_back(caller, rollout, command))))


async def why(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Envelope[RolloutWhyJson]:
    """Where the rollout stands and why, in sentences."""
    return ok(why_json(await rollouts.explanation.why(caller, rollout)))


async def events(rollouts: RolloutRoom, caller: Caller, rollout: str) -> Stream:
    """Server-Sent Events: `rollout` now and whenever something changes, `end` once it is over."""
    return sse(_events(await rollouts.listing.watch(caller, rollout)))


async def _events(views: AsyncGenerator[RolloutView, None]) -> AsyncGenerator[SseEvent, None]:
    async with aclosing(views):
        async for view in views:
            over = view.rollout.state in TERMINAL
            yield "end" if over else "rollout", None, _ENCODER.encode(view_json(view))


def _operation(caller: Caller, key: str) -> str:
    # Per caller, of one length whatever was sent, and never a name that another caller's rollout has.
    return hashlib.sha256(f"{caller.user}\n{caller.name}\n{key}".encode()).hexdigest()


def _states(given: list[str] | None) -> list[RolloutState]:
    words = [word for text in given or () for word in text.split(",") if word]
    known = {state.value: state for state in RolloutState}
    for word in words:
        if word not in known:
            raise Invalid(
                f"cannot filter by state {word[:40]!r}: expected one of {', '.join(known)}",
                element="states",
                hint="for example states=running,paused",
            )
    return [known[word] for word in words]


def _steer(verb: str, handler: object, summary: str) -> Route:
    assert callable(handler)
    return Route(
        method="POST",
        path=f"/rollouts/{{rollout:str}}/{verb}",
        permission="rollout.write",
        handler=handler,
        summary=summary,
        tags=TAGS,
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/rollouts",
        permission="rollout.write",
        handler=create,
        summary="Bring a change to nodes in stages",
        status=201,
        operation=True,
        body_max_bytes=24 << 20,
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/rollouts",
        permission="rollout.read",
        handler=list_rollouts,
        summary="List rollouts",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/rollouts/{rollout:str}",
        permission="rollout.read",
        handler=get_rollout,
        summary="Show a rollout",
        tags=TAGS,
    ),
    _steer("advance", advance, "Let the next stage start"),
    _steer("pause", pause, "Pause a rollout"),
    _steer("resume", resume, "Go on with a paused rollout"),
    _steer("abort", abort, "Stop a rollout for good"),
    _steer("rollback", rollback, "Take a rollout back"),
    Route(
        method="GET",
        path="/rollouts/{rollout:str}/why",
        permission="rollout.read",
        handler=why,
        summary="Why a rollout is where it is",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/rollouts/{rollout:str}/events",
        permission="rollout.read",
        handler=events,
        summary="Watch a rollout",
        tags=TAGS,
        raw=True,
    ),
)
