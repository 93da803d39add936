"""A carrier's workspace for the tests of services: accounts with limits, types, services, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from bursar.accounts.model import Address, NewCustomer
from bursar.accounts.service import create_customer
from bursar.accounts.terms import update_agreed
from bursar.core.caller import Caller
from bursar.core.errors import NotFound
from bursar.db.database import Connection, Database
from bursar.db.listing import Condition, Listing
from bursar.ledger.model import Kind, LedgerAccount
from bursar.ledger.store import balance
from bursar.purchases import service_types, services
from bursar.purchases.charges import MakeTransaction, make_transaction
from bursar.purchases.renewals import renew_services
from bursar.purchases.service_store import list_charges, list_service_types, list_services
from bursar.purchases.service_types import ServiceTypeValues
from bursar.purchases.services import CreateService
from bursar.purchases.verify import CHECKS
from bursar.runtime.proof import CHECKS as ALL
from tests.conftest import broken, new_workspace

LOGGING = "Billing::Provisioning::Logging"
FREE_MINUTES = "Billing::Provisioning::FreeMinutes"
START = datetime(2024, 1, 15, 12, tzinfo=UTC)


@dataclass
class Carrier:
    db: Database
    caller: Caller

    @classmethod
    async def make(cls, db: Database, *, now: datetime = START, timezone: str = "UTC") -> "Carrier":
        caller, _, _ = await new_workspace(db, clock=now, timezone=timezone)
        return cls(db, caller)

    def at(self, now: datetime) -> None:
        """Go on at another time."""
        self.caller = replace(self.caller, now=now)

    async def account(self, name: str, *, low: Any = 0, high: Any = 1000, currency: str = "USD") -> int:
        """The number of a new account."""
        async with self.db.transaction(self.caller.workspace) as connection:
            new = NewCustomer(name, name, "c@example.com", Address())
            _, made = await create_customer(connection, self.caller, new)
            await connection.execute(
                "update account_terms set min_balance = $2, max_balance = $3 where account = $1",
                made.key, Decimal(low), Decimal(high),
            )  # fmt: skip
            await connection.execute("update account set currency = $2 where key = $1", made.key, currency)
            number: int = await connection.fetchval("select yeti_id from account where key = $1", made.key)
            return number

    async def type(
        self, name: str, *, force: bool = False, kind: str = LOGGING, variables: Any = None
    ) -> SimpleNamespace:
        values = ServiceTypeValues(name, kind, force, variables)
        async with self.db.transaction(self.caller.workspace) as connection:
            made = await service_types.create_service_type(connection, self.caller, values)
            return await self._shown(connection, list_service_types, made)

    async def change_type(self, number: int, **changes: Any) -> SimpleNamespace:
        async with self.db.transaction(self.caller.workspace) as connection:
            await service_types.update_service_type(connection, self.caller, number, changes)
            return await self._shown(connection, list_service_types, number)

    async def delete_type(self, number: int) -> None:
        async with self.db.transaction(self.caller.workspace) as connection:
            await service_types.delete_service_type(connection, self.caller, number)

    async def service(
        self, account: int | None, kind: int | None, initial: Any = 0, renew: Any = 0, **more: Any
    ) -> SimpleNamespace:
        prices = [None if price is None else Decimal(price) for price in (initial, renew)]
        async with self.db.transaction(self.caller.workspace) as connection:
            command = CreateService(account, kind, prices[0], prices[1], **more)
            made = await services.create_service(connection, self.caller, command)
            return await self._shown(connection, list_services, made)

    async def change(self, number: int, **changes: Any) -> SimpleNamespace:
        async with self.db.transaction(self.caller.workspace) as connection:
            await services.update_service(connection, self.caller, number, changes)
            return await self._shown(connection, list_services, number)

    async def charge(self, account: int | None, amount: Any, **more: Any) -> SimpleNamespace:
        command = MakeTransaction(account, None if amount is None else Decimal(amount), **more)

        async def work(connection: Connection) -> SimpleNamespace:
            made = await make_transaction(connection, self.caller, command)
            return await self._shown(connection, list_charges, made)

        return await self.db.run(self.caller.workspace, work)

    async def agree(self, account: int, **terms: Any) -> None:
        """Change what is agreed with an account, as its PATCH does."""

        async def work(connection: Connection) -> None:
            await update_agreed(connection, self.caller, account, terms)

        await self.db.run(self.caller.workspace, work)

    async def renew(self, now: datetime | None = None) -> int:
        if now is not None:
            self.at(now)
        return await renew_services(self.db, self.caller)

    async def seen(self, number: int) -> SimpleNamespace:
        async with self.db.transaction(self.caller.workspace) as connection:
            return await self._shown(connection, list_services, number)

    async def _shown(self, connection: Connection, listed: Any, number: int) -> SimpleNamespace:
        """What a list shows of one object."""
        found = await listed(connection, self.caller.workspace, Listing((Condition("id", "eq", (number,)),)))
        if not found.rows:
            raise NotFound("object", str(number))
        assert found.total == 1
        return SimpleNamespace(**found.rows[0])

    async def balance(self, account: int) -> Decimal:
        async with self.db.transaction(self.caller.workspace) as connection:
            row = await connection.fetchrow(
                "select key, currency from account where workspace = $1 and yeti_id = $2",
                self.caller.workspace, account,
            )  # fmt: skip
            assert row is not None
            wallet = LedgerAccount(Kind.WALLET, row["currency"], row["key"])
            return -await balance(connection, self.caller.workspace, wallet)

    async def charges(self, account: int) -> list[tuple[str | None, Decimal]]:
        """Descriptions and amounts in the order of their making."""
        rows = await self.rows(
            "select c.* from charge c join account a on a.key = c.account"
            " where c.workspace = $1 and a.yeti_id = $2 order by c.key", account,
        )  # fmt: skip
        return [(row["description"], row["amount"]) for row in rows]

    async def minutes(self, service: int) -> list[tuple[str, int, bool]]:
        """The free minutes of a service."""
        rows = await self.rows(
            "select p.* from package_counter p join service s on s.key = p.service"
            " where p.workspace = $1 and s.yeti_id = $2 order by p.prefix", service,
        )  # fmt: skip
        return [(row["prefix"], row["duration"], row["exclude"]) for row in rows]

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        """Rows, the workspace being the statement's first parameter."""
        async with self.db.transaction(None) as connection:
            return list(await connection.fetch(statement, self.caller.workspace, *arguments))

    async def holds(self) -> list[str]:
        """What does not hold of services and the ledger."""
        ledger: Sequence[Any] = [check for check in ALL if check.invariant == "I3"]
        assert {*CHECKS} <= {*ledger}
        return await broken(self.db, self.caller, ledger)
