"""What an account buys, holds, uses and pays, with a death at each step of it: the amounts are those of a quiet day.

`make chaos` dies at every point; each takes as long as Python needs to start.
"""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.http.togai.catalog import card, per_unit
from tests.postgres import open_folder
from tests.runtime.story import Story, until

OF_MONEY = frozenset((
    "proposal answered", "invoices paid", "purchase paid ahead", "purchase associated", "purchase withdrawn",
    "units granted", "grant changed", "grant voided", "units drawn", "money held", "held money taken", "units held",
    "held units returned", "holds expired", "group committed", "wallet topped up", "wallets settled", "payment posted",
    "refund paid out", "invoice credited", "invoice written off", "credit granted", "credit added to", "credits used",
    "credits given back", "credit voided", "credits expired", "custom invoice issued", "invoices merged",
    "composite frozen", "units of events returned", "events corrected", "backup written", "licenses updated",
    "credits bought", "credits of cycles given",
))  # fmt: skip
"""The points of this story; the other story dies at the others."""
ALWAYS = frozenset((
    "group committed", "wallets settled", "invoices paid", "purchase paid ahead", "units drawn", "held money taken",
    "held units returned", "events corrected", "composite frozen", "backup written",
))  # fmt: skip
"""Those between transactions, and one of each kind of thing."""
POINTS = OF_MONEY if os.environ.get("BURSAR_EVERY_POINT") else ALWAYS
NAMES = ("one", "two", "three", "four", "five")
"""Accounts: the first one buys, two and three are a group, four pays late, five is given credits by its plans."""
HOLDS = "/bursar/v1/holds"
CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}


def test_every_point_of_money_recovers_by_itself(tmp_path: Path) -> None:
    with open_folder() as folder:
        story = Story(folder, tmp_path / "marks", POINTS)
        story.command("workspace", "create", "trial", "--sandbox")
        story.token = story.command("token", "create", "--workspace", "trial")["token"]
        story.send("POST", "/bursar/v1/clock", {"now": "2024-05-01T00:00:00Z"}, "clock")
        feature, pack, month = _catalogue(story)
        _buys(story, pack, month)
        assert _units(story, feature) == 20
        _uses(story, feature)
        assert _units(story, feature) == 11
        assert _money(story) == 50 - 2 - 2 - 7 - 2
        _licenses(story)
        _gifts(story)
        added = _credits(story)
        by_hand = _by_hand(story)
        story.send("POST", "/bursar/v1/clock", {"now": "2024-06-10T00:00:00Z"}, "June")
        _pays_back(story, by_hand)
        story.command("backup", str(folder / "monday.bursar"))
        until(story.died_everywhere)
        _as_on_a_quiet_day(story, added)
        assert story.command("verify")["holds"] is True
        assert story.starts == 1, "all of it heals under the parent"
        story.running.terminate()


def _catalogue(story: Story) -> tuple[str, str, str]:
    """A feature that calls draw, a pack of ten for 2, and a plan by which calls cost 1."""
    story.send("POST", "/event_schema", {"name": "call", "attributes": [{"name": "units"}], "dimensions": []}, "schema")
    story.send("POST", "/event_schema/call/activate", key="schema on")
    meter = {
        "name": "units", "type": "COUNTER", "aggregation": "SUM", "eventSchemaName": "call",
        "computations": [{"computation": '{"var":"attributes.units"}', "order": 1}],
    }  # fmt: skip
    meter_id = story.send("POST", "/usage_meters", meter, "meter")["id"]
    story.send("POST", f"/usage_meters/{meter_id}/activate", key="meter on")
    links = [{"schemaName": "call", "attributeName": "units"}]
    feature = story.send("POST", "/features", {"name": "calls", "schemaAssociations": links}, "feature")["id"]
    entitlement = {
        "featureId": feature, "invoiceTiming": "PREPAID",
        "featureConfigs": [{"featureCreditLimit": 10, "effectiveUntil": "P1Y"}],
        "ratePlan": {"pricingModel": "TIERED", "slabs": [{"order": 1, "startAfter": 0, "priceType": "FLAT"}]},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": 2}]}],
    }  # fmt: skip
    pack = _plan(story, "pack", "PURCHASE", billingEntitlementRateCards=[entitlement])
    month = _plan(
        story, "month", "BILLING", pricingCycleConfig=CYCLE, usageRateCards=[card(meter_id, per_unit(0), [1])]
    )
    for name in NAMES:
        customer = {"id": name, "name": name, "primaryEmail": "a@example.com", "address": {}}
        story.send("POST", "/customers", customer, name)
    return feature, pack, month


