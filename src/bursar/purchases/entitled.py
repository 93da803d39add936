"""Entitled events: let in only where their account's grants hold what they use, which is taken in the same transaction.

They are events like all others, in a flush like all others; but what is refused leaves nothing behind, so that its id
may be sent again. Whatever queues for one grant while a flush runs is decided, in its order, by the next one.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from bursar.core import crash, decimals
from bursar.core.errors import BursarError, Invalid
from bursar.db import idempotency
from bursar.db.database import Connection, Database
from bursar.db.idempotency import KeyTaken
from bursar.purchases import grants
from bursar.purchases.grant_model import Draw, Stock, TooFewUnits
from bursar.usage import repeats
from bursar.usage.flush import Judged, Submission
from bursar.usage.pipeline import Pipeline
from bursar.usage.rows import EventRow
from bursar.usage.states import MEANING, MENDABLE, State

_PLAIN = 26
"""As many digits as every number may have."""


class KnownEvent(BursarError):
    """An event with this id was already received."""


class NotAdmitted(BursarError):
    """The event would not have been let in as a usage event either."""


class NotEntitled(BursarError):
    """The account is not entitled to what the event uses."""


class Uses(NamedTuple):
    """What events of a schema version draw."""

    feature: int
    """Internal key of the feature."""
    feature_id: str
    attribute: str
    """The attribute that says how many units."""


class Desk(Pipeline):
    """Decides on entitled events for one process.

    `submit` tells in `Receipt.sifted` which events were refused, by `KnownEvent`, `NotAdmitted` or `NotEntitled`.
    """

    def __init__(self, db: Database, clock: Callable[[], datetime], **options: Any) -> None:
        """`options` are those of a pipeline."""
        # One flusher: a second one would only wait for the first one's grants, with events that the next could take.
        super().__init__(db, clock, **options, flushers=1, sift=Sieve())

    async def decide(self, submission: Submission) -> None:
        """Let in the only event of a submission, or raise why not."""
        for error in (await self.submit(submission)).sifted.values():
            raise error


async def sift(connection: Connection, judged: Judged, wall: datetime) -> list[EventRow]:
    """What a `Sieve` that knows nothing yet lets through."""
    return await Sieve()(connection, judged, wall)


class Sieve:
    """Takes what events use out of their accounts' grants, at their workspaces' time; returns the events that could."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, dict[int, Uses | None]]] = {}

    async def __call__(self, connection: Connection, judged: Judged, wall: datetime) -> list[EventRow]:
        """The events of a flush that go on."""
        uses = await self._uses(connection, judged)
        pairs = {
            (row.verdict.account, use.feature)
            for row in judged.rows
            if row.verdict.state > 0 and row.verdict.account is not None and (use := uses.get(row.verdict.schema))
        }
        # Workspaces have clocks of their own: what ends after the earliest is enough to know of all.
        earliest = min((tenant.now for tenant in judged.tenants.values()), default=wall)
        reused = await _take_keys(connection, judged, wall)
        stocks = await grants.hold(connection, pairs, earliest) if pairs else {}
        kept: dict[bytes, EventRow] = {}
        refused: list[EventRow] = []
        draws: list[tuple[int, bytes, Draw]] = []
        for row in judged.rows:
            try:
                if row.submission in reused:
                    raise KeyTaken
                _check_new(row, judged.stored.get(row.id_digest), known=row.id_digest in kept)
                drawn = _draw(row, uses, stocks, judged.tenants[row.workspace].now)
            except BursarError as error:
                judged.receipts[row.submission].sifted[row.place] = error
                refused.append(row)
                continue
            kept[row.id_digest] = row
            draws += [(row.workspace, row.id_digest, draw) for draw in drawn]
        if refused and not judged.looked:
            await _tell_known(connection, judged, refused)
        await grants.take(connection, wall, stocks.values(), draws)
        if draws:
            crash.point("units drawn")
        await _close_keys(connection, judged, reused)
        return list(kept.values())

    async def _uses(self, connection: Connection, judged: Judged) -> dict[int | None, Uses | None]:
        """What events of the schema versions of a flush draw; looked up once for each version of a workspace's rules.

        The flush has read that version behind the gate, and what is associated changes only with another one.
        """
        uses: dict[int | None, Uses | None] = {}
        missing: dict[int, dict[int, Uses | None]] = {}
        for workspace, schema in {(row.workspace, row.verdict.schema) for row in judged.rows}:
            version = judged.tenants[workspace].version
            if self._known.get(workspace, (None,))[0] != version:
                self._known[workspace] = (version, {})
            known = self._known[workspace][1]
            if schema in known:
                uses[schema] = known[schema]
            elif schema is not None:
                missing[schema] = known
        if missing:
            found = await connection.fetch(grants.queries.drawn_by_schemas, sorted(missing))
            read = {row["version"]: Uses(row["feature"], row["wire_id"], row["attribute"]) for row in found}
            for schema, known in missing.items():
                uses[schema] = known[schema] = read.get(schema)
        return uses


