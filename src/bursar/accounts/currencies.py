"""The currencies that a carrier works with: numbered, each worth so many units of the workspace's own, number 0.

Every workspace knows all currencies of ISO 4217; a carrier's list is a choice of them, and of Tether.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bursar.core.caller import Caller
from bursar.core.currencies import EXPONENTS
from bursar.core.errors import NotFound, Rejected
from bursar.db import audit
from bursar.db.database import Connection, Row
from bursar.db.listing import BIGINT, NUMERIC, TEXT, Column, Lister, Listing, Slice
from bursar.db.queries import Queries

queries = Queries("bursar.accounts", "currencies.sql")

OWN = 0
"""Number of the workspace's own currency."""
KNOWN: Mapping[str, int] = {**EXPONENTS, "USDT": 6}
"""Decimals of every currency that can be on the list."""
_FRANKFURTER = """
AUD BGN BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF IDR ILS INR ISK JPY KRW MXN MYR NOK NZD PHP PLN RON SEK SGD THB TRY
USD ZAR
"""
_BANK_OF_ISRAEL = "AUD CAD CHF DKK EGP EUR GBP ILS JOD JPY LBP NOK SEK USD ZAR"
_BANK_OF_UKRAINE = """
AED AMD AUD AZN BDT BGN BRL BYN CAD CHF CNY CZK DKK DOP DZD EGP EUR GBP GEL HKD HUF IDR ILS INR IQD IRR JPY KGS KRW
KZT LBP LYD MAD MDL MXN MYR NOK NZD PKR PLN RON RSD SAR SEK SGD THB TJS TMT TND TRY TWD UAH USD UZS VND ZAR
"""
PROVIDERS: Mapping[int, tuple[str, frozenset[str]]] = {
    1: ("Frankfurter", frozenset(_FRANKFURTER.split())),
    2: ("Bank of Israel", frozenset(_BANK_OF_ISRAEL.split())),
    3: ("National Bank of Ukraine", frozenset(_BANK_OF_UKRAINE.split())),
}
"""Who publishes rates, by number: the name, and of which currencies."""
BLANK = "can't be blank"
UNLISTED = "is not included in the list"
_LISTER = Lister(
    queries,
    "list_currencies",
    {
        "id": Column("c.yeti_id", BIGINT),
        "name": Column("c.code", TEXT),
        "rate": Column("c.rate", NUMERIC),
        "rate_provider_id": Column("c.rate_provider", BIGINT),
    },
)
_NOTHING = {"name": None, "rate": None, "rate_provider_id": None}


async def list_currencies(connection: Connection, workspace: int, listing: Listing) -> Slice[Row]:
    """The carrier's currencies; rows have `id`, `name`, `rate` and `rate_provider_id`."""
    return await _LISTER.fetch(connection, listing, workspace)


def check_currency(values: Mapping[str, Any], *, own: bool, taken: bool) -> list[tuple[str, str]]:
    """What is wrong with a currency. `own`: it is the workspace's; `taken`: another one on the list has the name."""
    name, rate, provider = values["name"], values["rate"], values["rate_provider_id"]
    problems = []
    if not name:
        problems.append(("name", BLANK))
    elif taken:
        problems.append(("name", "has already been taken"))
    if name not in KNOWN:
        problems.append(("name", UNLISTED))
    if rate is None:
        problems += [("rate", BLANK), ("rate", "is not a number")]
    elif rate <= 0:
        problems.append(("rate", "must be greater than 0"))
    if own and rate != Decimal(1):
        problems.append(("rate", "must be 1 for default currency"))
    if provider is not None and own:
        problems.append(("rate_provider_id", "must be empty for default currency"))
    elif provider is not None and provider not in PROVIDERS:
        problems.append(("rate_provider_id", UNLISTED))
    elif provider is not None and name in KNOWN and name not in PROVIDERS[provider][1]:
        problems.append(("rate_provider_id", f"{PROVIDERS[provider][0]} does not support {name}"))
    return problems


async def add_currency(connection: Connection, caller: Caller, given: Mapping[str, Any]) -> int:
    """Put a currency on the list; returns its number. Raises `Rejected`."""
    values = {**_NOTHING, **given}
    problems = await _problems(connection, caller, values, None)
    if problems:
        raise Rejected(problems)
    number = await _work_with(connection, caller, values, None)
    await audit.record(connection, caller, "create", "currency", values["name"], {"number": number})
    return number


async def change_currency(connection: Connection, caller: Caller, number: int, given: Mapping[str, Any]) -> int:
    """Change rate or provider, or put another currency in the place of one that no account has.

    Where the workspace's own is replaced, the workspace has the other one from then on. Raises `NotFound`, `Rejected`.
    """
    row = await _lock(connection, caller, number)
    values = {**row, **given}
    problems = await _problems(connection, caller, values, number)
    renamed = values["name"] != row["name"]
    if renamed and await connection.fetchval(queries.currency_used, caller.workspace, row["name"]):
        problems.append(("name", "can't be changed because have linked accounts"))
    if problems:
        raise Rejected(problems)
    if not renamed:
        await connection.execute(
            queries.change_rate, caller.workspace, number, values["rate"], values["rate_provider_id"]
        )
    else:
        await connection.execute(queries.work_without, caller.workspace, number)
        await _work_with(connection, caller, values, number)
        if number == OWN:
            await connection.execute(queries.set_own_currency, caller.workspace, values["name"])
    await audit.record(connection, caller, "update", "currency", values["name"], {"number": number})
    return number


async def remove_currency(connection: Connection, caller: Caller, number: int) -> None:
    """Take a currency off the list. Raises `NotFound`, and `Rejected` for the own one and one that accounts have."""
    row = await _lock(connection, caller, number)
    if number == OWN:
        raise Rejected([("", "Default currency cannot be deleted")])
    if await connection.fetchval(queries.currency_used, caller.workspace, row["name"]):
        raise Rejected([("", "Cannot delete record because dependent accounts exist")])
    await connection.execute(queries.work_without, caller.workspace, number)
    await audit.record(connection, caller, "delete", "currency", row["name"], {"number": number})


async def _lock(connection: Connection, caller: Caller, number: int) -> dict[str, Any]:
    row = await connection.fetchrow(queries.lock_currency, caller.workspace, number)
    if row is None:
        raise NotFound("currency", str(number))
    return dict(row)


async def _problems(
    connection: Connection, caller: Caller, values: Mapping[str, Any], number: int | None
) -> list[tuple[str, str]]:
    taken = await connection.fetchval(queries.currency_taken, caller.workspace, values["name"], number)
    return check_currency(values, own=number == OWN, taken=bool(taken))


async def _work_with(connection: Connection, caller: Caller, values: Mapping[str, Any], number: int | None) -> int:
    made = await connection.fetchval(
        queries.work_with, caller.workspace, values["name"], KNOWN[values["name"]], number, values["rate"],
        values["rate_provider_id"],
    )  # fmt: skip
    if made is None:
        raise Rejected([("name", "has already been taken")])
    return int(made)
