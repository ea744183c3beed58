"""`corral why`: one answer to "why is this not done?" and "why was this node not picked?"."""

from __future__ import annotations

import click

from corral.cli.options import target, verb
from corral.cli.output.terminal import cell
from corral.cli.session import Session
from corral.domain.errors import Invalid
from corral.domain.ids import OBJECT_ID


@verb(
    None,
    "why",
    examples=(
        "corral why J01ABC                     why is this job not done, or failed?",
        "corral why J01ABC web-3               and on this node?",
        "corral why R01ABC                     where does this rollout stand, and why?",
        "corral why web-3                      why is this node offline?",
        'corral why -t \'labels["env"] == "prod"\' web-3   which clause excludes it?',
    ),
)
@click.argument("id")
@click.argument("node", required=False)
@target(required=False, help="Explain whether this selector picks the node.")
async def command(session: Session, id: str, node: str | None, target: str | None) -> None:
    """Say why a job, a rollout or a node stands where it stands."""
    async with session.connect() as fleet:
        if target is not None:
            if node is not None:
                raise Invalid(
                    "cannot explain a selector and a job at once", element="target", hint="corral why -t SEL NODE"
                )
            answer = await fleet.nodes.explain(target, id)
            clauses = [
                f"  {_mark(clause.get('value'))}  {cell(clause.get('text', ''))}{_actual(clause.get('actual'))}"
                for clause in answer.get("clauses") or ()
            ]
            word = "picks" if answer.get("matches") else "does not pick"
            text = "\n".join([f"{cell(target)} {word} {id}:", *clauses])
            session.show(answer, names=[id] if answer.get("matches") else [], table=lambda wide: text)
            return
        if node is None and not OBJECT_ID.match(id):
            found = await fleet.nodes.get(id)
            from corral.cli.output.nodes import presence_story

            story = presence_story(found, session.clock.now())
            session.show(dict(found.raw), names=[id], table=lambda wide: "\n".join(story))
            return
        if node is None and id.startswith("R"):
            story_of = await fleet.rollouts.why(id)
            said = [f"{id}: {story_of.state}", *(f"  {cell(line)}" for line in story_of.lines)]
            session.show(dict(story_of.raw), names=[id], table=lambda wide: "\n".join(said))
            return
        why = await fleet.jobs.why(id, node)
    lines = [f"{id}: {why.state}" if why.state else id, *(f"  {cell(line)}" for line in why.lines)]
    session.show(dict(why.raw), names=[id], table=lambda wide: "\n".join(lines))


def _actual(value: object) -> str:
    return f"   (it has: {cell(value)})" if value not in (None, "") else ""


def _mark(value: object) -> str:
    return {True: "yes", False: "no ", None: "?  "}.get(value if isinstance(value, bool) else None, "?  ")
