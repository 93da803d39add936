"""What drafts hold of credits and wallets: a figure that is derived whenever it is read, and never posted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from bursar.accounts.store import get_account
from bursar.core.caller import Caller
from bursar.core.page import Page
from bursar.db.database import Connection, Database
from bursar.db.queries import Queries
from bursar.invoicing import store
from bursar.invoicing.content import Drawn, draw_up_all
from bursar.invoicing.crediting import Left, entities, hold_back
from bursar.invoicing.document import Document
from bursar.invoicing.opening import open_cycles
from bursar.ledger import account_wallets, credit_service, credit_store
from bursar.ledger.account_wallets import Wallet
from bursar.ledger.credit_model import ACTIVE, Credit

queries = Queries("bursar.invoicing", "holds.sql")

_BATCH = 200
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class HeldCredit:
    """A credit, and what drafts hold of it."""

    credit: Credit
    held: Decimal


@dataclass(frozen=True, slots=True)
class CreditBalance:
    """What an account has in credits that are in force."""

    currency: str
    active: Decimal
    """What is left of them."""
    available: Decimal
    """Of that, what no draft holds."""
    inapplicable: Decimal
    """Of that, what is for things that no draft charges."""
    updated_at: datetime

    @property
    def running(self) -> Decimal:
        """What is available for anything that drafts may still come to charge."""
        return self.available - self.inapplicable


@dataclass(frozen=True, slots=True)
class _Held:
    """The drafts of accounts, and what they leave of their credits."""

    documents: Mapping[int, Document]
    """By key of the invoice."""
    credits: Sequence[Credit]
    left: Left
    of_wallets: Decimal
    """What those that wallets pay come to."""


async def held_drafts(connection: Connection, workspace: int, drawn: Sequence[Drawn]) -> dict[int, Document]:
    """The documents of drafts by their keys, with what they hold of credits; one statement where there are none."""
    documents = {one.header.key: one.document for one in drawn}
    accounts = list({one.header.account for one in drawn})
    found = {credit.account for credit in await credit_store.open_credits(connection, workspace, accounts)}
    if found:
        held = await _held(connection, workspace, sorted(found))
        documents |= {key: document for key, document in held.documents.items() if key in documents}
    return documents


async def get_credit(db: Database, caller: Caller, identifier: str) -> tuple[HeldCredit, list[credit_store.Entry]]:
    """A credit with what came over it. Raises `NotFound`."""
    async with db.transaction(caller.workspace) as connection:
        account = (await credit_store.get_credit(connection, caller.workspace, identifier)).account
    await open_cycles(db, caller, caller.now, account)
    async with db.reading(caller.workspace) as connection:
        credit = await credit_store.get_credit(connection, caller.workspace, identifier)
        entries = await credit_store.entries_of(connection, caller.workspace, credit)
        return (await _with_holds(connection, caller, [credit]))[0], entries


async def list_credits(
    db: Database,
    caller: Caller,
    after: str | None,
    limit: int,
    *,
    account_id: str | None = None,
    identifier: str | None = None,
    status: str | None = None,
) -> Page[HeldCredit]:
    """Credits, newest first; None does not filter."""
    await open_cycles(db, caller, caller.now)
    async with db.reading(caller.workspace) as connection:
        page = await credit_store.list_credits(
            connection, caller, after, limit, account_id=account_id, identifier=identifier, status=status
        )
        return Page(await _with_holds(connection, caller, page.items), page.after)


async def list_held(db: Database, caller: Caller, keys: Sequence[int]) -> list[HeldCredit]:
    """Credits by key, in that order."""
    await open_cycles(db, caller, caller.now)
    async with db.reading(caller.workspace) as connection:
        found = await credit_store.credits_at(connection, caller.workspace, list(keys))
        held = {one.credit.key: one for one in await _with_holds(connection, caller, found)}
    return [held[key] for key in keys]


async def credit_balance(db: Database, caller: Caller, account_id: str) -> CreditBalance:
    """What an account has in credits now. Raises `NotFound`."""
    async with db.transaction(caller.workspace) as connection:
        account = await get_account(connection, caller.workspace, account_id)
    await open_cycles(db, caller, caller.now, account.key)
    async with db.reading(caller.workspace) as connection:
        held = await _held(connection, caller.workspace, [account.key])
        changed = await connection.fetchval(queries.last_change_of_credits, caller.workspace, account.key)
    named = {name for one in held.documents.values() for line in one.lines for name in entities(line)}
    active = [c for c in held.credits if c.status(caller.now) == ACTIVE and c.starts_at <= caller.now]
    idle = [credit for credit in active if credit.entities and not named & set(credit.entities)]
    return CreditBalance(
        currency=account.currency,
        active=sum((credit.left for credit in active), _ZERO),
        available=sum((held.left[credit.key] for credit in active), _ZERO),
        inapplicable=sum((held.left[credit.key] for credit in idle), _ZERO),
        updated_at=changed or account.created_at,
    )


async def get_wallet(db: Database, caller: Caller, account_id: str) -> Wallet:
    """The wallet of an account with what drafts hold of it: what they come to, as far as it is there.

    One that may not be used is not held. Raises `NotFound`.
    """
    async with db.transaction(caller.workspace) as connection:
        wallet = await account_wallets.get_wallet(connection, caller, account_id)
    if wallet.posted <= 0 or wallet.status != account_wallets.ACTIVE:
        return wallet
    await open_cycles(db, caller, caller.now, wallet.account.key)
    async with db.reading(caller.workspace) as connection:
        wallet = await account_wallets.get_wallet(connection, caller, account_id)
        held = await _held(connection, caller.workspace, [wallet.account.key])
    return replace(wallet, held=wallet.held + min(held.of_wallets, max(wallet.available, _ZERO)))


async def expire_credits(db: Database, caller: Caller) -> int:
    """Post what is left of credits whose range is over to breakage; returns of how many.

    What a draft may still draw waits until that is issued. Safe to run twice and to race.
    """
    await open_cycles(db, caller, caller.now)
    expired = 0

    async def once(connection: Connection) -> int:
        rows = await connection.fetch(queries.credits_to_expire, caller.workspace, caller.now, _BATCH)
        return await credit_service.expire(connection, caller, [row["key"] for row in rows]) if rows else 0

    while count := await db.run(caller.workspace, once):
        expired += count
    return expired


async def _with_holds(connection: Connection, caller: Caller, found: Sequence[Credit]) -> list[HeldCredit]:
    accounts = sorted({credit.account for credit in found if credit.left})
    left = (await _held(connection, caller.workspace, accounts)).left if accounts else {}
    return [HeldCredit(credit, credit.left - left.get(credit.key, credit.left)) for credit in found]


async def _held(connection: Connection, workspace: int, accounts: Sequence[int]) -> _Held:
    keys = [row["key"] for row in await connection.fetch(queries.drafts_of, workspace, list(accounts))]
    headers = await store.headers(connection, workspace, keys) if keys else []
    drawn = await draw_up_all(connection, workspace, headers) if headers else []
    using = [one for one in drawn if one.header.uses_credits]
    made, found, left = await hold_back(
        connection, workspace, [(one.header.account, one.document) for one in using], accounts
    )
    documents = {one.header.key: one.document for one in drawn}
    documents |= {one.header.key: document for one, document in zip(using, made, strict=True)}
    paid_by_wallet = sum(
        (max(documents[one.header.key].total, _ZERO) for one in drawn if one.header.uses_wallet), _ZERO
    )
    return _Held(documents, found, left, paid_by_wallet)