def _plan(story: Story, name: str, kind: str, **cards: Any) -> str:
    body = {"name": name, "type": kind, "pricePlanDetails": {"supportedCurrencies": ["USD"], **cards}}
    plan = str(story.send("POST", "/price_plans", body, name)["id"])
    story.send("POST", f"/price_plans/{plan}/activate", {"currencies": ["USD"]}, f"{name} on")
    return plan


def _buys(story: Story, pack: str, month: str) -> None:
    """A month, two packs, 7 paid ahead; a hundred packs are ordered and taken back."""
    path = "/accounts/one/purchases"
    story.send("POST", "/accounts/one/wallet_topup", {"topupAmount": 50}, "top-up")
    body: dict[str, Any] = {"type": "ASSOCIATION", "pricePlanId": month, "effectiveFrom": "2024-05-01"}
    assert story.send("POST", path, body, "month")["status"] == "SUCCESS"
    assert story.send("POST", path, {"pricePlanId": pack}, "pack")["status"] == "SUCCESS"
    body = {"type": "ENTITLEMENT_GRANT", "paymentMode": "PREPAID", "pricePlanId": pack}
    proposal = story.send("POST", "/accounts/one/purchase_proposals", body, "propose")["id"]
    story.send("POST", f"/purchase_proposals/{proposal}/update_status", {"status": "APPROVE"})
    body = {"type": "PREPAID", "walletTopupDetails": {"topupAmount": 7}}
    assert story.send("POST", path, body, "ahead")["status"] == "SUCCESS"
    order = story.send("POST", path, {"pricePlanId": pack, "quantity": 100}, "many")
    assert order["status"] == "PENDING"
    story.send("PATCH", f"/invoices/{order['invoiceId']}", {"status": "VOID"})


def _uses(story: Story, feature: str) -> None:
    """Of 20 units an event takes 3, which it gives back, and a hold 1; 2 more are given, and a grant of 10 voided."""
    event = {
        "schemaName": "call", "id": "e1", "timestamp": "2024-05-02T10:00:00Z", "accountId": "one",
        "attributes": [{"name": "units", "value": "3"}], "dimensions": {},
    }  # fmt: skip
    story.send("POST", "/entitled", {"event": event}, "e1")
    money = {"accountId": "one", "amount": 5, "expiresIn": 86_400}
    units = {"accountId": "one", "amount": 4, "expiresIn": 86_400, "featureId": feature}
    taken = [(story.send("POST", HOLDS, body, f"hold {n}")["id"], n) for n, body in ((2, money), (1, units))]
    for hold, amount in taken:
        story.send("POST", f"{HOLDS}/{hold}/settle", {"amount": amount}, f"settle {amount}")
    # One that is over in June, and one whose release is sent without a key: known by its outcome.
    story.send("POST", HOLDS, money, "left")
    released = story.send("POST", HOLDS, money, "released")["id"]
    story.send("POST", f"{HOLDS}/{released}/release", refused="RELEASED")
    assert story.send("GET", f"{HOLDS}/{released}")["status"] == "RELEASED"
    entries = f"/accounts/one/features/{feature}/entries"
    first, second = (f"{entries}/{quote(one['id'])}" for one in story.send("GET", entries)["data"])
    story.send("PATCH", first, {"granted": 12}, "more")
    story.send("POST", f"{second}/void", None, "void")
    story.send("POST", "/events/correction?action=UNDO&event_id=e1", None, "undo")
    for place, content in enumerate([{**event, "id": f"u{n}", "attributes": [{"name": "units", "value": "5"}]}
                                     for n in range(4)]):  # fmt: skip
        story.send("POST", "/ingest", {"event": content}, f"use {place}")


