"""The content of invoices as the events and prices of now give it: what a draft shows and what issue freezes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bursar.catalog import plans
from bursar.core.cycles import add_days, days_in, local_date
from bursar.db.database import Connection
from bursar.invoicing import store
from bursar.invoicing.document import FORMAT, Document
from bursar.invoicing.model import Content, Facts, Pricing, draw_up, issue_transaction
from bursar.invoicing.store import Header
from bursar.ledger.model import Transaction
from bursar.usage import quantities

_STRETCH = 20
"""Invoices drawn up between two looks at what else the process has to do."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An invoice with its content, whether frozen or computed just now."""

    header: Header
    document: Document
    content: Content


async def draw_up_all(connection: Connection, workspace: int, headers: Sequence[Header]) -> list[Drawn]:
    """The documents of billing periods, computed from usage and prices; few statements whatever their number."""
    versions = await plans.versions(connection, workspace, list({header.plan_version for header in headers}))
    cards = [(header, card.meter) for header in headers for card in versions[header.plan_version].details.usage]
    known = await store.meters(connection, workspace, list({meter for _, meter in cards}))
    keys = [(header.account, meter, header.period.start, header.period.end) for header, meter in cards]
    used = await quantities.sums(connection, workspace, keys)
    by_invoice = {(header.key, meter): amount for (header, meter), amount in zip(cards, used, strict=True)}
    pricings: dict[tuple[int, str], Pricing] = {}
    drawn = []
    for place, header in enumerate(headers):
        if place % _STRETCH == 0:
            await asyncio.sleep(0)
        plan = versions[header.plan_version]
        name = (header.plan_version, header.currency)
        if name not in pricings:
            pricings[name] = Pricing(plan, header.currency, header.exponent, known)
        cycle = header.calendar.cycle_at(header.period.start)
        days = days_in(header.period, header.calendar.zone)
        facts = Facts(
            plan=plan,
            currency=header.currency,
            exponent=header.exponent,
            quantities={card.meter: by_invoice[header.key, card.meter] for card in plan.details.usage},
            meters=known,
            days=days,
            of_days=days if cycle == header.period else days_in(cycle, header.calendar.zone),
        )
        content = draw_up(facts, pricings[name])
        drawn.append(Drawn(header, _document(header, plan, content), content))
    return drawn


def posting_of(drawn: Drawn) -> Transaction | None:
    """What issuing an invoice posts, on the last local day of its period: revenue belongs where it was earned."""
    header = drawn.header
    day = local_date(header.period.end - _INSTANT, header.calendar.zone)
    return issue_transaction(drawn.document, header.key, header.account, day)


def pay_by(invoice_date: datetime, net_term_days: int, zone: str) -> datetime:
    """When an invoice is due for payment."""
    return add_days(invoice_date, net_term_days, zone)


def _document(header: Header, plan: plans.PlanVersion, content: Content) -> Document:
    return Document(
        format=FORMAT,
        id=header.id,
        sequence_id=None,
        invoice_type=header.type,
        invoice_class=header.invoice_class,
        start_date=header.period.start,
        end_date=header.period.end,
        timezone=header.calendar.zone,
        invoice_date=header.due_at,
        due_date=pay_by(header.due_at, header.net_term_days, header.calendar.zone),
        net_term_days=header.net_term_days,
        currency=header.currency,
        decimals=header.exponent,
        schedule_id=header.schedule_id,
        seller=header.seller,
        customer=header.customer,
        account=header.account_party,
        price_plan_id=plan.id,
        price_plan_name=plan.name,
        lines=content.lines,
        subtotal=content.subtotal,
        tax=sum((line.tax for line in content.lines), Decimal(0)),
        total=content.total,
    )
