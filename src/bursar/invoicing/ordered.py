"""Purchases and proposals as they are shown: with the invoice to pay and the plan. What ran out of time is seen so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bursar.accounts.store import get_account
from bursar.catalog import plans
from bursar.catalog.plans import PlanVersion
from bursar.core.caller import Caller
from bursar.core.page import Page
from bursar.db.database import Connection, Database
from bursar.invoicing.expiring import expire_due
from bursar.invoicing.orders import queries
from bursar.purchases import orders as purchases
from bursar.purchases.grant_model import Grant
from bursar.purchases.order_model import Purchase


@dataclass(frozen=True, slots=True)
class Ordered:
    """A purchase or a proposal."""

    purchase: Purchase
    invoice_id: str | None
    """None: it has no order yet, and may never have."""
    plan: PlanVersion | None
    """The version that is bought, with what holds otherwise."""


@dataclass(frozen=True, slots=True)
class Granted:
    """Units of a feature that a purchase gave."""

    feature_id: str
    name: str
    grant: Grant
    made_at: datetime


async def get_purchase(db: Database, caller: Caller, identifier: str) -> tuple[Ordered, list[Granted]]:
    """A purchase by its id, or a proposal, with what it has granted. Raises `NotFound`."""
    await expire_due(db, caller)
    async with db.reading(caller.workspace) as connection:
        purchase = await purchases.find(connection, caller.workspace, identifier)
        (shown,) = await _ordered(connection, caller, [purchase])
        granted = await purchases.granted(connection, caller.workspace, purchase.key)
    return shown, [Granted(*entry) for entry in granted]


async def get_proposal(db: Database, caller: Caller, identifier: str) -> Ordered:
    """A proposal by its id. Raises `NotFound`."""
    await expire_due(db, caller)
    async with db.reading(caller.workspace) as connection:
        purchase = await purchases.find_proposal(connection, caller.workspace, identifier)
        return (await _ordered(connection, caller, [purchase]))[0]


async def list_purchases(
    db: Database, caller: Caller, account_id: str, after: str | None, limit: int, *, proposed: bool
) -> Page[Ordered]:
    """The purchases of an account, or what was proposed to it, newest first. Raises `NotFound`."""
    await expire_due(db, caller)
    async with db.reading(caller.workspace) as connection:
        account = await get_account(connection, caller.workspace, account_id)
        page = await purchases.page(connection, caller.workspace, account.key, after, limit, proposed=proposed)
        return Page(await _ordered(connection, caller, page.items), page.after)


async def _ordered(connection: Connection, caller: Caller, found: Sequence[Purchase]) -> list[Ordered]:
    rows = await connection.fetch(queries.invoices_of_purchases, caller.workspace, [one.key for one in found])
    invoices = {row["purchase"]: row["wire_id"] for row in rows}
    keys = {one.version for one in found if one.version is not None}
    versions = await plans.versions(connection, caller.workspace, list(keys)) if keys else {}
    return [Ordered(one, invoices.get(one.key), versions.get(one.version or 0)) for one in found]