def _licenses(story: Story) -> None:
    """Three seats and two more."""
    seats = story.send("POST", "/addons", {"name": "Seats", "type": "LICENSE"}, "seats")["id"]
    for more in (3, 2):
        body = {"licenseId": seats, "accountId": "one", "updateType": "RELATIVE", "quantity": more}
        story.send("POST", "/license_updates", {**body, "effectiveFrom": f"2024-05-0{more}T00:00:00Z"}, f"seats {more}")
    told = story.send("GET", f"/license_updates?license_id={seats}")["data"]
    assert sorted((one["effectiveFrom"], one["quantity"]) for one in told) == [
        ("2024-05-02T00:00:00Z", 2), ("2024-05-03T00:00:00Z", 5),
    ]  # fmt: skip


def _gifts(story: Story) -> None:
    """A credit of 5 that is bought for nothing, and one of 3 for each month."""
    gift = story.send("POST", "/addons", {"name": "Gift", "type": "CREDIT_GRANT"}, "gift")["id"]

    def cards(amount: int) -> list[dict[str, Any]]:
        slabs = [{"startAfter": 0, "priceType": "FLAT", "rate": 0}]
        terms = {"currency": "USD", "creditAmount": amount, "slabDetails": slabs}
        rates = {"pricingModel": "TIERED", "currencySlabRateDetails": [terms]}
        return [{"id": gift, "grantDetails": {"priority": 1, "expiryType": "NO_EXPIRY"}, "rateDetails": rates}]

    pack = _plan(story, "gift pack", "PURCHASE", creditGrantRateCards=cards(5))
    assert story.send("POST", "/accounts/five/purchases", {"pricePlanId": pack}, "of five")["status"] == "SUCCESS"
    month = _plan(story, "gifts", "BILLING", pricingCycleConfig=CYCLE, creditGrantRateCards=cards(3))
    body = {"mode": "ASSOCIATE", "pricePlanId": month, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    story.send("POST", "/accounts/five/price_plans", body, "plan of five")


def _credits(story: Story) -> str:
    """One of 4 for usage, to which 1 is added; one that is voided; one that ends in May, for nothing that there is."""
    body = {"accountId": "one", "purpose": "gift", "effectiveFrom": "2024-05-01", "priority": 1}
    more: list[dict[str, Any]] = [
        {"creditAmount": 4, "applicableEntityIds": ["ALL_USAGE_METER_RATE_CARDS"]},
        {"creditAmount": 5},
        {"creditAmount": 6, "applicableEntityIds": ["um.none"], "effectiveUntil": "2024-05-20"},
    ]
    made = story.send("POST", "/credits", {"creditRequests": [body | one for one in more]}, "credits")["credits"]
    used, void, _ = (one["id"] for one in made)
    story.send("POST", f"/credits/{void}/void", None, "void credit")
    _payment(story, "one", 1, "CREDIT", used)
    return str(used)


def _by_hand(story: Story) -> str:
    """Custom invoices: one that is written off, taken up and paid; two of a group; one for a wallet that is empty."""
    group = {
        "name": "Group", "email": "a@example.com", "address": {}, "dailyInvoiceConsolidation": True,
        "accountIds": ["two", "three"],
    }  # fmt: skip
    story.send("POST", "/invoice_groups", group, "group")

    def invoice(account: str, value: int) -> str:
        body = {
            "accountId": account, "status": "DUE", "lineItems": [{"description": "Visit", "value": value}],
            "startDate": "2024-04-01T00:00:00Z", "endDate": "2024-05-01T00:00:00Z",
            "applyCredits": False, "applyWalletBalance": account == "four",
        }  # fmt: skip
        return str(story.send("POST", "/invoices", body, f"of {account}")["id"])

    one = invoice("one", 3)
    for status in ("UN_COLLECTIBLE", "DUE", "PAID"):
        story.send("PATCH", f"/invoices/{one}", {"status": status}, status)
    for name, value in (("two", 10), ("three", 20), ("four", 6)):
        invoice(name, value)
    story.send("POST", "/accounts/four/wallet_topup", {"topupAmount": 9}, "late")
    return one


def _pays_back(story: Story, by_hand: str) -> None:
    """May is refunded, to credits and wallet; the invoice by hand as well, whose 3 are paid out."""
    paid = story.send("GET", "/invoices?owner_id=one&status=PAID")["data"]
    (month,) = (one["id"] for one in paid if one["invoiceType"] == "STANDARD")
    for one in (month, by_hand):
        story.send("PATCH", f"/invoices/{one}", {"status": "REFUND_INITIATED"}, f"refund {one}")
    _payment(story, "one", -3, "INVOICE", by_hand)


def _payment(story: Story, account: str, amount: int, kind: str, of: str) -> None:
    reference = {"sourceName": "Bank", "sourceType": "BANK_TRANSFER", "transactionNumber": "T-1"}
    body = {
        "accountId": account, "currency": "USD", "totalAmount": amount, "externalPaymentReference": reference,
        "lineItemRecords": [{"type": kind, "togaiId": of, "order": 1}],
    }  # fmt: skip
    story.send("POST", "/payments", body, f"payment {amount}")


def _as_on_a_quiet_day(story: Story, credit: str) -> None:
    # 20 calls at 1: 12 by credits, 8 by the wallet, and all of it back.
    assert _money(story) == 50 - 2 - 2 - 7 - 2
    of_one = story.send("GET", "/invoices?owner_id=one&pageSize=50")["data"]
    shown = [(entry["invoiceType"], entry["status"], entry["totalAmount"]) for entry in of_one]
    assert sorted(one for one in shown if one[1] != "DRAFT") == [
        ("ADHOC_ADVANCED", "PAID", 0), ("AD_HOC", "PAID", 2), ("AD_HOC", "PAID", 2), ("AD_HOC", "PAID", 7),
        ("AD_HOC", "VOID", 200), ("CUSTOM", "REFUND_COMPLETED", 3), ("STANDARD", "REFUND_COMPLETED", 8),
    ]  # fmt: skip
    found = story.send("GET", "/credits?account_id=one&pageSize=50")["data"]
    states = {one["id"]: (one["status"], one["creditAmount"], one["consumedAmount"]) for one in found}
    assert states[credit] == ("ACTIVE", 5, 0)
    assert sorted(status for status, _, _ in states.values()) == ["ACTIVE", "ACTIVE", "EXPIRED", "VOIDED"]
    (composite,) = story.send("GET", "/invoices?status=DUE&pageSize=50")["data"]
    assert (composite["invoiceType"], composite["totalAmount"]) == ("COMPOSITE", 30)
    assert story.send("GET", "/accounts/four/wallet")["balance"] == 3
    gifts = story.send("GET", "/credits?account_id=five&pageSize=50")["data"]
    assert sorted(one["creditAmount"] for one in gifts) == [3, 3, 5], "one bought, and one for May and June each"
    bought = [one["status"] for one in story.send("GET", "/accounts/one/purchases")["data"]]
    assert bought == ["FAILURE", "SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS"]
    assert {one["status"] for one in story.send("GET", HOLDS)["holds"]} == {"SETTLED", "RELEASED", "EXPIRED"}
    assert story.send("GET", "/bursar/v1/ingest/balance")["reverted"] == 1


def _units(story: Story, feature: str) -> Decimal:
    return Decimal(str(story.send("GET", f"/accounts/one/features/{feature}")["balance"]))


def _money(story: Story) -> Decimal:
    """What is posted to the wallet: drafts and holds may have some of it."""
    wallet = story.send("GET", "/accounts/one/wallet")
    return Decimal(str(wallet["balance"])) + Decimal(str(wallet["holdAmount"]))
