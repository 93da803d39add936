"""What invoices charge of licences: how many there were on which days, less those that were charged in advance."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from msgspec import UNSET

from bursar.catalog.definitions import LicenseCard
from bursar.catalog.plans import PlanVersion
from bursar.core.cycles import Calendar, local_date, subdivided
from bursar.core.period import Period
from bursar.db.database import Connection
from bursar.invoicing.document import Document, frozen
from bursar.invoicing.parts import LicenseTerms
from bursar.invoicing.store import Cycle, Header, queries
from bursar.purchases import licenses
from bursar.purchases.named_licenses import Wanted
from bursar.rating import licenses as rating
from bursar.rating.licenses import Change, Days, Stretch

_ADVANCED = "STANDARD_ADVANCED"

Draw = Callable[[Connection, int, Sequence[int]], Awaitable[list[Document]]]
"""Gives the documents of invoices by key, frozen ones and those of drafts."""


async def stretches_of(
    connection: Connection,
    workspace: int,
    headers: Sequence[tuple[Header, Cycle]],
    versions: Mapping[int, PlanVersion],
    draw: Draw,
) -> dict[int, dict[str, list[Stretch]]]:
    """By key of the invoice and name of the card, what is charged of licences; nothing of plans that have none.

    An invoice in advance that is issued charged what its document says, whatever has become known since.
    """
    cards = [
        (header, cycle, card)
        for header, cycle in headers
        for card in versions[cycle.plan_version].details.licenses
        if card.in_advance or header.type != _ADVANCED
    ]
    if not cards:
        return {}
    ahead = await _ahead(connection, workspace, cards, draw)
    found: dict[int, dict[str, list[Stretch]]] = {}
    wanted = [Wanted(header.account, card.add_on, card.named, _time(header, cycle)) for header, cycle, card in cards]
    histories = await licenses.histories(connection, workspace, wanted)
    for (header, cycle, card), changes in zip(cards, histories, strict=True):
        charged = _charged(header, cycle, card, changes, ahead.get((header.key, card.add_on_id), ()))
        if charged is not None:
            found.setdefault(header.key, {})[card.name] = charged
    return found


def usage_cycles(calendar: Calendar, interval: str | None, period: Period, since: Period) -> list[rating.Cycle]:
    """The usage cycles of a billing period, in days of its zone; `since` begins as the association did."""
    zone = calendar.zone
    finer = calendar if interval is None else subdivided(calendar, interval)
    found = []
    for part in finer.cycles(period):
        whole = finer.cycle_at(part.start)
        days = [local_date(moment, zone) for moment in (part.start, part.end, whole.start, whole.end)]
        if days[0] < days[1]:
            began = local_date(max(whole.start, since.start), zone)
            found.append(rating.Cycle(days[0], days[1], (days[2], days[3]), began))
    return found


def _charged(
    header: Header, cycle: Cycle, card: LicenseCard, changes: Sequence[Change], ahead: Sequence[Days]
) -> list[Stretch] | None:
    """What an invoice charges by a card; None: it has no line."""
    zone = cycle.calendar.zone
    if header.type == _ADVANCED and header.content is not None:
        terms = _terms(frozen(header.content)).get(card.add_on_id)
        return None if terms is None else _kept(terms)
    association = Period(cycle.anchor, header.period.end)
    cycles = usage_cycles(cycle.calendar, card.usage_cycle, header.period, association)
    if header.type == _ADVANCED:
        return rating.in_advance(changes, cycles, zone, prorated=card.prorated) or None
    stretches = rating.settled(changes, ahead, cycles, zone, prorated=card.prorated)
    if card.in_advance:
        # What was charged in advance is a line of that invoice: here is what came beside it.
        return [one for one in stretches if one.quantity != one.before] or None
    return stretches


async def _ahead(
    connection: Connection, workspace: int, cards: Sequence[tuple[Header, Cycle, LicenseCard]], draw: Draw
) -> dict[tuple[int, str], list[Days]]:
    """By key of the invoice and id of the add-on, what others charge in advance of the same association's days."""
    asked = {
        header.key: (header, cycle) for header, cycle, card in cards if card.in_advance and header.type != _ADVANCED
    }
    if not asked:
        return {}
    times = [_time(header, cycle) for header, cycle in asked.values()]
    ids = [cycle.schedule_id for _, cycle in asked.values()]
    rows = await connection.fetch(
        queries.list_advances, workspace, ids, [time.start for time in times], [time.end for time in times]
    )
    documents = await draw(connection, workspace, sorted({row["key"] for row in rows}))
    of_schedule: dict[str | None, list[Document]] = {}
    for document in documents:
        of_schedule.setdefault(document.schedule_id, []).append(document)
    found: dict[tuple[int, str], list[Days]] = {}
    for key, (_, cycle) in asked.items():
        for document in of_schedule.get(cycle.schedule_id, ()):
            for add_on, terms in _terms(document).items():
                found.setdefault((key, add_on), []).extend(_days(terms))
    return found


def _time(header: Header, cycle: Cycle) -> Period:
    """From the beginning of the cycle, or of the association in it, to the end of what is invoiced."""
    start = max(cycle.calendar.cycle_at(header.period.start).start, cycle.anchor)
    return Period(min(start, header.period.start), header.period.end)


def _terms(document: Document) -> dict[str, LicenseTerms]:
    return {entry.license.add_on_id: entry.license for entry in document.lines if entry.license is not UNSET}


def _days(terms: LicenseTerms) -> list[Days]:
    return [Days(one.first_day, one.first_day + timedelta(days=one.days), one.quantity) for one in terms.stretches]


def _kept(terms: LicenseTerms) -> list[Stretch]:
    return [Stretch(one.first_day, one.days, one.of_days, one.quantity, one.charged_before) for one in terms.stretches]
