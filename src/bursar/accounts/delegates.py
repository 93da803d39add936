"""Delegate tokens: what a customer's own portal may see of the customer, for a while, on behalf of an API token."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from joserfc import jwt
from joserfc.errors import JoseError

from bursar.accounts import store
from bursar.accounts.model import Account, Customer
from bursar.accounts.tokens import LIFE_OF_JWT, lender, signing_key
from bursar.core.caller import Caller
from bursar.core.errors import Invalid, Unauthenticated, WrongState
from bursar.db import audit
from bursar.db.database import Database

ACCOUNTS_LIMIT = 5
LONGEST = timedelta(days=30)
_AUDIENCE = "bursar-portal"


@dataclass(frozen=True, slots=True)
class Delegate:
    """What a delegate token opens."""

    caller: Caller
    customer: Customer
    accounts: list[Account]
    """Those that it names, or all of the customer, without archived ones."""
    expires_at: datetime


async def delegate(
    db: Database,
    caller: Caller,
    token: int,
    customer_id: str,
    account_ids: Sequence[str],
    *,
    all_accounts: bool,
    life: timedelta | None,
) -> str:
    """A delegate token of an API token: for some accounts of a customer, or for all that it has when it is used.

    It ends after `life`, without one after 24 hours, and never later than the API token. Raises `NotFound` for the
    customer, `Invalid` for accounts that are not the customer's, `WrongState` for an archived customer.
    """
    if all_accounts and account_ids:
        raise Invalid("accountIds", "must be left out where allAccountsAccess is true")
    if not all_accounts and not 1 <= len(account_ids) <= ACCOUNTS_LIMIT:
        raise Invalid("accountIds", f"must be 1 to {ACCOUNTS_LIMIT} accounts, unless allAccountsAccess is true")
    async with db.transaction(caller.workspace) as connection:
        customer = await store.get_customer(connection, caller.workspace, customer_id)
        if customer.status == "ARCHIVED":
            raise WrongState(f"customer {customer_id!r} is archived")
        theirs = await store.accounts_of(connection, caller.workspace, customer.key)
        for index, identifier in enumerate(account_ids):
            if identifier not in theirs:
                raise Invalid(f"accountIds[{index}]", f"customer {customer_id!r} has no account {identifier!r} in use")
        detail = {"accounts": None if all_accounts else list(account_ids)}
        await audit.record(connection, caller, "delegate", "customer", customer_id, detail)
    _, ends = await lender(db, token, caller.wall)
    until = caller.wall + (life or LIFE_OF_JWT)
    claims = {
        "sub": str(token),
        "aud": _AUDIENCE,
        "customer": customer_id,
        "accounts": None if all_accounts else list(account_ids),
        "iat": int(caller.wall.timestamp()),
        "exp": int((until if ends is None else min(until, ends)).timestamp()),
    }
    return jwt.encode({"alg": "HS256"}, claims, await signing_key(db))


async def open_delegate(db: Database, text: str, wall: datetime) -> Delegate:
    """What a delegate token opens now.

    Raises `Unauthenticated` for another text, past its time, and once its API token or its customer is gone.
    """
    try:
        claims = jwt.decode(text, await signing_key(db), algorithms=["HS256"]).claims
        audience, token, expires = claims["aud"], int(claims["sub"]), int(claims["exp"])
    except (JoseError, ValueError, KeyError, TypeError):
        raise Unauthenticated("the token is not valid") from None
    if audience != _AUDIENCE:
        raise Unauthenticated("the token is not valid")
    if expires <= wall.timestamp():
        raise Unauthenticated("the token has expired")
    caller, _ = await lender(db, token, wall)
    async with db.transaction(caller.workspace) as connection:
        customer = await store.get_customer(connection, caller.workspace, claims["customer"])
        if customer.status == "ARCHIVED":
            raise Unauthenticated("the token is not valid")
        theirs = await store.accounts_of(connection, caller.workspace, customer.key)
        chosen = [name for name in theirs if claims["accounts"] is None or name in claims["accounts"]]
        accounts = [await store.get_account(connection, caller.workspace, name) for name in chosen]
    return Delegate(caller, customer, accounts, datetime.fromtimestamp(expires, UTC))
