"""Holds: money of a wallet or units of a feature, set aside for an account until an instant.

A hold is settled, for what it has or less, or released; one whose time is over has returned by itself. Holds that come
at once are placed, and closed, in one transaction: a hot wallet or grant is locked once for all of them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice

import msgspec

from bursar.core import crash, decimals
from bursar.core.caller import Caller
from bursar.core.errors import BursarError, Invalid, NotFound, WrongState
from bursar.core.ids import draw
from bursar.core.page import Page, key_of
from bursar.db import audit
from bursar.db.database import Connection, Database, Row
from bursar.db.grouping import Grouped
from bursar.db.queries import Queries
from bursar.ledger import holds as money
from bursar.ledger.holds import Closing, NewHold, Status
from bursar.purchases import units_held
from bursar.purchases.grant_model import TooFewUnits
from bursar.purchases.units_held import NewUnits

queries = Queries("bursar.purchases", "holds.sql")

AT_ONCE = 200
"""Holds that one request may place."""
_TOGETHER = 40
"""Requests in one transaction."""
SECONDS_LIMIT = 30 * 24 * 3600
"""How long something may be set aside, in seconds."""
DESCRIPTION_LIMIT = 200
_BATCH = 500
_NEWEST = 2**63 - 1


class NotEnough(BursarError):
    """An account has fewer units of a feature left than are to be set aside."""

    def __init__(self, few: TooFewUnits, place: "Place") -> None:
        account, feature = repr(place.account), repr(place.feature)
        if few.left is None:
            super().__init__(f"account {account} is not entitled to feature {feature}")
        else:
            left, needed = decimals.show(few.left), decimals.show(few.needed)
            super().__init__(f"account {account} has {left} of feature {feature} left, the hold needs {needed}")


class Place(msgspec.Struct, frozen=True, gc=False):
    """Something to set aside."""

    account: str
    """Wire id."""
    feature: str | None
    """Wire id of the feature whose units it is; None: money of the wallet."""
    amount: Decimal
    seconds: int
    """How long, by the workspace's clock."""
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """What is to become of a hold: so much of it is taken and the rest returned; None: all of it is returned."""

    id: str
    amount: Decimal | None


class Hold(msgspec.Struct, frozen=True, gc=False):
    """A hold as it is at an instant."""

    id: str
    account: str
    feature: str | None
    currency: str | None
    """Of money."""
    amount: Decimal
    status: Status
    settled: Decimal | None
    """What was taken; None unless it is SETTLED."""
    description: str | None
    created_at: datetime
    expires_at: datetime
    closed_at: datetime | None


Told = list[Hold | BursarError]
"""What became of each part of a request."""


async def place_all(
    connection: Connection, wanted: Sequence[tuple[Caller, Sequence[Place]]]
) -> list[Told | BursarError]:
    """Set aside what requests of one workspace ask for, one after the other, with as many statements as for one.

    The outcome of each part of a request is a hold, or `NotFound`, `Invalid`, `WrongState`, `InsufficientFunds` or
    `NotEnough`. One that is refused leaves nothing behind, and the other parts are not its concern.
    """
    caller = wanted[0][0]
    parts = await _looked_up(connection, caller, [place for _, request in wanted for place in request])
    # Money before units, as everybody takes them.
    wallets = [part for part in parts if part.refused is None and part.place.feature is None]
    new = [
        NewHold(part.id, part.account["key"], part.account["wallet"], part.place.amount, part.until(caller.now),
                part.place.description)
        for part in wallets
    ]  # fmt: skip
    if wallets:
        for part, poor in zip(wallets, await money.reserve(connection, caller, new), strict=True):
            part.refused = poor
    stocks = [part for part in parts if part.refused is None and part.place.feature is not None]
    found: Sequence[units_held.Placed] = ()
    if stocks:
        units = [NewUnits(p.id, (p.account["key"], p.feature["key"]), p.place.amount, p.until(caller.now),
                          p.place.description) for p in stocks]  # fmt: skip
        outcomes, found = await units_held.reserve(connection, caller, units)
        for part, few in zip(stocks, outcomes, strict=True):
            part.refused = None if few is None else NotEnough(few, part.place)
    results = iter(parts)
    told: list[Told | BursarError] = []
    entries: list[audit.Trace] = []
    for asker, request in wanted:
        outcome: Told = [part.refused or part.hold(caller.now) for part in islice(results, len(request))]
        told.append(outcome)
        entries += _trace(asker, [one for one in outcome if isinstance(one, Hold)])
    placed = [hold for hold, part in zip(new, wallets, strict=True) if part.refused is None]
    await money.write(connection, caller, placed, entries)
    await units_held.write(connection, caller, found)
    return told


