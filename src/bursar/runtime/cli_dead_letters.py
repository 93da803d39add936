"""Commands on events that were not let in: what they are, and another try."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from bursar.core.errors import Invalid
from bursar.core.page import Page
from bursar.db.database import Database
from bursar.invoicing.adjusting import adjust_replayed
from bursar.runtime.output import (
    WORKSPACE,
    DataDirOption,
    JsonOption,
    UrlOption,
    WorkspaceOption,
    instant,
    progress,
    show,
    table,
)
from bursar.runtime.session import caller_in, on_database
from bursar.usage.dead_letters import DeadLetter, Wanted, list_refused
from bursar.usage.replays import AT_ONCE, Replayed, replay_ids, replay_matching
from bursar.usage.states import State

events = typer.Typer(help="Events that were not let in.", no_args_is_help=False, rich_markup_mode=None)

PAGE_LIMIT = 100
SHOWN = 20
"""Events that stay refused, of which a replay tells each."""

ReasonOption = Annotated[str | None, typer.Option(help="Only those in this state, such as FAILED_ACCOUNT_NOT_FOUND.")]
AccountOption = Annotated[
    str | None, typer.Option(help="Only those sent for this account id or alias, or whose account it leads to.")
]
SchemaOption = Annotated[str | None, typer.Option(help="Only those of the event schema of this name.")]
SinceOption = Annotated[str | None, typer.Option(help="Only those received at this instant or later.")]
UntilOption = Annotated[str | None, typer.Option(help="Only those received before this instant.")]


@events.command(
    "rejected", epilog="Example: bursar events rejected --reason FAILED_ACCOUNT_NOT_FOUND --workspace trial"
)
def rejected(
    reason: ReasonOption = None,
    account: AccountOption = None,
    schema: SchemaOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=PAGE_LIMIT)] = 20,
    after: Annotated[str | None, typer.Option(help="Those that follow this reference in the list.")] = None,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List events that were not let in, newest first: what was sent, why, and what would mend it."""
    wanted = _wanted(reason, account, schema, since, until)

    async def work(db: Database) -> Page[DeadLetter]:
        caller = await caller_in(db, workspace)
        async with db.reading(caller.workspace) as connection:
            return await list_refused(connection, caller.workspace, wanted, after, limit)

    page = on_database(data_dir, database_url, work)
    rows = [_row(letter) for letter in page.items]
    text = table(rows, ["reference", "id", "account", "schema", "timestamp", "reason", "description", "fix"])
    if page.after is not None:
        text += f"\nmore: --after {page.after}"
    show({"events": rows, "next": page.after}, text, as_json=as_json)


@events.command("replay", epilog="Example: bursar events replay --reason FAILED_ACCOUNT_NOT_FOUND --workspace trial")
def replay(
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only the event of this id; may be repeated.")] = None,
    reason: ReasonOption = None,
    account: AccountOption = None,
    schema: SchemaOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Take history of any age into periods that are not invoiced.")
    ] = False,
    adjust: Annotated[
        bool, typer.Option("--adjust", help="Into invoiced periods, too; the next invoices have the difference.")
    ] = False,
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge events that were not let in anew, after the cause was mended. Run it as often as you like."""
    wanted = _wanted(reason, account, schema, since, until)
    if ids and wanted != Wanted():
        raise Invalid("--id", "goes with no other choice of events")

    async def work(db: Database) -> _Outcome:
        caller = await caller_in(db, workspace)
        outcome = _Outcome()
        see_to = adjust_replayed if adjust else None
        after: str | None = None
        with progress("events", len(ids) if ids else None, quiet=as_json) as advance:
            for start in range(0, len(ids or ()), AT_ONCE):
                some = (ids or [])[start : start + AT_ONCE]
                outcome.add(await replay_ids(db, caller, some, backfill=backfill, adjust=see_to))
                advance(len(some))
            while not ids:
                page = await replay_matching(db, caller, wanted, after, AT_ONCE, backfill=backfill, adjust=see_to)
                outcome.add(page.items)
                advance(len(page.items))
                after = page.after
                if after is None:
                    break
        return outcome

    outcome = on_database(data_dir, database_url, work)
    left = [{"reference": one.reference, "id": one.event_id, "description": one.reason} for one in outcome.left]
    result = {
        "events": outcome.events,
        "replayed": outcome.events - outcome.refused,
        "refused": outcome.refused,
        "reasons": dict(outcome.reasons),
        "left": left,
    }
    show(result, outcome.sentence(), as_json=as_json)


def _wanted(
    reason: str | None, account: str | None, schema: str | None, since: str | None, until: str | None
) -> Wanted:
    if reason is not None and (reason not in State.__members__ or State[reason] > 0):
        names = ", ".join(state.name for state in State if state < 0)
        raise Invalid("--reason", f"{reason!r} is not one of {names}")
    return Wanted(
        states=None if reason is None else (State[reason],),
        account=account,
        schema=schema,
        received_from=None if since is None else instant(since, "--since"),
        received_until=None if until is None else instant(until, "--until"),
    )


def _row(letter: DeadLetter) -> dict[str, Any]:
    event = letter.kept.event
    return {
        "reference": letter.kept.reference,
        "id": event.id,
        "account": event.account_id,
        "schema": event.schema_name,
        "timestamp": event.timestamp,
        "attributes": {attribute.name: attribute.value for attribute in event.attributes},
        "dimensions": event.dimensions,
        "reason": letter.kept.state.name,
        "description": letter.kept.description,
        "fix": letter.fix,
        "replayable": letter.replayable,
        "received_at": letter.kept.received_at,
    }


@dataclass(slots=True)
class _Outcome:
    """What became of the events of a replay."""

    events: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """How many were not let in, by their state."""
    left: list[Replayed] = field(default_factory=list)
    """The first of them."""

    def add(self, outcomes: Sequence[Replayed]) -> None:
        """Some more events."""
        left = [one for one in outcomes if not one.done]
        self.events += len(outcomes)
        self.refused += len(left)
        self.reasons.update(one.state.name if one.state else "UNKNOWN" for one in left)
        self.left += left[: SHOWN - len(self.left)]

    def sentence(self) -> str:
        """For people."""
        lines = [f"{self.events} events: {self.events - self.refused} let in, {self.refused} not"]
        lines += [f"{one.event_id or one.reference}: {one.reason}" for one in self.left]
        if self.refused > len(self.left):
            lines.append(f"and {self.refused - len(self.left)} more")
        return "\n".join(lines)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(events, name="events")