async def _take_keys(connection: Connection, judged: Judged, wall: datetime) -> set[int]:
    """Take the idempotency keys that events came under, in their order; returns the submissions whose keys are gone.

    A key whose request succeeds while this waits is gone: the sender asks again, and finds its answer.
    """
    keyed = [(place, one.keyed[0]) for place, one in enumerate(judged.submissions) if one.keyed is not None]
    return {
        place
        for place, attempt in sorted(keyed, key=lambda entry: (entry[1].workspace, entry[1].key))
        if not await idempotency.take(connection, attempt, wall)
    }


async def _close_keys(connection: Connection, judged: Judged, reused: set[int]) -> None:
    """Record the answers of what was let in; the keys of what was not are free again."""
    for place, one in enumerate(judged.submissions):
        if one.keyed is None or place in reused:
            continue
        if judged.receipts[place].error is None and not judged.receipts[place].sifted:
            await idempotency.close(connection, *one.keyed)
        else:
            await idempotency.drop(connection, one.keyed[0])


async def _tell_known(connection: Connection, judged: Judged, refused: list[EventRow]) -> None:
    """Refuse those whose ids are taken because of that, where nobody has looked before: it comes before other reasons.

    They draw nothing either way, so what was decided on the others stands.
    """
    states = await repeats.states_of(connection, refused)
    for row in refused:
        sifted = judged.receipts[row.submission].sifted
        if _keeps(states.get(row.id_digest)) and not isinstance(sifted[row.place], KeyTaken):
            sifted[row.place] = _known(row)


def _check_new(row: EventRow, holder: repeats.Stored | None, *, known: bool) -> None:
    """Raise what keeps an event out before anybody asks what it uses."""
    if known or _keeps(None if holder is None else holder.state):
        raise _known(row)
    verdict = row.verdict
    if verdict.state < 0:
        raise NotAdmitted(f"{MEANING[verdict.state]}: {verdict.reason}" if verdict.reason else MEANING[verdict.state])


def _keeps(state: State | None) -> bool:
    """Whether an event in that state, or none, keeps its id for good."""
    return state is not None and state not in MENDABLE


def _known(row: EventRow) -> KnownEvent:
    return KnownEvent(f"an event with the id {row.event.id!r} was already received")


def _draw(
    row: EventRow, uses: dict[int | None, Uses | None], stocks: dict[grants.Pair, Stock], now: datetime
) -> list[Draw]:
    account, schema, name = row.verdict.account, row.verdict.schema, row.event.account_id
    use = uses.get(schema)
    if use is None or account is None:
        raise NotEntitled(f"no feature is associated with event schema {row.event.schema_name!r}")
    needed = _needed(row, use)
    stock = stocks.get((account, use.feature))
    try:
        if stock is None:
            raise TooFewUnits(needed, None)
        return stock.draw(needed, now)
    except TooFewUnits as error:
        if error.left is None:
            raise NotEntitled(f"account {name!r} is not entitled to feature {use.feature_id!r}") from None
        left, needs = decimals.show(error.left), decimals.show(needed)
        raise NotEntitled(
            f"account {name!r} has {left} of feature {use.feature_id!r} left, the event needs {needs}"
        ) from None


def _needed(row: EventRow, use: Uses) -> Decimal:
    for index, attribute in enumerate(row.event.attributes):
        if attribute.name == use.attribute:
            text = attribute.value
            value = Decimal(text)
            # Nearly all are a few digits, of which nothing needs to be asked.
            if len(text) <= _PLAIN and text.isascii() and text.isdecimal():
                return value
            if value < 0 or not decimals.fits(value):
                field = f"event.attributes[{index}].value"
                raise Invalid(field, "must be 0 or more, with at most 26 digits before the point and 12 behind it")
            return value
    raise NotAdmitted(f"attributes: {use.attribute} is missing")
