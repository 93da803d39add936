"""Pricing rules over the wire: as a plan and an association say them, as invoices and their logs show them."""

import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.price_experimentation_api import PriceExperimentationApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.api.pricing_rules_api import PricingRulesApi
from togai_client.exceptions import BadRequestException, NotFoundException
from togai_client.models.calculate_revenue_request import CalculateRevenueRequest
from togai_client.models.create_price_plan_request import CreatePricePlanRequest
from togai_client.models.edit_pricing_schedule_request import EditPricingScheduleRequest
from togai_client.models.update_price_plan_request import UpdatePricePlanRequest
from togai_client.models.update_pricing_schedule_request_with_actions import UpdatePricingScheduleRequestWithActions

from tests.conftest import Server, Tenant
from tests.http.togai.catalog import add_on, card, customer, event, expect, fixed_fee, ingest, meter, per_unit, schema
from tests.http.togai.test_invoices import BROWSER, run_bill, set_clock

CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}


class Shop(NamedTuple):
    """Tokens at half a dollar, support at 20 in arrears, a base of 30 in advance."""

    tenant: Tenant
    tokens: str
    support: str
    base: str

    def var(self, what: str) -> dict[str, str]:
        return {"var": self.name(what)}

    def name(self, what: str) -> str:
        """`usage tokens` as rules write it."""
        kind, of = what.split()
        return f"{kind}.urc.{self.tokens}" if of == "tokens" else f"{kind}.ff.{getattr(self, of)}"

    def plan(self, *rules: dict[str, Any], name: str = "plan", active: bool = True) -> str:
        api = PricePlansApi(self.tenant.togai)
        made = api.create_price_plan(CreatePricePlanRequest.from_dict(self.body(*rules, name=name)))
        if active:
            expect(self.tenant.http.post(f"/price_plans/{made.id}/activate", json={"currencies": ["USD"]}), 200)
        return str(made.id)

    def body(self, *rules: dict[str, Any], name: str = "plan") -> dict[str, Any]:
        details = {
            "supportedCurrencies": ["USD"],
            "pricingCycleConfig": CYCLE,
            "usageRateCards": [card(self.tokens, per_unit(0), [0.5])],
            "fixedFeeRateCards": [
                fixed_fee(self.support, 20, prorated=False),
                fixed_fee(self.base, 30, prorated=False, invoiceTiming="IN_ADVANCE"),
            ],
        }
        return {"name": name, "type": "BILLING", "pricePlanDetails": details, "pricingRules": list(rules)}


@pytest.fixture
def shop(server: Server) -> Shop:
    tenant = server.workspace(clock=datetime(2024, 5, 20, tzinfo=UTC))
    schema(tenant.http)
    customer(tenant.http)
    return Shop(tenant, meter(tenant.http), add_on(tenant.http, "Support"), add_on(tenant.http, "Base"))


def rule(name: str, order: int, action: dict[str, Any], computation: Any, **more: Any) -> dict[str, Any]:
    if "condition" in more:
        more["condition"] = json.dumps(more["condition"])
    return {"name": name, "order": order, "action": action, "computation": json.dumps(computation), **more}


def update(target: str) -> dict[str, Any]:
    return {"type": "UPDATE", "target": target}


def rules_of(shop: Shop) -> list[dict[str, Any]]:
    """A volume discount, a surcharge line, a fee in advance that is halved."""
    return [
        rule("surcharge", 20, {"type": "ADD", "id": "sur", "description": "Surcharge", "metadata": {"k": "v"}},
             {"*": [{"+": [shop.var("revenue tokens"), shop.var("revenue support")]}, 0.011]}),
        rule("volume", 10, update(shop.name("revenue tokens")), {"*": [shop.var("revenue tokens"), 0.8]},
             condition={">": [shop.var("usage tokens"), 100]}, invoiceTiming="IN_ARREARS"),
        rule("half", 5, update(shop.name("revenue base")), {"/": [shop.var("revenue base"), 2]},
             invoiceTiming="IN_ADVANCE"),
    ]  # fmt: skip