async def close_all(connection: Connection, wanted: Sequence[tuple[Caller, Close]]) -> list[Hold | BursarError]:
    """Settle and release holds of one workspace, one after the other, with as many statements as for one.

    The outcome of each is the hold as it is then, or `NotFound`, `Invalid`, or `WrongState` for one that is closed,
    whose time is over, or that has less.
    """
    caller = wanted[0][0]
    found = await connection.fetch(queries.find_holds, caller.workspace, [close.id for _, close in wanted])
    rows = {row["wire_id"]: row for row in found}
    refused = [_unsound(close, rows.get(close.id)) for _, close in wanted]
    for kind, of_units in ((money.close, False), (units_held.close, True)):
        places = [
            place
            for place, (_, close) in enumerate(wanted)
            if refused[place] is None and (rows[close.id]["feature_balance"] is not None) == of_units
        ]
        if places:
            closings = [Closing(rows[wanted[place][1].id]["key"], wanted[place][1].amount) for place in places]
            for place, outcome in zip(places, await kind(connection, caller, closings), strict=True):
                refused[place] = outcome
    closed = [(asker, close) for (asker, close), no in zip(wanted, refused, strict=True) if no is None]
    holds = await _named(connection, caller, [close.id for _, close in closed])
    await audit.record_all(connection, [_closing_trace(asker, close) for asker, close in closed])
    return [no or holds[close.id] for (_, close), no in zip(wanted, refused, strict=True)]


async def get_hold(connection: Connection, caller: Caller, identifier: str) -> Hold:
    """A hold as it is now. Raises `NotFound`."""
    found = await _named(connection, caller, [identifier])
    if not found:
        raise NotFound("hold", identifier)
    return found[identifier]


async def list_holds(
    connection: Connection, caller: Caller, account: str | None, status: Status | None, after: str | None, limit: int
) -> Page[Hold]:
    """Holds as they are now, newest first: of an account by wire id, in a state; None: of all."""
    before = _NEWEST if after is None else key_of(after, field="after")
    own = caller.workspace, caller.now
    rows = await connection.fetch(queries.holds, *own, account, status, None, before, limit + 1)
    return Page([_hold(row) for row in rows[:limit]], str(rows[limit - 1]["key"]) if len(rows) > limit else None)


async def expire_holds(db: Database, caller: Caller, *, batch: int = _BATCH) -> int:
    """Close the holds of a workspace whose time is over at its present; returns how many there were.

    Nothing waits for it: they count no more from the instant on at which their time was over.
    """

    async def some(connection: Connection) -> int:
        closed = await money.expire(connection, caller, batch) + await units_held.expire(connection, caller, batch)
        if closed:
            await audit.record(connection, caller, "expire", "holds", "", {"count": closed})
            crash.point("holds expired")
        return closed

    total = 0
    while count := await db.run(caller.workspace, some):
        total += count
    return total


async def erase_descriptions(connection: Connection, caller: Caller, customer: str) -> None:
    """Forget what the holds of a customer were described as, by its id."""
    await money.erase_descriptions(connection, caller, customer)
    await connection.execute(queries.erase_descriptions, caller.workspace, customer)


class Placing(Grouped[Sequence[Place], Told]):
    """The holds that one process places, those that come at once in one transaction."""

    def __init__(self) -> None:
        super().__init__(place_all, at_most=_TOGETHER, few=4)  # one request may ask for a hundred


class Closings(Grouped[Close, Hold]):
    """The holds that one process closes, those that come at once in one transaction."""

    def __init__(self) -> None:
        super().__init__(close_all)


