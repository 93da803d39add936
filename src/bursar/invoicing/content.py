"""The content of invoices as the events and prices of now give it: what a draft shows and what issue freezes."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from bursar.catalog import add_ons, plans
from bursar.core.cycles import add_days, days_in, local_date
from bursar.db.database import Connection
from bursar.invoicing import store
from bursar.invoicing.document import FORMAT, Document, Meter
from bursar.invoicing.model import ADVANCED, Content, Facts, draw_up, issue_transaction
from bursar.invoicing.pricing import Pricing
from bursar.invoicing.store import Cycle, Header
from bursar.ledger.model import Transaction
from bursar.purchases.model import cycle_number, opens_cycle
from bursar.usage import quantities

_STRETCH = 20
"""Invoices drawn up between two looks at what else the process has to do."""
_INSTANT = timedelta(microseconds=1)


class Drawn(msgspec.Struct, frozen=True):
    """An invoice with its content, whether frozen or computed just now."""

    header: Header
    document: Document
    content: Content


async def draw_up_all(connection: Connection, workspace: int, headers: Sequence[Header]) -> list[Drawn]:
    """The documents of billing periods, computed from usage and prices; few statements whatever their number.

    Invoices of no association are left out.
    """
    planned = [(header, header.cycle) for header in headers if header.cycle is not None]
    return await _planned(connection, workspace, planned) if planned else []


async def _planned(connection: Connection, workspace: int, headers: Sequence[tuple[Header, Cycle]]) -> list[Drawn]:
    versions = await plans.versions(connection, workspace, list({cycle.plan_version for _, cycle in headers}))
    cards = [(header, meter) for header, cycle in headers for meter in _meters(header, versions[cycle.plan_version])]
    charged = {fee.add_on for version in versions.values() for fee in version.details.fees}
    names = await add_ons.display_names(connection, workspace, list(charged))
    known = await store.meters(connection, workspace, list({meter for _, meter in cards}))
    keys = [(header.account, meter, header.period.start, header.period.end) for header, meter in cards]
    used = await quantities.sums(connection, workspace, keys)
    by_invoice = {(header.key, meter): amount for (header, meter), amount in zip(cards, used, strict=True)}
    pricings: dict[tuple[int, str], Pricing] = {}
    drawn = []
    for place, (header, cycle) in enumerate(headers):
        plan = versions[cycle.plan_version]
        if place % _STRETCH == 0 or plan.details.rules:
            await asyncio.sleep(0)
        name = (cycle.plan_version, header.currency)
        if name not in pricings:
            pricings[name] = Pricing(plan, header.currency, header.exponent, known)
        used_of = {meter: by_invoice[header.key, meter] for meter in _meters(header, plan)}
        content = draw_up(_facts(header, cycle, plan, used_of, known, names), pricings[name])
        drawn.append(Drawn(header, _document(header, content, plan, cycle.schedule_id), content))
    return drawn


def posting_of(drawn: Drawn) -> Transaction | None:
    """What issuing an invoice posts, on the last local day of its period: revenue belongs where it was earned.

    One in advance is posted on the first.
    """
    header = drawn.header
    moment = header.period.start if header.type == ADVANCED else header.period.end - _INSTANT
    day = local_date(moment, header.zone)
    return issue_transaction(drawn.document, header.key, header.account, day)


def pay_by(invoice_date: datetime, net_term_days: int, zone: str) -> datetime:
    """When an invoice is due for payment."""
    return add_days(invoice_date, net_term_days, zone)


def _meters(header: Header, plan: plans.PlanVersion) -> list[int]:
    return [] if header.type == ADVANCED else [card.meter for card in plan.details.usage]


def _facts(
    header: Header,
    billed: Cycle,
    plan: plans.PlanVersion,
    used: Mapping[int, Decimal],
    meters: Mapping[int, Meter],
    names: Mapping[int, str],
) -> Facts:
    start, calendar = header.period.start, billed.calendar
    cycle = calendar.cycle_at(start)
    days = days_in(header.period, calendar.zone)
    with_fees = bool(plan.details.fees)  # nothing else asks where in the association the cycle lies
    return Facts(
        plan=plan,
        currency=header.currency,
        exponent=header.exponent,
        quantities=used,
        meters=meters,
        days=days,
        of_days=days if cycle == header.period else days_in(cycle, calendar.zone),
        advance=header.type == ADVANCED,
        cycle=cycle_number(calendar, billed.anchor, start) if with_fees else 0,
        opens_cycle=with_fees and opens_cycle(calendar, billed.anchor, start),
        add_ons=names,
    )


def _document(header: Header, content: Content, plan: plans.PlanVersion, schedule_id: str) -> Document:
    return Document(
        format=FORMAT,
        id=header.id,
        sequence_id=None,
        invoice_type=header.type,
        invoice_class=header.invoice_class,
        start_date=header.period.start,
        end_date=header.period.end,
        timezone=header.zone,
        invoice_date=header.due_at,
        due_date=pay_by(header.due_at, header.net_term_days, header.zone),
        net_term_days=header.net_term_days,
        currency=header.currency,
        decimals=header.exponent,
        schedule_id=schedule_id,
        seller=header.seller,
        customer=header.customer,
        account=header.account_party,
        price_plan_id=plan.id,
        price_plan_name=plan.name,
        lines=content.lines,
        subtotal=content.subtotal,
        tax=sum((line.tax for line in content.lines), Decimal(0)),
        total=content.total,
        rules=list(content.rules) or msgspec.UNSET,
    )
