"""A workspace to bill: made through the services, with usage written straight into the rollups."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from bursar.accounts.model import Address, NewAccount, NewCustomer
from bursar.accounts.service import create_account, create_customer
from bursar.accounts.workspaces import caller_of, create_workspace
from bursar.catalog.add_ons import create_add_on
from bursar.catalog.definitions import (
    AttributeDefinition,
    CardRates,
    Commitment,
    CurrencyRate,
    CycleDefinition,
    FeeCard,
    LicenseCard,
    MeterDefinition,
    PlanDetails,
    PricingRule,
    RuleAction,
    SchemaDefinition,
    SlabDefinition,
    SlabRate,
    UsageCard,
)
from bursar.catalog.meters import UsageMeter, activate_meter, create_meter
from bursar.catalog.plans import NewPlan, PlanChange, PlanVersion, activate_plan, create_plan
from bursar.catalog.schemas import activate_schema, create_schema
from bursar.core.caller import Caller
from bursar.core.cycles import BUCKET
from bursar.db.database import Database
from bursar.db.queries import Queries
from bursar.purchases import service as purchases
from bursar.purchases.license_model import NewUpdate
from bursar.purchases.licenses import update_licenses
from bursar.purchases.model import MigrationMode
from bursar.purchases.plan_changes import UpdatePlan, update_plan
from bursar.purchases.service import Associate

FOREVER = date(9999, 1, 1)
USAGE = Queries("bursar.usage")
SlabTuple = tuple[Any, Literal["FLAT", "PER_UNIT", "PACKAGE"], Any] | tuple[Any, Literal["PACKAGE"], Any, Any]
"""startAfter, price type, rate and, of a package, its size."""


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def dec(value: Any) -> Decimal:
    return Decimal(str(value))


def card(
    meter: UsageMeter, slabs: Sequence[Any], *, model: Literal["TIERED", "VOLUME"] = "TIERED", currency: str = "USD"
) -> UsageCard:
    return UsageCard(
        name=f"card-{meter.name}",
        meter=meter.key,
        meter_id=meter.id,
        pricing_model=model,
        slabs=[
            SlabDefinition(n, dec(slab[0]), slab[1], dec(slab[3]) if len(slab) > 3 else None)
            for n, slab in enumerate(slabs, 1)
        ],
        rates=[CardRates(currency, [SlabRate(n, dec(slab[2])) for n, slab in enumerate(slabs, 1)])],
    )


def update(name: str, order: int, target: str, computation: Any, condition: Any = None, **more: Any) -> PricingRule:
    """A rule that changes a figure; its logic as Python values."""
    text = None if condition is None else json.dumps(condition)
    return PricingRule(name, order, json.dumps(computation), RuleAction("UPDATE", target), text, **more)


def add(name: str, order: int, computation: Any, condition: Any = None, **more: Any) -> PricingRule:
    """A rule that adds a line, with its own name for an id."""
    text = None if condition is None else json.dumps(condition)
    action = RuleAction("ADD", id=name, description=f"Line {name}")
    return PricingRule(name, order, json.dumps(computation), action, text, **more)


@dataclass
class World:
    db: Database
    caller: Caller

    @classmethod
    async def make(cls, db: Database, name: str, *, now: datetime, timezone: str = "UTC") -> "World":
        async with db.transaction(None) as connection:
            workspace = await create_workspace(
                connection, datetime.now(UTC), "test", name, sandbox=True, currency="USD", timezone=timezone
            )
        return cls(db, replace(caller_of(workspace, datetime.now(UTC), "test"), now=now))

    def at(self, now: datetime) -> Caller:
        return replace(self.caller, now=now)

    async def meter(self, name: str) -> UsageMeter:
        async with self.db.transaction(self.caller.workspace) as connection:
            definition = SchemaDefinition([AttributeDefinition("n")], [])
            await create_schema(connection, self.caller, f"schema-{name}", definition)
            await activate_schema(connection, self.caller, f"schema-{name}")
            made = await create_meter(connection, self.caller, name, f"schema-{name}", MeterDefinition("COUNT"))
            return await activate_meter(connection, self.caller, made.id)

    async def fee(self, name: str, rate: Any, *, currency: str = "USD", prorated: bool = True, **more: Any) -> FeeCard:
        async with self.db.transaction(self.caller.workspace) as connection:
            made = await create_add_on(connection, self.caller, name, "FIXED_FEE", None)
        return FeeCard(name, made.key, made.id, [CurrencyRate(currency, dec(rate))], prorated, **more)

    async def license(
        self, name: str, slabs: Sequence[Any], *, model: Literal["TIERED", "VOLUME"] = "TIERED", **more: Any
    ) -> LicenseCard:
        async with self.db.transaction(self.caller.workspace) as connection:
            made = await create_add_on(connection, self.caller, name, "LICENSE", None)
        return LicenseCard(
            name,
            made.key,
            made.id,
            model,
            [
                SlabDefinition(n, dec(slab[0]), slab[1], dec(slab[3]) if len(slab) > 3 else None)
                for n, slab in enumerate(slabs, 1)
            ],
            [CardRates("USD", [SlabRate(n, dec(slab[2])) for n, slab in enumerate(slabs, 1)])],
            **{"prorated": True, **more},
        )

    async def hold(
        self, account: str, card: LicenseCard, moment: datetime, quantity: Any, kind: Literal["ABSOLUTE", "RELATIVE"]
    ) -> Decimal:
        new = NewUpdate(card.add_on_id, account, kind, dec(quantity), moment)
        return (await update_licenses(self.db, self.caller, new)).quantity

    async def plan(
        self,
        name: str,
        cards: Sequence[UsageCard],
        *,
        cycle: CycleDefinition | None = None,
        commitment: Any = None,
        currency: str = "USD",
        fees: Sequence[FeeCard] = (),
        ongoing_updates: bool = False,
        rules: Sequence[PricingRule] = (),
        licenses: Sequence[LicenseCard] = (),
    ) -> PlanVersion:
        details = PlanDetails(
            currencies=[currency],
            cycle=cycle or CycleDefinition("MONTHLY", 3),
            usage=list(cards),
            commitment=None if commitment is None else Commitment("Minimum", [CurrencyRate(currency, dec(commitment))]),
            fees=list(fees),
            ongoing_updates=ongoing_updates,
            rules=list(rules),
            licenses=list(licenses),
        )
        async with self.db.transaction(self.caller.workspace) as connection:
            made = await create_plan(connection, self.caller, NewPlan(name, "BILLING", None, details))
            return await activate_plan(connection, self.caller, made.id, [currency])

    async def update(
        self,
        plan: PlanVersion,
        mode: str = "NONE",
        *,
        all_versions: bool = False,
        now: datetime | None = None,
        **parts: Any,
    ) -> PlanVersion:
        command = UpdatePlan(plan.id, PlanChange(**parts), MigrationMode(mode), all_versions)
        caller = self.caller if now is None else self.at(now)
        async with self.db.transaction(self.caller.workspace) as connection:
            return await update_plan(connection, caller, command)

    async def account(
        self, identifier: str, *, currency: str | None = None, zone: str | None = None, net_term_days: int = 0
    ) -> int:
        new = NewAccount(id=identifier, name=f"Account {identifier}", currency=currency, net_term_days=net_term_days)
        async with self.db.transaction(self.caller.workspace) as connection:
            customer = f"of-{identifier}"
            address = Address(line1="1 Main Street", city="Springfield", country="US")
            await create_customer(
                connection, self.caller, NewCustomer(customer, "A Customer", "c@example.com", address)
            )
            made = await create_account(connection, self.caller, customer, new)
            if zone is not None:
                await connection.execute("update account set timezone = $2 where key = $1", made.key, zone)
            return made.key

    async def associate(
        self, account: str, plan: PlanVersion, start: date, end: date = FOREVER, *, retain: bool = False
    ) -> None:
        async with self.db.transaction(self.caller.workspace) as connection:
            await purchases.associate(connection, self.caller, Associate(account, plan.id, start, end, retain))

    async def use(self, account: int, meter: UsageMeter, moment: datetime, quantity: Any, events: int = 1) -> None:
        bucket = (moment - datetime(2000, 1, 1, tzinfo=UTC)) // BUCKET
        sums = (self.caller.workspace, account, meter.version_key, bucket, events, dec(quantity))
        async with self.db.transaction(None) as connection:
            await connection.execute(USAGE.add_rollups, *(f"{{{value}}}" for value in sums))

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        async with self.db.transaction(None) as connection:
            return list(await connection.fetch(statement, *arguments))
