"""The content of invoices as the events and prices of now give it: what a draft shows and what issue freezes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from bursar.catalog import add_ons, plans
from bursar.core.cycles import add_days, days_in, local_date
from bursar.core.period import Period
from bursar.db.database import Connection
from bursar.invoicing import adjustments, store
from bursar.invoicing.adjustments import Adjusting, with_adjustments
from bursar.invoicing.charge_lists import charges_of
from bursar.invoicing.charges import Charge, of_items, with_charges
from bursar.invoicing.composite_lines import contents_of
from bursar.invoicing.custom_items import items_of
from bursar.invoicing.document import FORMAT, Document, Meter, frozen
from bursar.invoicing.licensed import stretches_of
from bursar.invoicing.model import ADVANCED, COMPOSITE, CUSTOM, Content, Facts, draw_up, issue_transaction
from bursar.invoicing.pricing import Pricing
from bursar.invoicing.store import Cycle, Header
from bursar.ledger.model import Transaction
from bursar.purchases.model import Segment, cycle_number, opens_cycle
from bursar.usage import quantities

_STRETCH = 20
"""Invoices drawn up between two looks at what else the process has to do."""
_INSTANT = timedelta(microseconds=1)


class Drawn(msgspec.Struct, frozen=True):
    """An invoice with its content, whether frozen or computed just now."""

    header: Header
    document: Document
    content: Content


async def draw_up_all(
    connection: Connection,
    workspace: int,
    headers: Sequence[Header],
    *,
    take: bool = False,
    corrected: bool = False,
) -> list[Drawn]:
    """The documents of invoices, computed from usage and prices or from what was set; few statements for any number.

    Invoices that follow from neither are left out. `take`: they are about to be issued, and take what waits at their
    accounts. `corrected`: of issued ones, what they would come to with all corrections since; else what they did.
    """
    planned = [(header, header.cycle) for header in headers if header.cycle is not None]
    charges = await charges_of(connection, workspace, [header.key for header in headers], take=take)
    adjusted = await adjustments.adjustments_of(connection, workspace, [header.key for header in headers], take=take)
    drawn = await _planned(connection, workspace, planned, charges, corrected=corrected) if planned else []
    if customs := [header for header in headers if header.type == CUSTOM]:
        items = await items_of(connection, workspace, [header.key for header in customs])
        for header in customs:
            content = with_charges(
                of_items(items[header.key], header.exponent), charges.get(header.key, ()), header.exponent
            )
            drawn.append(Drawn(header, document_of(header, content), content))
    if adjusted:
        drawn = [_adjusted(one, adjusted[one.header.key]) if one.header.key in adjusted else one for one in drawn]
    if composites := [header for header in headers if header.type == COMPOSITE]:
        contents = await contents_of(connection, workspace, [header.key for header in composites])
        drawn += [Drawn(one, document_of(one, contents[one.key]), contents[one.key]) for one in composites]
    if len(drawn) > len(planned):
        place = {header.key: n for n, header in enumerate(headers)}
        drawn.sort(key=lambda one: place[one.header.key])
    return drawn


def _adjusted(one: Drawn, adjusting: Sequence[Adjusting]) -> Drawn:
    content = with_adjustments(one.content, adjusting)
    document = msgspec.structs.replace(one.document, lines=content.lines, total=content.total)
    return Drawn(one.header, document, content)


async def _planned(
    connection: Connection,
    workspace: int,
    headers: Sequence[tuple[Header, Cycle]],
    charges: Mapping[int, Sequence[Charge]],
    *,
    corrected: bool,
) -> list[Drawn]:
    versions = await plans.versions(connection, workspace, list({cycle.plan_version for _, cycle in headers}))
    cards = [(header, meter) for header, cycle in headers for meter in _meters(header, versions[cycle.plan_version])]
    licensed = await stretches_of(connection, workspace, headers, versions, _advances_drawn)
    charged = {fee.add_on for version in versions.values() for fee in version.details.fees}
    charged |= {card.add_on for version in versions.values() for card in version.details.licenses}
    names = await add_ons.display_names(connection, workspace, list(charged))
    known = await store.meters(connection, workspace, list({meter for _, meter in cards}))
    keys = [(header.account, meter, header.period.start, header.period.end) for header, meter in cards]
    used = await quantities.sums(connection, workspace, keys)
    by_invoice = {(header.key, meter): amount for (header, meter), amount in zip(cards, used, strict=True)}
    issued = [header.key for header, _ in headers if header.status != "DRAFT"]
    if issued and not corrected:
        for key, quantity in (await adjustments.usage_since_issue(connection, workspace, issued)).items():
            if key in by_invoice:
                by_invoice[key] -= quantity
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
        facts = _facts(header, cycle, plan, used_of, known, names)
        if header.key in licensed:
            facts = replace(facts, licenses=licensed[header.key])
        content = draw_up(facts, pricings[name])
        if header.key in charges:
            content = with_charges(content, charges[header.key], header.exponent)
        drawn.append(Drawn(header, document_of(header, content, plan), content))
    return drawn


async def _advances_drawn(connection: Connection, workspace: int, keys: Sequence[int]) -> list[Document]:
    """The documents of invoices in advance, as they are frozen or would be now."""
    headers = await store.headers(connection, workspace, keys)
    drafts = [(header, header.cycle) for header in headers if header.content is None and header.cycle is not None]
    drawn = await _planned(connection, workspace, drafts, {}, corrected=False) if drafts else []
    issued = [frozen(header.content) for header in headers if header.content is not None]
    return issued + [one.document for one in drawn]


def posting_of(drawn: Drawn) -> Transaction | None:
    """What issuing an invoice posts, on the last local day of its period: revenue belongs where it was earned.

    One in advance is posted on the first; one of no association not later than on the day of the invoice.
    """
    header = drawn.header
    moment = header.period.start if header.type == ADVANCED else header.period.end - _INSTANT
    if header.cycle is None:
        moment = min(moment, header.due_at)
    day = local_date(moment, header.zone)
    return issue_transaction(drawn.document, header.key, header.account, day)


def advance_content(
    plan: plans.PlanVersion, segment: Segment, billed: Period, currency: str, exponent: int, names: Mapping[int, str]
) -> Content:
    """What an association charges in advance for a billing period of it, which it may be yet to have."""
    calendar = segment.calendar
    facts = Facts(
        plan=plan,
        currency=currency,
        exponent=exponent,
        quantities={},
        meters={},
        days=days_in(billed, calendar.zone),
        of_days=days_in(calendar.cycle_at(billed.start), calendar.zone),
        advance=True,
        cycle=cycle_number(calendar, segment.anchor, billed.start),
        opens_cycle=opens_cycle(calendar, segment.anchor, billed.start),
        add_ons=names,
    )
    return draw_up(facts)


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


def document_of(header: Header, content: Content, plan: plans.PlanVersion | None = None) -> Document:
    """The document of an invoice with its content, without a number."""
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
        schedule_id=None if header.cycle is None else header.cycle.schedule_id,
        invoice_group=msgspec.UNSET if header.group is None else header.group,
        seller=header.seller,
        customer=header.customer,
        account=header.account_party,
        price_plan_id=None if plan is None else plan.id,
        price_plan_name=None if plan is None else plan.name,
        lines=content.lines,
        subtotal=content.subtotal,
        tax=sum((line.tax for line in content.lines), Decimal(0)),
        total=content.total,
        rules=list(content.rules) or msgspec.UNSET,
    )
