"""Wallets in the Togai dialect."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from bursar.http.door import Answer, Body, Call
from bursar.http.encode import number
from bursar.http.togai.door import PageQuery, door, open_token, seal_token
from bursar.http.togai.shapes import instant_of
from bursar.invoicing.holds import get_wallet
from bursar.invoicing.wallet_entries import WalletEntry, list_entries
from bursar.ledger import account_wallets
from bursar.ledger.account_wallets import Wallet

TAG = "Wallet"
DESCRIPTION_LIMIT = 50

WalletStatus = Literal["ACTIVE", "INACTIVE"]


class UpdateWalletRequest(Body, kw_only=True):
    """What to set of a wallet."""

    effective_from: datetime | None = None
    status: WalletStatus | None = None


class TopupWalletRequest(Body, kw_only=True):
    """Money to put into a wallet, in its account's currency."""

    topup_amount: Decimal


class WalletEntriesQuery(PageQuery, kw_only=True):
    """How to cut the list of a wallet's entries."""

    page_size: Annotated[int, Meta(ge=1, le=50)] | None = None


class WalletBalanceResponse(Answer, kw_only=True):
    """A wallet."""

    id: str
    account_id: str
    customer_id: str
    balance: Decimal
    credit_unit: str
    status: str
    hold_amount: Decimal
    effective_from: datetime
    created_at: datetime
    updated_at: datetime


class WalletEntryShape(Answer, kw_only=True):
    """What a wallet went up or down by."""

    id: str
    description: str
    wallet_id: str
    transaction_type: str
    status: str
    amount: Decimal
    created_at: datetime
    closing_balance: Decimal
    entity_id: str | None = None


class WalletEntriesPaginatedResponse(Answer, kw_only=True):
    """A page of a wallet's entries."""

    data: list[WalletEntryShape]
    next_token: str | None


@door.operation(
    "GET",
    "/accounts/{account_id}/wallet",
    id="WalletBalanceForAccount",
    tag=TAG,
    summary="Get the wallet of an account",
    answer=WalletBalanceResponse,
)
async def wallet_balance_for_account(call: Call) -> WalletBalanceResponse:
    """Read a wallet."""
    return _shape(await get_wallet(call.db, call.caller, call.path["account_id"]))


@door.operation(
    "PATCH",
    "/accounts/{account_id}/wallet",
    id="updateWalletForAccount",
    tag=TAG,
    summary="Set whether and from when the wallet of an account may be used",
    scope="write",
    body=UpdateWalletRequest,
    answer=WalletBalanceResponse,
)
async def update_wallet_for_account(call: Call, body: UpdateWalletRequest) -> WalletBalanceResponse:
    """Change a wallet."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await account_wallets.update_wallet(
            connection,
            call.caller,
            call.path["account_id"],
            status=body.status,
            effective_from=instant_of(body.effective_from),
        )
    return _shape(await get_wallet(call.db, call.caller, call.path["account_id"]))


@door.operation(
    "GET",
    "/accounts/{account_id}/wallet/entries",
    id="WalletEntriesForAccount",
    tag=TAG,
    summary="List what has moved the wallet of an account",
    query=WalletEntriesQuery,
    answer=WalletEntriesPaginatedResponse,
)
async def wallet_entries_for_account(call: Call, query: WalletEntriesQuery) -> WalletEntriesPaginatedResponse:
    """List the entries of a wallet, newest first."""
    query, after, size = open_token(query, default=50)
    async with call.db.reading(call.caller.workspace) as connection:
        wallet = await account_wallets.get_wallet(connection, call.caller, call.path["account_id"])
        page = await list_entries(connection, call.caller.workspace, wallet, after, size)
    return WalletEntriesPaginatedResponse(
        data=[_entry(wallet, entry) for entry in page.items], next_token=seal_token(query, page.after, size)
    )


@door.operation(
    "POST",
    "/accounts/{account_id}/wallet_topup",
    id="topUpWalletForAccount",
    tag=TAG,
    summary="Put money into the wallet of an account",
    scope="write",
    body=TopupWalletRequest,
    answer=WalletBalanceResponse,
)
async def top_up_wallet_for_account(call: Call, body: TopupWalletRequest) -> WalletBalanceResponse:
    """Top up a wallet."""
    async with call.db.transaction(call.caller.workspace) as connection:
        await account_wallets.top_up(connection, call.caller, call.path["account_id"], body.topup_amount)
    return _shape(await get_wallet(call.db, call.caller, call.path["account_id"]))


def _shape(wallet: Wallet) -> WalletBalanceResponse:
    account = wallet.account
    return WalletBalanceResponse(
        id=wallet.id,
        account_id=account.id,
        customer_id=account.customer_id,
        balance=number(wallet.available),
        credit_unit=account.currency,
        status=wallet.status,
        hold_amount=number(wallet.held),
        effective_from=wallet.effective_from or account.created_at,
        created_at=account.created_at,
        updated_at=wallet.updated_at,
    )


def _entry(wallet: Wallet, entry: WalletEntry) -> WalletEntryShape:
    return WalletEntryShape(
        id=entry.id,
        description=entry.description[:DESCRIPTION_LIMIT],
        wallet_id=wallet.id,
        transaction_type="CREDITED" if entry.amount > 0 else "DEBITED",
        status="COMPLETED",
        amount=number(abs(entry.amount)),
        created_at=entry.created_at,
        closing_balance=number(entry.closing),
        entity_id=entry.entity,
    )