def shown(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules as answers have them, ids apart."""
    return sorted(({"invoiceTiming": "IN_ARREARS", "version": 1, **one} for one in rules), key=lambda one: one["order"])


def bare(rules: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.to_dict().items() if key != "id"} for one in rules or []]


def associate(shop: Shop, plan: str, **more: Any) -> Any:
    whole = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    body = UpdatePricingScheduleRequestWithActions.from_dict({**whole, **more})
    return AccountsApi(shop.tenant.togai).update_pricing_schedule("acme", body)


def test_a_plan_says_its_rules(shop: Shop) -> None:
    api, lists = PricePlansApi(shop.tenant.togai), PricingRulesApi(shop.tenant.togai)
    sent = rules_of(shop)
    dry = api.create_price_plan(CreatePricePlanRequest.from_dict(shop.body(*sent)), dry_run=True)
    assert {one.id for one in dry.pricing_schedule[0].pricing_rules} == {"pp_rule.dry-run"}
    made = api.get_price_plan(shop.plan(*sent)).pricing_schedule[0]
    plan = api.get_price_plans().data[0]
    assert bare(made.pricing_rules) == bare(plan.pricing_rules) == shown(sent)
    found = lists.list_pricing_rules_by_schedule_id(plan.id, made.id)
    assert [one.to_dict() for one in found.data] == [one.to_dict() for one in made.pricing_rules]
    for timing, names in (("IN_ADVANCE", ["half"]), ("IN_ARREARS", ["volume", "surcharge"])):
        found = lists.list_pricing_rules_by_schedule_id(plan.id, made.id, invoice_timing=timing)
        assert [one.name for one in found.data] == names
    ids = {one.name: one.id for one in made.pricing_rules}

    changed = UpdatePricePlanRequest.from_dict({"pricingRules": [{**sent[0], "computation": "3"}, sent[1]]})
    after = api.update_price_plan(plan.id, changed).pricing_schedule[0]
    assert [(one.name, one.id == ids[one.name], one.version) for one in after.pricing_rules] == [
        ("volume", True, 1),
        ("surcharge", True, 2),
    ]
    assert (after.version, api.update_price_plan(plan.id, changed).pricing_schedule[0].version) == (2, 2)
    assert len(lists.list_pricing_rules_by_schedule_id(plan.id, made.id).data) == 3, "the version before is as it was"
    described = api.update_price_plan(plan.id, UpdatePricePlanRequest.from_dict({"description": "New"}))
    assert len(described.pricing_schedule[0].pricing_rules) == 2
    none = api.update_price_plan(plan.id, UpdatePricePlanRequest.from_dict({"pricingRules": []}))
    assert (none.pricing_schedule[0].version, none.pricing_schedule[0].pricing_rules) == (3, [])


def test_lists_of_what_is_not_there(shop: Shop, server: Server) -> None:
    plan, other = shop.plan(), shop.plan(name="other")
    schedule = PricePlansApi(shop.tenant.togai).get_price_plan(plan).pricing_schedule[0].id
    api = PricingRulesApi(shop.tenant.togai)
    assert api.list_pricing_rules_by_schedule_id(plan, schedule).data == []
    for ids in ((plan, "sch.none"), (other, schedule), ("pp.none", schedule)):
        with pytest.raises(NotFoundException):
            api.list_pricing_rules_by_schedule_id(*ids)
    with pytest.raises(NotFoundException):
        PricingRulesApi(server.workspace().togai).list_pricing_rules_by_schedule_id(plan, schedule)
    with pytest.raises(BadRequestException):
        api.list_pricing_rules_by_schedule_id(plan, schedule, invoice_timing="SOMETIMES")


LINE = {"type": "ADD", "id": "x"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": ""}, "pricingRules[1].name"),
        ({"name": " "}, "pricingRules[1].name: must not be blank"),
        ({"name": "x" * 101}, "pricingRules[1].name"),
        ({"name": "half"}, "pricingRules[1].name: 'half' is given twice"),
        ({"order": 5}, "pricingRules[1].order: 5 is given twice"),
        ({"order": 0}, "pricingRules[1].order"),
        ({"order": 2**31}, "pricingRules[1].order"),
        ({"order": None}, "pricingRules[1]"),
        ({"invoiceTiming": "PREPAID"}, "pricingRules[1].invoiceTiming"),
        ({"condition": "{"}, "pricingRules[1].condition"),
        ({"condition": '{"nope": 1}'}, "pricingRules[1].condition: operator"),
        ({"computation": None}, "pricingRules[1]"),
        ({"computation": "("}, "pricingRules[1].computation"),
        ({"computation": '{"var": "usage.urc.um.none"}'}, "pricingRules[1].computation: the plan has no"),
        ({"computation": '{"/": [1, 0]}'}, "pricingRules[1].computation: always fails"),
        ({"computation": "9" * 5001}, "pricingRules[1].computation: must have at most 5000"),
        ({"computation": "[" * 2000 + "]" * 2000}, "pricingRules[1].computation"),
        ({"action": None}, "pricingRules[1]"),
        ({"action": {}}, "pricingRules[1].action"),
        ({"action": {"type": "REMOVE"}}, "pricingRules[1].action.type"),
        ({"action": {"type": "UPDATE"}}, "pricingRules[1].action.target: is required"),
        ({"action": update("revenue.ff.addon.none")}, "pricingRules[1].action.target: the plan has no"),
        ({"action": {"type": "ADD"}}, "pricingRules[1].action: needs an id or a description"),
        ({"action": {**LINE, "target": "revenue.ff.addon.none"}}, "pricingRules[1].action.target: must be left out"),
        ({"action": {**LINE, "id": "x" * 51}}, "pricingRules[1].action.id"),
        ({"action": {**LINE, "description": "a\x00"}}, "NUL"),
        ({"action": {**LINE, "metadata": {"k": 1}}}, "pricingRules[1].action.metadata"),
        ({"action": {**LINE, "surprise": 1}}, "surprise"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_rules_are_refused_by_field(refusing: Shop, change: dict[str, Any], word: str) -> None:
    first = rule("half", 5, update(refusing.name("revenue base")), 1, invoiceTiming="IN_ADVANCE")
    wrong = {key: value for key, value in {**rule("x", 9, LINE, 1), **change}.items() if value is not None}
    http, plan = refusing.tenant.http, refusing.tenant.http.get("/price_plans").json()["data"][0]["id"]
    edit = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": "2024-05-01", "effectiveUntil": "9999-01-01"}
    edit["pricingRulesOverride"] = [first, wrong]
    for answer, field in (
        (http.post("/price_plans", json=refusing.body(first, wrong, name="wrong")), "pricingRules"),
        (http.patch(f"/price_plans/{plan}", json={"pricingRules": [first, wrong]}), "pricingRules"),
        (http.post("/accounts/acme/price_plans", json=edit), "pricingRulesOverride"),
        (http.post("/accounts/acme/edit_schedules", json={"edits": [edit]}), "edits[0].pricingRulesOverride"),
    ):
        assert answer.status_code == 400, answer.text
        assert word.replace("pricingRules", field) in answer.json()["message"]
    assert len(http.get("/price_plans").json()["data"]) == 1
    assert http.get("/accounts/acme/pricing_schedules").json()["data"] == []


@pytest.fixture(scope="module")
def refusing(server: Server) -> Shop:
    """One workspace for everything that is refused; it has one plan."""
    tenant = server.workspace(clock=datetime(2024, 5, 20, tzinfo=UTC))
    schema(tenant.http)
    customer(tenant.http)
    made = Shop(tenant, meter(tenant.http), add_on(tenant.http, "Support"), add_on(tenant.http, "Base"))
    made.plan()
    return made


def test_rules_of_a_plan_hold_its_cards(shop: Shop) -> None:
    plan = shop.plan(*rules_of(shop))
    less = {"fixedFeeRateCards": [fixed_fee(shop.base, 1, invoiceTiming="IN_ADVANCE")]}
    answer = shop.tenant.http.patch(f"/price_plans/{plan}", json={"pricePlanDetails": less})
    assert answer.status_code == 400
    assert "pricingRules[0].computation: the plan has no" in answer.json()["message"]
    with pytest.raises(BadRequestException, match="pricePlanDetailsOverride: the plan has no"):
        associate(shop, plan, pricePlanDetailsOverride=less)
    made = associate(shop, plan, pricePlanDetailsOverride=less, pricingRulesOverride=[])
    assert made.pricing_schedules[0].pricing_rules_override == []


def test_an_association_has_rules_of_its_own(shop: Shop) -> None:
    api, lists = AccountsApi(shop.tenant.togai), PricingRulesApi(shop.tenant.togai)
    plan = shop.plan(*rules_of(shop))
    (plain,) = associate(shop, plan).pricing_schedules
    assert plain.pricing_rules_override is None
    own = [rule("own", 1, LINE, 7)]
    edit = {"mode": "ASSOCIATE", "pricePlanId": plan, "effectiveFrom": "2024-05-10", "effectiveUntil": "9999-01-01",
            "pricingRulesOverride": own}  # fmt: skip
    edits = EditPricingScheduleRequest.from_dict({"edits": [edit]})
    dry = api.update_pricing_schedule_batch("acme", edits, dry_run=True).pricing_schedules
    assert [one.id for one in dry[1].pricing_rules_override] == ["pp_rule.dry-run"]
    _, made = api.update_pricing_schedule_batch("acme", edits).pricing_schedules
    assert bare(made.pricing_rules_override) == shown(own)
    assert made.price_plan_details_override is None
    found = lists.list_pricing_rules_by_schedule_id(plan, made.id).data
    assert [one.to_dict() for one in found] == [one.to_dict() for one in made.pricing_rules_override]
    assert lists.list_pricing_rules_by_schedule_id(plan, plain.id).data[0].name == "half"
    listed = api.get_pricing_schedules("acme").data
    assert [(one.is_overriden, [r.name for r in one.pricing_rules]) for one in listed] == [
        (False, ["half", "volume", "surcharge"]),
        (True, ["own"]),
    ]
    off = {**edit, "mode": "DISASSOCIATE"}
    with pytest.raises(BadRequestException, match="pricingRulesOverride: must be left out"):
        api.update_pricing_schedule("acme", UpdatePricingScheduleRequestWithActions.from_dict(off))


def sums(item: dict[str, Any]) -> None:
    """Every amount is what its parts of the same unit come to."""
    parts = [part for part in item.get("lineItems", ()) if part["units"] == item["units"]]
    if parts:
        assert round(sum(Decimal(str(part["value"])) for part in parts), 9) == Decimal(str(item["value"])), item
    for part in item.get("lineItems", ()):
        sums(part)


def items(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [item, *(found for part in item.get("lineItems", ()) for found in items(part))]


def test_invoices_and_their_logs(shop: Shop, server: Server) -> None:
    tenant, api = shop.tenant, InvoicesApi(shop.tenant.togai)
    associate(shop, shop.plan(*rules_of(shop)))
    ingest(tenant.http, event("e1", "2024-05-02T10:00:00Z", tokens=250))
    late, ahead = sorted(api.list_invoices().data, key=lambda one: one.invoice_type)
    # 250 x 0.5 x 0.8 = 100; 1.1 % of 120 = 1.32
    assert (late.total_amount, ahead.total_amount) == (121.32, 15)
    draft = [one.to_dict() for one in api.list_pricing_rule_logs(late.id).data]
    (half,) = api.list_pricing_rule_logs(ahead.id).data
    assert (half.type, half.changes.key, half.changes.old_revenue, half.changes.new_revenue) == (
        "CONDITION_TRUE", f"ff.{shop.base}", 30, 15,
    )  # fmt: skip
    volume, surcharge = draft
    sent = rules_of(shop)
    assert volume == {
        "id": volume["id"],
        "type": "CONDITION_TRUE",
        "order": 10,
        "changes": {
            "key": f"urc.{shop.tokens}", "keyName": "Tokens", "oldRevenue": 125, "newRevenue": 100,
            "oldUsage": 250, "newUsage": 250,
        },
        "rule": {
            "id": volume["rule"]["id"], "name": "volume", "condition": sent[1]["condition"],
            "computation": sent[1]["computation"],
        },
        "variablesValue": {
            shop.name("usage tokens"): {"name": "Tokens", "value": "250"},
            shop.name("revenue tokens"): {"name": "Tokens", "value": "125"},
        },
    }  # fmt: skip
    assert surcharge["changes"] == {"key": "sur", "keyName": "Surcharge", "oldRevenue": 0, "newRevenue": 1.32}
    assert surcharge["variablesValue"][shop.name("revenue support")] == {"name": "Support", "value": "20"}

    set_clock(tenant, datetime(2024, 6, 5, tzinfo=UTC))
    run_bill(server, tenant)
    assert api.get_invoice(late.id).status == "DUE"
    assert [one.to_dict() for one in api.list_pricing_rule_logs(late.id).data] == draft
    answer = expect(tenant.http.get(f"/invoices/{late.id}", headers=BROWSER), 200)
    sums(answer["revenueInfo"])
    found = {item["type"]: item for item in items(answer["revenueInfo"])}
    assert found["PRICING_RULE_REVENUE_UPDATE_AMOUNT"]["value"] == -25
    assert found["TOTAL_PRICING_RULE_ADDITION_AMOUNT"]["value"] == 1.32
    assert found["PRICING_RULE_ADDITION_AMOUNT"]["metadata"] == {"k": "v"}
    assert answer["usageInfo"][0]["value"] == 250
    explained = expect(tenant.http.get(f"/bursar/v1/invoices/{late.id}/lines/1/explain"), 200)
    assert explained["line"]["rules"][0]["name"] == "volume"
    assert explained["line"]["formula"] == "125 by the rate card, rule 'volume' makes it 100"
    with pytest.raises(NotFoundException):
        api.list_pricing_rule_logs("inv.unknown")


def test_a_draft_follows_usage_and_shows_what_rules_cannot_compute(shop: Shop) -> None:
    tenant, api = shop.tenant, InvoicesApi(shop.tenant.togai)
    associate(
        shop,
        shop.plan(
            rule("extra", 1, update(shop.name("usage tokens")), {"+": [shop.var("usage tokens"), 10]},
                 condition={">": [shop.var("usage tokens"), 0]}),
            rule("per token", 2, {"type": "ADD", "description": "Share"}, {"/": [9, shop.var("usage tokens")]}),
            rule("unsound", 3, {"type": "ADD", "id": "u"}, 1,
                 condition={"/": [1, {"-": [shop.var("usage tokens"), 18]}]}),
        ),
    )  # fmt: skip
    late = max(api.list_invoices().data, key=lambda one: -len(one.invoice_type)).id

    def logs() -> list[tuple[str | None, Any, Any]]:
        found = api.list_pricing_rule_logs(late).data
        return [(one.type, one.changes.new_revenue, one.changes.error_message) for one in found]

    none = "division by zero"
    assert logs() == [("CONDITION_FALSE", 0, None), ("COMPUTATION_ERROR", 0, none), ("CONDITION_TRUE", 1, None)]
    assert api.get_invoice(late).total_amount == 21
    ingest(tenant.http, event("e1", "2024-05-02T10:00:00Z", tokens=8))
    assert logs() == [("CONDITION_TRUE", 9, None), ("CONDITION_TRUE", 0.5, None), ("CONDITION_ERROR", 0, none)]
    answer = expect(tenant.http.get(f"/invoices/{late}", headers=BROWSER), 200)
    sums(answer["revenueInfo"])
    found = {item["type"]: item for item in items(answer["revenueInfo"])}
    assert found["PRICING_RULE_USAGE_UPDATE_AMOUNT"]["value"] == 10
    assert answer["usageInfo"][0]["value"] == 8, "what the meter measured"
    assert answer["totalAmount"] == 29.5


def test_the_calculator_applies_rules(shop: Shop) -> None:
    rules = [*rules_of(shop), rule("extra", 1, update(shop.name("usage tokens")), {"*": [shop.var("usage tokens"), 2]})]
    plan = shop.plan(*rules, active=False)
    body = {
        "currencyConfig": {"mode": "CUSTOM", "currency": "USD"},
        "pricePlanDetailsConfig": {"mode": "PRICE_PLAN", "pricePlanId": plan},
        "usageConfig": {"mode": "CUSTOM", "usageMap": {shop.tokens: 125}},
        "licenseEntriesConfig": {"mode": "CUSTOM", "custom": []},
    }
    found = PriceExperimentationApi(shop.tenant.togai).calculate_revenue(CalculateRevenueRequest.from_dict(body))
    tokens, support, base, added = found.revenue_info
    assert tokens.usages == {shop.tokens: 250}
    assert [(slab.order, slab.revenue) for slab in tokens.slab_revenue_summaries] == [(1, 125), (0, -25)]
    assert (support.fixed_fee_revenue_summary.revenue, base.fixed_fee_revenue_summary.revenue) == (20, 15)
    assert (added.fixed_fee_rate_card.id, added.fixed_fee_rate_card.display_name) == ("sur", "Surcharge")
    assert added.fixed_fee_revenue_summary.revenue == 1.32


def test_hostile_rules_are_slow_for_nobody(shop: Shop) -> None:
    count = list(range(60))
    total = {"+": [{"var": "current"}, {"var": "accumulator"}]}
    loop = {"reduce": [[{"var": ""}, *count], total, 0]}
    logic = {"reduce": [{"map": [[shop.var("usage tokens"), *count], loop]}, total, 0]}
    rules = [rule(f"r{n}", n, {"type": "ADD", "id": f"x{n}"}, logic) for n in range(1, 51)]
    start = time.monotonic()
    associate(shop, shop.plan(*rules))
    assert time.monotonic() - start < 5
    api = InvoicesApi(shop.tenant.togai)
    late = max(api.list_invoices().data, key=lambda one: -len(one.invoice_type)).id
    start = time.monotonic()
    assert {one.type for one in api.list_pricing_rule_logs(late).data} == {"COMPUTATION_ERROR"}
    assert time.monotonic() - start < 3
    assert api.get_invoice(late).total_amount == 20