class _Part(msgspec.Struct, gc=False):
    """Something to set aside, with what it names, on its way to an outcome."""

    place: Place
    id: str
    account: Row
    """Whose it is, where it is not refused."""
    feature: Row
    refused: BursarError | None

    def until(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self.place.seconds)

    def hold(self, now: datetime) -> Hold:
        """The hold that it has become."""
        return Hold(
            id=self.id,
            account=self.place.account,
            feature=self.place.feature,
            currency=self.account["currency"] if self.place.feature is None else None,
            amount=self.place.amount,
            status="OPEN",
            settled=None,
            description=self.place.description,
            created_at=now,
            expires_at=self.until(now),
            closed_at=None,
        )


async def _looked_up(connection: Connection, caller: Caller, places: Sequence[Place]) -> list[_Part]:
    names = list({place.account for place in places})
    rows = await connection.fetch(queries.accounts_to_hold, caller.workspace, names)
    accounts = {row["togai_id"]: row for row in rows}
    wanted = list({place.feature for place in places if place.feature is not None})
    known = await connection.fetch(queries.features_to_hold, caller.workspace, wanted) if wanted else []
    features = {row["wire_id"]: row for row in known}
    parts = []
    for place in places:
        account, feature = accounts.get(place.account), features.get(place.feature or "")
        refused = _refusal(place, account, feature, caller.now)
        parts.append(_Part(place, "" if refused else draw("hold"), account, feature, refused))  # type: ignore[arg-type]  # there where not refused
    return parts


def _refusal(place: Place, account: Row | None, feature: Row | None, now: datetime) -> BursarError | None:
    """What keeps a hold from being placed before anybody looks at what there is."""
    if account is None:
        return NotFound("account", place.account)
    if place.feature is not None and feature is None:
        return NotFound("feature", place.feature)
    if place.amount <= 0 or not decimals.fits(place.amount):
        return Invalid("amount", "must be above 0, with at most 26 digits before the point and 12 behind it")
    if account["status"] == "ARCHIVED":
        return WrongState(f"account {place.account!r} is archived")
    return None if place.feature is not None else _barred(place.account, account, now)


def _barred(name: str, account: Row, now: datetime) -> WrongState | None:
    """Why a wallet may not be used; None: it may."""
    if account["wallet_status"] != "ACTIVE":
        return WrongState(f"the wallet of account {name!r} is {account['wallet_status']}")
    if account["effective_from"] is not None and now < account["effective_from"]:
        return WrongState(
            f"the wallet of account {name!r} is effective from {account['effective_from'].isoformat()} on"
        )
    return None


def _unsound(close: Close, row: Row | None) -> BursarError | None:
    if row is None:
        return NotFound("hold", close.id)
    if close.amount is not None and (close.amount < 0 or not decimals.fits(close.amount)):
        return Invalid("amount", "must be 0 or more, with at most 26 digits before the point and 12 behind it")
    return None


async def _named(connection: Connection, caller: Caller, identifiers: list[str]) -> dict[str, Hold]:
    if not identifiers:
        return {}
    own = caller.workspace, caller.now
    rows = await connection.fetch(queries.holds, *own, None, None, identifiers, _NEWEST, len(identifiers))
    return {row["wire_id"]: _hold(row) for row in rows}


def _trace(asker: Caller, holds: Sequence[Hold]) -> list[audit.Trace]:
    """The audit rows of a request: one for all of its holds."""
    if not holds:
        return []
    if len(holds) == 1:
        hold = holds[0]
        detail = {"account": hold.account, "feature": hold.feature, "amount": decimals.show(hold.amount)}
        return [(asker, "place", "hold", hold.id, detail)]
    digest = hashlib.sha256("\n".join(f"{h.id} {decimals.show(h.amount)}" for h in holds).encode()).hexdigest()
    return [(asker, "place", "holds", "", {"count": len(holds), "digest": digest})]


def _closing_trace(asker: Caller, close: Close) -> audit.Trace:
    if close.amount is None:
        return (asker, "release", "hold", close.id, {})
    return (asker, "settle", "hold", close.id, {"amount": decimals.show(close.amount)})


def _hold(row: Row) -> Hold:
    return Hold(
        id=row["wire_id"],
        account=row["account"],
        feature=row["feature"],
        currency=row["currency"],
        amount=row["amount"],
        status=row["status"],
        settled=row["settled"],
        description=row["description"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        closed_at=row["closed_at"],
    )
