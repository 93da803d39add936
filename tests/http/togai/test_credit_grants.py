"""Credits that plans give, with the official client: bought once, or with the cycles of an association."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.credits_api import CreditsApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.exceptions import BadRequestException
from togai_client.models.create_price_plan_request import CreatePricePlanRequest
from togai_client.models.create_purchase_request import CreatePurchaseRequest

from bursar.db.database import Database
from bursar.ledger.store import trial_balance
from bursar.purchases.verify import CHECKS
from bursar.runtime.proof import CHECKS as ALL
from tests.conftest import Server, Tenant, broken_after
from tests.http.togai.catalog import add_on, card, customer, event, expect, ingest, meter, per_unit, schema
from tests.http.togai.test_fixed_fees import body
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock

NOW = datetime(2024, 5, 10, 12, tzinfo=UTC)


def granting(identifier: str, amount: Any, rate: Any, kind: str = "PER_UNIT", **more: Any) -> dict[str, Any]:
    """A card for an amount in dollars, without an end unless `grant` says otherwise."""
    grant = {"priority": 1, "expiryType": "NO_EXPIRY", **more.pop("grant", {})}
    slabs = [{"startAfter": 0, "priceType": kind, "rate": rate}]
    terms = {"currency": "USD", "creditAmount": amount, "slabDetails": slabs}
    rates = {"pricingModel": "TIERED", "currencySlabRateDetails": [terms]}
    return {"id": identifier, "grantDetails": grant, "rateDetails": rates, **more}


@dataclass
class Store:
    """A workspace with an account, an add-on to grant credits by, and plans."""

    server: Server
    tenant: Tenant
    pack: str

    def plan(self, name: str, *cards: dict[str, Any], kind: str = "BILLING", **more: Any) -> str:
        sent = {**body(creditGrantRateCards=list(cards), **more), "name": name, "type": kind}
        if kind == "PURCHASE":
            sent["pricePlanDetails"].pop("pricingCycleConfig")
        made = str(expect(self.tenant.http.post("/price_plans", json=sent), 200)["id"])
        expect(self.tenant.http.post(f"/price_plans/{made}/activate", json={"currencies": ["USD"]}), 200)
        return made

    def buy(self, **sent: Any) -> Any:
        api = AccountsApi(self.tenant.togai)
        return api.initiate_one_time_entitlement_plan("acme", CreatePurchaseRequest.from_dict(sent))

    def top_up(self, amount: Any) -> None:
        expect(self.tenant.http.post("/accounts/acme/wallet_topup", json={"topupAmount": amount}), 200)

    def associate(self, plan: str, start: str, mode: str = "ASSOCIATE") -> str:
        sent = {"mode": mode, "effectiveFrom": start, "effectiveUntil": "9999-01-01"}
        if mode == "ASSOCIATE":
            sent["pricePlanId"] = plan
        made = expect(self.tenant.http.post("/accounts/acme/price_plans", json=sent), 200)["pricingSchedules"]
        return str(next((one["id"] for one in made if one["pricePlanId"] == plan), ""))

    def credits(self) -> list[tuple[Any, ...]]:
        """What there is, oldest first: amount, used, state, first day, day after the last."""
        found = CreditsApi(self.tenant.togai).list_credits(account_id="acme").data
        return [
            (one.credit_amount, one.consumed_amount, one.status, one.effective_from, one.effective_until)
            for one in reversed(found)
        ]

    def lines(self) -> dict[tuple[str, str], list[tuple[str, Any, Any]]]:
        """Type, quantity and amount of the lines of all invoices, by kind and first day, totals at the end."""
        listed = expect(self.tenant.http.get("/invoices", headers=BROWSER), 200)["data"]
        whole = [expect(self.tenant.http.get(f"/invoices/{one['id']}", headers=BROWSER), 200) for one in listed]
        return {
            (one["invoiceType"], one["startDate"][:10]): [
                *((line["type"], line["quantity"], line["amount"]) for line in one["lines"]),
                ("total", None, one["totalAmount"]),
            ]
            for one in whole
        }

    def books(self) -> dict[str, Any]:
        """What stands in each kind of ledger account, debit positive."""

        async def work(db: Database) -> dict[str, Any]:
            async with db.transaction(self.tenant.caller.workspace) as connection:
                found = await trial_balance(connection, self.tenant.caller.workspace)
                return {line.kind.value: line.balance for line in found if line.balance}

        return dict(self.server.run(work))

    def problems(self) -> list[str]:
        return self.server.broken(self.tenant, ALL)


@pytest.fixture
def shop(server: Server) -> Store:
    tenant = server.workspace(clock=NOW)
    customer(tenant.http)
    return Store(server, tenant, add_on(tenant.http, "Pack", "CREDIT_GRANT"))


def kinds(item: dict[str, Any]) -> set[str]:
    """The types of an item and of all within it."""
    return {item["type"]}.union(*(kinds(inner) for inner in item.get("lineItems") or ()))


def day(month: int, number: int) -> date:
    return date(2024, month, number)


def moment(month: int, number: int) -> datetime:
    return datetime(2024, month, number, 1, tzinfo=UTC)


def test_credits_are_bought_once_at_the_price_of_their_card(shop: Store) -> None:
    grant = {"expiryType": "CUSTOM", "expiryDuration": "P1M", "priority": 7, "applicableEntityIds": ["um.x"]}
    plan = shop.plan("pack", granting(shop.pack, 100, 0.8, grant=grant, displayName="Pack of 100"), kind="PURCHASE")
    sent = {"pricePlanId": plan, "rateCardQuantities": {shop.pack: 1.5}, "idempotencyKey": "once"}
    made = shop.buy(**sent)
    assert (made.status.value, made.price, shop.credits()) == ("PENDING", 120, [])
    pay = {"status": "PAID"}
    expect(shop.tenant.http.patch(f"/invoices/{made.invoice_id}", json=pay), 200)
    expect(shop.tenant.http.patch(f"/invoices/{made.invoice_id}", json=pay), 200)
    assert shop.buy(**sent).status.value == "SUCCESS"
    # A month from noon of the 10th runs out on the 10th of June, and that day counts.
    assert shop.credits() == [(150, 0, "ACTIVE", day(5, 10), day(6, 11))]
    (one,) = CreditsApi(shop.tenant.togai).list_credits(account_id="acme").data
    assert (one.purpose, one.priority, one.grantor_id) == ("Pack of 100", 7, made.id)
    assert one.applicable_entity_ids == ["um.x"]
    assert shop.lines() == {("AD_HOC", "2024-05-10"): [("CREDIT_GRANT_RATE_CARD", 150, 120), ("total", None, 120)]}
    books = shop.books()
    assert (books["credit"], books["discount"], "deferred" in books, "revenue" in books) == (-150, 30, False, False)
    CreditsApi(shop.tenant.togai).void_credit(one.id)
    books = shop.books()
    assert (books["wallet"], "credit" in books, "discount" in books) == (-120, False, False)
    assert shop.problems() == []


def test_what_is_paid_beyond_the_credits_is_revenue_and_fractions_are_dropped(shop: Store) -> None:
    other = add_on(shop.tenant.http, "Bonus", "CREDIT_GRANT")
    plan = shop.plan("dear", granting(shop.pack, 10, 12, "FLAT"), granting(other, 0.05, 0), kind="PURCHASE")
    shop.top_up(100)
    made = shop.buy(pricePlanId=plan, quantity=2, rateCardQuantities={other: 0.5})
    assert (made.status.value, made.price) == ("SUCCESS", 24)
    assert shop.credits() == [(20, 0, "ACTIVE", day(5, 10), None), (0.02, 0, "ACTIVE", day(5, 10), None)]
    books = shop.books()
    assert (books["revenue"], books["wallet"]) == (-4, -76)
    assert [float(books[name]) for name in ("credit", "discount")] == [-20.02, 0.02]
    override = {"creditGrantRateCards": [granting(shop.pack, 7, 0)]}
    free = shop.buy(pricePlanId=plan, purchasePlanOverride=override)
    assert (free.status.value, free.price, shop.credits()[-1][0]) == ("SUCCESS", 0, 7)
    with pytest.raises(BadRequestException) as caught:
        shop.buy(pricePlanId=plan, rateCardQuantities={"addon.none": 1})
    assert "rateCardQuantities.addon.none" in caught.value.body
    assert shop.problems() == []


def test_credits_come_with_each_cycle_and_pay_what_it_uses(shop: Store) -> None:
    tenant = shop.tenant
    schema(tenant.http)
    used = card(meter(tenant.http), per_unit(0), [1])
    cycle = {"expiryType": "PRICING_CYCLE"}
    once = add_on(tenant.http, "Welcome", "CREDIT_GRANT")
    cards = [
        granting(shop.pack, 50, 40, "FLAT", invoiceTiming="IN_ADVANCE", type="RECURRING", grant=cycle),
        granting(once, 5, 0.5, type="ONE_TIME", recurrenceConfig={"offset": 1}, grant={"priority": 9}),
    ]
    plan = shop.plan("monthly", *cards, usageRateCards=[used])
    shop.associate(plan, "2024-05-05")
    assert shop.credits() == [(50, 0, "ACTIVE", day(5, 5), day(6, 1))]
    ingest(tenant.http, event("a", "2024-05-06T10:00:00Z", tokens=30))
    set_clock(tenant, moment(6, 5))
    run_bill(shop.server, tenant)
    ingest(tenant.http, event("b", "2024-06-04T10:00:00Z", tokens=54))
    set_clock(tenant, moment(7, 5))
    run_bill(shop.server, tenant)
    lines = shop.lines()
    sold, charged = ("CREDIT_GRANT_RATE_CARD", 50, 40), ("total", None, 40)
    assert lines["STANDARD_ADVANCED", "2024-05-05"] == [sold, charged], "credits do not pay for credits"
    assert lines["STANDARD", "2024-05-05"] == [("USAGE_RATE_CARD", 30, 30), ("total", None, 0)]
    assert lines["STANDARD_ADVANCED", "2024-06-01"] == [sold, charged]
    assert lines["STANDARD", "2024-06-01"] == [
        ("USAGE_RATE_CARD", 54, 54), ("CREDIT_GRANT_RATE_CARD", 5, 2.5), ("total", None, 2.5),
    ], "54 used, all paid by credits; those given once are charged"  # fmt: skip
    run_bill(shop.server, tenant)
    assert shop.credits() == [
        (50, 30, "EXPIRED", day(5, 5), day(6, 1)),
        (50, 50, "CONSUMED", day(6, 1), day(7, 1)),
        (5, 0, "ACTIVE", day(6, 1), None),
        (50, 4, "ACTIVE", day(7, 1), day(8, 1)),
    ], "by priority, those of the next month before those given once"
    books = shop.books()
    # 155 were given, 122.5 charged for them; 84 were used, and 20 came to nothing.
    assert (float(books["discount"]), float(books["revenue"]), float(books["credit"])) == (32.5, -84, -51)
    assert float(books["breakage"]) == -20
    advance = next(
        one for one in expect(tenant.http.get("/invoices", headers=BROWSER), 200)["data"]
        if one["invoiceType"] == "STANDARD_ADVANCED" and one["startDate"].startswith("2024-07")
    )  # fmt: skip
    expect(tenant.http.patch(f"/invoices/{advance['id']}", json={"status": "VOID"}), 200)
    assert float(shop.books()["discount"]) == 72.5
    shown = expect(tenant.http.get(f"/invoices/{advance['id']}", headers=BROWSER), 200)
    assert kinds(shown["revenueInfo"]) >= {"TOTAL_ADVANCED_FEES", "ADVANCED_CREDIT_GRANT_RATE_CARD_AMOUNT"}
    assert shop.problems() == []


def test_cycles_give_what_the_plan_said_as_they_began(shop: Store) -> None:
    cards = [granting(shop.pack, 10, 1, grant={"expiryType": "CUSTOM", "expiryDuration": "P3M"})]
    plan = shop.plan("quarter", *cards)
    shop.associate(plan, "2024-04-20")
    spans: list[tuple[Any, ...]] = [(10, 0, "ACTIVE", day(4, 20), day(7, 20)), (10, 0, "ACTIVE", day(5, 1), day(8, 1))]
    assert shop.credits() == spans, "also for a cycle that began before"
    change = {"creditGrantRateCards": [granting(shop.pack, 25, 1)]}
    sent = {"pricePlanDetails": change, "migrationMode": "IMMEDIATE"}
    expect(shop.tenant.http.patch(f"/price_plans/{plan}", json=sent), 200)
    assert shop.credits() == spans, "what has been given stays, and a cut cycle gives nothing more"
    set_clock(shop.tenant, moment(6, 2))
    spans = [*spans, (25, 0, "ACTIVE", day(6, 1), None)]
    assert shop.credits() == spans
    shop.associate(plan, "2024-06-02", "DISASSOCIATE")
    assert shop.credits() == spans, "credits outlast the association"
    assert shop.problems() == []


def test_credits_of_a_cycle_that_is_not_to_be_are_taken_back(shop: Store) -> None:
    plan = shop.plan("first", granting(shop.pack, 10, 4, "FLAT"))
    other = shop.plan("second", granting(shop.pack, 3, 1))
    shop.associate(plan, "2024-05-01")
    assert [one[:3] for one in shop.credits()] == [(10, 0, "ACTIVE")]
    shop.associate(other, "2024-05-01")
    assert [one[:3] for one in shop.credits()] == [(10, 0, "VOIDED"), (3, 0, "ACTIVE")]
    shop.associate(other, "2024-05-01", "DISASSOCIATE")
    assert [one[:3] for one in shop.credits()] == [(10, 0, "VOIDED"), (3, 0, "VOIDED")]
    assert shop.books() == {}, "nothing was charged, and nothing is left of what was given"
    assert shop.problems() == []


def test_an_association_that_is_bought_gives_credits_once_it_is_paid(shop: Store) -> None:
    plan = shop.plan("pro", granting(shop.pack, 50, 40, "FLAT", invoiceTiming="IN_ADVANCE"))
    sent = {"type": "ASSOCIATION", "pricePlanId": plan, "effectiveFrom": day(5, 10), "effectiveUntil": date(9999, 1, 1)}
    shop.top_up(60)
    made = shop.buy(**sent)
    assert (made.status.value, made.price) == ("SUCCESS", 40)
    assert shop.credits() == [(50, 0, "ACTIVE", day(5, 10), None)]
    books = shop.books()
    assert (books["credit"], books["discount"], books["wallet"], "deferred" in books) == (-50, 10, -20, False)
    set_clock(shop.tenant, moment(6, 5))
    run_bill(shop.server, shop.tenant)
    found = shop.lines()
    assert found["ADHOC_ADVANCED", "2024-05-10"][0] == ("CREDIT_GRANT_RATE_CARD", 50, 40)
    assert ("STANDARD_ADVANCED", "2024-05-10") not in found
    assert [one[0] for one in shop.credits()] == [50, 50]
    assert shop.problems() == []


def test_a_plan_that_gives_credits_comes_back_as_it_was_sent(shop: Store) -> None:
    api = PricePlansApi(shop.tenant.togai)
    slabs = [
        {"startAfter": 0, "priceType": "PER_UNIT", "rate": 0.9, "slabRateConfig": {"minimumRate": "1"}},
        {"startAfter": 50, "priceType": "PACKAGE", "rate": 4, "slabConfig": {"packageSize": "5"}},
    ]
    sent = granting(shop.pack, 100, 1, name="c", displayName="Pack", tag="t", invoiceTiming="IN_ADVANCE",
                    type="RECURRING", recurrenceConfig={"interval": 2, "offset": 1},
                    grant={"applicableEntityIds": ["ALL_USAGE_METER_RATE_CARDS"], "priority": 0})  # fmt: skip
    sent["rateDetails"]["currencySlabRateDetails"][0] |= {"slabDetails": slabs, "rateConfig": {"maximumRate": "80"}}
    made = api.create_price_plan(CreatePricePlanRequest.from_dict(body(creditGrantRateCards=[sent])))
    (shown,) = made.pricing_schedule[0].price_plan_details.credit_grant_rate_cards
    assert shown.to_dict() == sent
    http = shop.tenant.http
    rate = {"id": shop.pack, "creditAmount": 90, "slabDetails": slabs[:1]}
    answer = http.post(f"/price_plans/{made.id}/currencies", json={"currency": "EUR"})
    assert (answer.status_code, "creditGrantRates" in answer.text) == (400, True)
    more = {"currency": "EUR", "creditGrantRates": [rate]}
    shown = expect(http.post(f"/price_plans/{made.id}/currencies", json=more), 200)
    (terms, added) = shown["pricingSchedule"][0]["pricePlanDetails"]["creditGrantRateCards"][0]["rateDetails"][
        "currencySlabRateDetails"
    ]
    assert (terms["currency"], added["currency"], added["creditAmount"]) == ("USD", "EUR", 90)
    gone = expect(http.delete(f"/price_plans/{made.id}/currencies/EUR"), 200)
    (card_left,) = gone["pricingSchedule"][0]["pricePlanDetails"]["creditGrantRateCards"]
    assert card_left["rateDetails"]["currencySlabRateDetails"] == [terms]


def test_an_account_may_have_credits_of_its_own(shop: Store) -> None:
    plan = shop.plan("base", granting(shop.pack, 10, 1))
    own = {"creditGrantRateCards": [granting(shop.pack, 30, 1)]}
    span = {"effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    sent = {"mode": "ASSOCIATE", "pricePlanId": plan, **span, "pricePlanDetailsOverride": own}
    expect(shop.tenant.http.post("/accounts/acme/price_plans", json=sent), 200)
    assert [one[0] for one in shop.credits()] == [30]
    assert shop.problems() == []


DETAIL = "rateDetails.currencySlabRateDetails[0]"


@pytest.mark.parametrize(
    ("kind", "change", "word"),
    [
        ("BILLING", {"id": "addon.none"}, "[0].id"),
        ("BILLING", {"invoiceTiming": "PREPAID"}, "[0].invoiceTiming"),
        ("BILLING", {"recurrenceConfig": {"interval": 0}}, "[0].recurrenceConfig.interval"),
        ("BILLING", {"recurrenceConfig": {"interval": 2}, "type": "ONE_TIME"}, "[0].recurrenceConfig.interval"),
        ("BILLING", {"recurrenceConfig": {"offset": -1}}, "[0].recurrenceConfig.offset"),
        ("BILLING", {"grant": {"expiryDuration": "P1M"}}, "[0].grantDetails.expiryDuration"),
        ("BILLING", {"grant": {"expiryType": "CUSTOM"}}, "[0].grantDetails.expiryDuration"),
        (
            "BILLING",
            {"grant": {"expiryType": "CUSTOM", "expiryDuration": "PT0S"}},
            "[0].grantDetails.expiryDuration",
        ),
        (
            "BILLING",
            {"grant": {"expiryType": "CUSTOM", "expiryDuration": "soon"}},
            "[0].grantDetails.expiryDuration",
        ),
        ("BILLING", {"grant": {"priority": -1}}, "[0].grantDetails.priority"),
        ("BILLING", {"amount": -1}, f"[0].{DETAIL}.creditAmount"),
        ("BILLING", {"rate": -1}, f"[0].{DETAIL}.slabDetails[0].rate"),
        ("BILLING", {"slab": 3}, f"[0].{DETAIL}.slabDetails[0].startAfter"),
        ("BILLING", {"twice": True}, "[1].id"),
        ("PURCHASE", {"type": "RECURRING"}, "[0].type"),
        ("PURCHASE", {"recurrenceConfig": {"offset": 1}}, "[0].recurrenceConfig"),
        ("PURCHASE", {"grant": {"expiryType": "PRICING_CYCLE"}}, "[0].grantDetails.expiryType"),
    ],
)
def test_what_cannot_be_is_refused_by_field(shop: Store, kind: str, change: dict[str, Any], word: str) -> None:
    change = dict(change)
    twice, slab = change.pop("twice", False), change.pop("slab", 0)
    amount, rate = change.pop("amount", 10), change.pop("rate", 1)
    sent = {**granting(shop.pack, amount, rate, grant=change.pop("grant", {})), **change}
    sent["rateDetails"]["currencySlabRateDetails"][0]["slabDetails"][0]["startAfter"] = slab
    wanted = {**body(creditGrantRateCards=[sent, sent] if twice else [sent]), "type": kind}
    if kind == "PURCHASE":
        wanted["pricePlanDetails"].pop("pricingCycleConfig")
    answer = shop.tenant.http.post("/price_plans", json=wanted)
    assert (answer.status_code, word in answer.json()["message"]) == (400, True), answer.text


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("delete from plan_credit where workspace = $1", "gave the credits []"),
        ("update plan_credit set credit = (select c.key from credit c join account a on a.key = c.account"
         " where c.workspace = $1 and a.togai_id = 'other') where workspace = $1", "of no purchase or association"),
        ("update plan_credit set add_on = (select key from add_on where workspace = $1 and name = 'Other')"
         " where workspace = $1", "where its plan gives"),
    ],
)  # fmt: skip
def test_verify_finds_what_is_wrong(shop: Store, damage: str, word: str) -> None:
    customer(shop.tenant.http, "other")
    add_on(shop.tenant.http, "Other", "CREDIT_GRANT")
    sent = {"accountId": "other", "purpose": "x", "effectiveFrom": "2024-05-01", "priority": 1, "creditAmount": 10}
    expect(shop.tenant.http.post("/credits", json={"creditRequests": [sent]}), 200)
    shop.buy(pricePlanId=shop.plan("free", granting(shop.pack, 10, 0), kind="PURCHASE"))

    caller = shop.tenant.caller
    assert shop.problems() == []
    found = shop.server.run(lambda db: broken_after(db, caller, CHECKS, damage, caller.workspace))
    assert any(word in problem for problems in found.values() for problem in problems)


def test_an_add_on_of_another_type_gives_no_credits(shop: Store) -> None:
    fee = add_on(shop.tenant.http, "Fee")
    answer = shop.tenant.http.post("/price_plans", json=body(creditGrantRateCards=[granting(fee, 1, 1)]))
    assert (answer.status_code, "needs a CREDIT_GRANT one" in answer.text) == (400, True)


def test_an_add_on_that_a_plan_gives_credits_by_cannot_be_archived(shop: Store) -> None:
    plan = shop.plan("uses", granting(shop.pack, 1, 1))
    answer = shop.tenant.http.delete(f"/addons/{shop.pack}")
    assert (answer.status_code, plan in answer.text or "uses" in answer.text) == (400, True), answer.text
