"""What a schema, a meter and a plan may say: tables of what is refused, by field, and what is taken."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.catalog.card_rules import check_card
from bursar.catalog.definitions import (
    AttributeDefinition,
    CardRates,
    Commitment,
    CurrencyRate,
    CycleDefinition,
    EntitlementCard,
    FeatureConfig,
    FeeCard,
    Filter,
    MeterDefinition,
    PlanDetails,
    SchemaDefinition,
    SlabDefinition,
    SlabRate,
    UsageCard,
    from_text,
    to_text,
)
from bursar.catalog.model import check_meter, check_plan, check_schema
from bursar.core.errors import Invalid

SCHEMA = SchemaDefinition(
    attributes=[AttributeDefinition("tokens"), AttributeDefinition("both")],
    dimensions=["model", "both"],
    filter_fields=["model", "attribute.tokens"],
)
TOKENS = '{"var":"attributes.tokens"}'


def refused(call: Any, field: str, *words: str) -> None:
    with pytest.raises(Invalid) as caught:
        call()
    assert caught.value.field == field
    for word in words:
        assert word in caught.value.rule


def schema(attributes: tuple[str, ...], dimensions: tuple[str, ...], *fields: str) -> SchemaDefinition:
    return SchemaDefinition([AttributeDefinition(name) for name in attributes], list(dimensions), None, list(fields))


@pytest.mark.parametrize(
    ("definition", "field", "word"),
    [
        (schema(("a", "b", "a"), ()), "attributes[2].name", "twice"),
        (schema((), ("d", "d")), "dimensions[1].name", "twice"),
        (schema((" ",), ()), "attributes[0].name", "blank"),
        (schema((), ("\t",)), "dimensions[0].name", "blank"),
        (schema(("a",), ("d",), "x"), "filterFields[0]", "'x'"),
        (schema(("a",), ("d",), "a", "attributes.d"), "filterFields[1]", "'attributes.d'"),
        (schema(("a",), ("d",), "dimension.a"), "filterFields[0]", "'dimension.a'"),
        (schema(("a",), ("d",), "d", "dimension.d"), "filterFields[1]", "twice"),
        (schema(("a",), ("d",), "dimensions."), "filterFields[0]", "'dimensions.'"),
        (schema(("a",), ("d",), ""), "filterFields[0]", "''"),
    ],
)
def test_schemas_that_are_refused(definition: SchemaDefinition, field: str, word: str) -> None:
    refused(lambda: check_schema(definition), field, word)


@pytest.mark.parametrize(
    "definition",
    [
        schema((), ()),
        schema(("both",), ("both",), "attribute.both", "dimension.both"),
        schema(("a", "A"), ("a",), "a", "attributes.a", "attributes.A"),
    ],
)
def test_schemas_that_are_taken(definition: SchemaDefinition) -> None:
    check_schema(definition)


METERS: list[tuple[MeterDefinition, str, str]] = [
    (MeterDefinition("SUM"), "computations", "SUM"),
    (MeterDefinition("COUNT", computation=TOKENS), "computations[0].computation", '"1"'),
    (MeterDefinition("COUNT", computation="2"), "computations[0].computation", '"1"'),
    (MeterDefinition("SUM", computation=""), "computations[0].computation", ""),
    (MeterDefinition("SUM", computation="{"), "computations[0].computation", "JSON"),
    (MeterDefinition("SUM", computation='{"boom":1}'), "computations[0].computation", "boom"),
    (MeterDefinition("SUM", computation='{"/":[1,0]}'), "computations[0].computation", "fails"),
    (MeterDefinition("SUM", computation='{"var":"attributes.words"}'), "computations[0].computation", "words"),
    (MeterDefinition("SUM", computation='{"var":"attributes.model"}'), "computations[0].computation", "model"),
    (MeterDefinition("SUM", computation='{"var":"tokens"}'), "computations[0].computation", "tokens"),
    (MeterDefinition("SUM", computation='{"var":"attributes"}'), "computations[0].computation", "attributes"),
    (MeterDefinition("SUM", computation='{"var":"dependencies.k"}'), "computations[0].computation", "dependencies"),
    (MeterDefinition("SUM", computation="1" + " " * 500), "computations[0].computation", "500"),
    (MeterDefinition("COUNT", matcher='"' + "x" * 1500 + '"'), "computations[0].matcher", "1500"),
    (MeterDefinition("COUNT", matcher='{"==":[{"var":"dimension.city"},"x"]}'), "computations[0].matcher", "city"),
    (MeterDefinition("COUNT", matcher="{"), "computations[0].matcher", "JSON"),
    (MeterDefinition("COUNT", filters=[Filter("city", "x")]), "filters[0].field", "city"),
    (MeterDefinition("COUNT", filters=[Filter("both", "x")]), "filters[0].field", "both"),
    (MeterDefinition("COUNT", filters=[Filter("attribute.model", "x")]), "filters[0].field", "attribute.model"),
    (MeterDefinition("COUNT", filters=[Filter("tokens", "many")]), "filters[0].value", "number"),
    (MeterDefinition("COUNT", filters=[Filter("tokens", "NaN")]), "filters[0].value", "number"),
    (MeterDefinition("COUNT", filters=[Filter("model", "a"), Filter("dimensions.model", "b")]),
     "filters[1].field", "twice"),
]  # fmt: skip


@pytest.mark.parametrize(("meter", "field", "word"), METERS)
def test_meters_that_are_refused(meter: MeterDefinition, field: str, word: str) -> None:
    refused(lambda: check_meter(meter, SCHEMA), field, word)


@pytest.mark.parametrize(
    "meter",
    [
        MeterDefinition("COUNT"),
        MeterDefinition("COUNT", computation="1"),
        MeterDefinition("COUNT", computation="1", matcher='{"==":[{"var":"dimension.model"},"big"]}'),
        MeterDefinition("SUM", computation='{"*":[{"var":"attribute.tokens"},2]}'),
        MeterDefinition("SUM", computation='{"+":[{"var":["dimensions.both",0]},{"var":"attributes.both"}]}'),
        MeterDefinition("SUM", computation="2", filters=[Filter("dimension.model", ""), Filter("tokens", "-1.50")]),
        MeterDefinition("SUM", computation="1" + " " * 499),
    ],
)
def test_meters_that_are_taken(meter: MeterDefinition) -> None:
    check_meter(meter, SCHEMA)


def slab(order: int, start: Any, kind: Any = "PER_UNIT", size: Any = None) -> SlabDefinition:
    return SlabDefinition(order, Decimal(start), kind, None if size is None else Decimal(size))


def usage_card(meter: int = 1, name: str = "card", **change: Any) -> UsageCard:
    base = UsageCard(name, meter, f"um.{meter}", "TIERED", [slab(1, 0)], [CardRates("USD", [SlabRate(1, Decimal(2))])])
    return msgspec.structs.replace(base, **change)


def rates(*slabs: SlabRate, currency: str = "USD") -> list[CardRates]:
    return [CardRates(currency, list(slabs))]


def rate(order: int, value: Any = 1, low: Any = None, high: Any = None) -> SlabRate:
    return SlabRate(order, Decimal(value), *(None if bound is None else Decimal(bound) for bound in (low, high)))


CARDS: list[tuple[dict[str, Any], str, str]] = [
    ({"slabs": []}, "ratePlan.slabs", "1 to 10"),
    ({"slabs": [slab(i + 1, i) for i in range(11)]}, "ratePlan.slabs", "1 to 10"),
    ({"slabs": [slab(1, 5)]}, "ratePlan.slabs[0].startAfter", "0"),
    ({"slabs": [slab(1, -1)]}, "ratePlan.slabs[0].startAfter", "0"),
    ({"slabs": [slab(1, 0), slab(2, 0)]}, "ratePlan.slabs[1].startAfter", "above"),
    ({"slabs": [slab(1, 0), slab(2, 9), slab(3, 8)]}, "ratePlan.slabs[2].startAfter", "above"),
    ({"slabs": [slab(1, 0), slab(3, 9)]}, "ratePlan.slabs[1].order", "2"),
    ({"slabs": [slab(2, 0), slab(1, 9)]}, "ratePlan.slabs[0].order", "1"),
    ({"slabs": [slab(1, 0, "PACKAGE")]}, "ratePlan.slabs[0].slabConfig", "packageSize"),
    ({"slabs": [slab(1, 0, "PACKAGE", 0)]}, "ratePlan.slabs[0].slabConfig.packageSize", "above 0"),
    ({"slabs": [slab(1, 0, "PACKAGE", "-0.1")]}, "ratePlan.slabs[0].slabConfig.packageSize", "above 0"),
    ({"slabs": [slab(1, 0, "FLAT", 5)]}, "ratePlan.slabs[0].slabConfig", "FLAT"),
    ({"rates": []}, "rateValues", "USD"),
    ({"rates": rates(rate(1), currency="EUR")}, "rateValues[0].currency", "EUR"),
    ({"rates": rates(rate(1)) * 2}, "rateValues[1].currency", "twice"),
    ({"rates": rates()}, "rateValues[0].slabRates", "each slab"),
    ({"rates": rates(rate(2))}, "rateValues[0].slabRates", "each slab"),
    ({"rates": rates(rate(1), rate(1))}, "rateValues[0].slabRates", "each slab"),
    ({"rates": rates(rate(1), rate(2))}, "rateValues[0].slabRates", "each slab"),
    ({"rates": rates(rate(1, "-0.01"))}, "rateValues[0].slabRates[0].rate", "negative"),
    ({"rates": rates(rate(1, 1, 3, 2))}, "rateValues[0].slabRates[0].slabRateConfig", "minimumRate"),
    ({"rates": rates(rate(1, 1, -1))}, "rateValues[0].slabRates[0].slabRateConfig.minimumRate", "negative"),
    ({"rates": rates(rate(1, 1, None, -1))}, "rateValues[0].slabRates[0].slabRateConfig.maximumRate", "negative"),
]


@pytest.mark.parametrize(("change", "field", "word"), CARDS)
def test_cards_that_are_refused(change: dict[str, Any], field: str, word: str) -> None:
    refused(lambda: check_card(usage_card(**change), ["USD"], "card"), f"card.{field}", word)


def test_a_card_with_everything_is_taken() -> None:
    slabs = [slab(1, 0, "FLAT"), slab(2, "0.5"), slab(3, 10**25, "PACKAGE", "0.000000000001")]
    given_rates = rates(rate(3, 0, 2, 2), rate(1, 0), rate(2, "0.000000000001", 0))
    check_card(usage_card(slabs=slabs, rates=given_rates), ["USD"], "card")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), max_size=4))
def test_slabs_are_taken_exactly_where_they_cut_all_quantities_without_gap_or_overlap(
    shape: list[tuple[int, int]],
) -> None:
    slabs = [slab(order, start) for order, start in shape]
    card = usage_card(slabs=slabs, rates=rates(*(rate(i + 1) for i in range(len(slabs)))))
    orders, starts = [order for order, _ in shape], [start for _, start in shape]
    # Every quantity above zero lies above the starts of a first run of slabs, and of nothing else.
    sound = orders == list(range(1, len(shape) + 1)) and starts[:1] == [0] and starts == sorted(set(starts))
    if sound:
        check_card(card, ["USD"], "card")
        return
    with pytest.raises(Invalid) as caught:
        check_card(card, ["USD"], "card")
    assert caught.value.field.startswith("card.ratePlan.slabs")


def plan(**change: Any) -> PlanDetails:
    base = PlanDetails(["USD"], CycleDefinition("MONTHLY", 3), [usage_card()])
    return msgspec.structs.replace(base, **change)


def cycle(interval: str = "MONTHLY", grace: int = 0, **offsets: Any) -> dict[str, Any]:
    return {"cycle": CycleDefinition(interval, grace, **offsets)}


def commitment(*values: tuple[str, Any]) -> dict[str, Any]:
    return {"commitment": Commitment("Least", [CurrencyRate(code, Decimal(value)) for code, value in values])}


PLANS: list[tuple[dict[str, Any], str, str]] = [
    ({"currencies": []}, "supportedCurrencies", "at least one"),
    ({"currencies": ["USD", "USD"]}, "supportedCurrencies", "twice"),
    ({"currencies": ["USD", "EUR"]}, "usageRateCards[0].rateValues", "EUR"),
    ({"cycle": None}, "pricingCycleConfig", "needs"),
    (cycle(grace=-1), "pricingCycleConfig.gracePeriod", "0 to"),
    (cycle(grace=367), "pricingCycleConfig.gracePeriod", "0 to"),
    (cycle("DAILY"), "pricingCycleConfig.interval", "MONTHLY"),
    (cycle(day="32"), "pricingCycleConfig.startOffset.dayOffset", "31"),
    (cycle(day="0"), "pricingCycleConfig.startOffset.dayOffset", "31"),
    (cycle(day="01"), "pricingCycleConfig.startOffset.dayOffset", "31"),
    (cycle(month="1"), "pricingCycleConfig.startOffset.monthOffset", "NIL"),
    (cycle("WEEKLY", day="8"), "pricingCycleConfig.startOffset.dayOffset", "7"),
    (cycle("QUARTERLY", month="4"), "pricingCycleConfig.startOffset.monthOffset", "3"),
    (cycle("HALF_YEARLY", month="7"), "pricingCycleConfig.startOffset.monthOffset", "6"),
    (cycle("ANNUALLY", month="13"), "pricingCycleConfig.startOffset.monthOffset", "12"),
    (cycle(day="1", anniversary=True), "pricingCycleConfig.startOffset", "anniversary"),
    ({"usage": []}, "", "at least one"),
    ({"usage": [usage_card(), usage_card(name="other")]}, "usageRateCards[1].usageMeterId", "already"),
    ({"usage": [usage_card(), usage_card(2)]}, "usageRateCards[1].name", "twice"),
    ({"usage": [usage_card(), usage_card(2, "b", slabs=[])]}, "usageRateCards[1].ratePlan.slabs", "1 to 10"),
    (commitment(), "minimumCommitment.rateValues", "USD"),
    (commitment(("USD", -1)), "minimumCommitment.rateValues[0].rate", "negative"),
    (commitment(("USD", 1), ("EUR", 1)), "minimumCommitment.rateValues[1].currency", "EUR"),
]


@pytest.mark.parametrize(("change", "field", "word"), PLANS)
def test_plans_that_are_refused(change: dict[str, Any], field: str, word: str) -> None:
    path = f"pricePlanDetails.{field}" if field else "pricePlanDetails"
    refused(lambda: check_plan(plan(**change), "BILLING"), path, word)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"usage": [], **commitment(("USD", 0))},
        {"usage": [usage_card(), usage_card(2, "b")], **commitment(("USD", "99.99"))},
        cycle("WEEKLY", day="LAST"),
        cycle("MONTHLY", 366, day="31"),
        cycle("QUARTERLY", day="LAST", month="LAST"),
        cycle("HALF_YEARLY", month="6"),
        cycle("ANNUALLY", day="29", month="2"),
        cycle("ANNUALLY", anniversary=True),
    ],
)
def test_plans_that_are_taken(change: dict[str, Any]) -> None:
    check_plan(plan(**change), "BILLING")


def entitlement(*configs: FeatureConfig, **more: Any) -> EntitlementCard:
    given: dict[str, Any] = {
        "name": "calls",
        "feature": 1,
        "feature_id": "feature.1",
        "configs": list(configs) or [FeatureConfig(Decimal(10), "P20D")],
        "pricing_model": "TIERED",
        "slabs": [slab(1, 0)],
        "rates": [CardRates("USD", [SlabRate(1, Decimal(1))])],
        "timing": "PREPAID",
    }
    return EntitlementCard(**{**given, **more})


def bought(**change: Any) -> PlanDetails:
    return plan(**{"cycle": None, "usage": [], "entitlements": [entitlement()], **change})


FEE = FeeCard("fee", 1, "addon.1", [CurrencyRate("USD", Decimal(5))], prorated=False, recurring=False)
ENTITLEMENTS = "billingEntitlementRateCards"
UNFIT = FeatureConfig(Decimal(10) ** 26 - 1, "P1D")
PURCHASES: list[tuple[dict[str, Any], str, str]] = [
    (cycle(), "pricingCycleConfig", "PURCHASE"),
    ({"usage": [usage_card()]}, "usageRateCards", "PURCHASE"),
    (commitment(("USD", 1)), "minimumCommitment", "PURCHASE"),
    ({"deferred_revenue": True}, "deferredRevenue", "PURCHASE"),
    ({"entitlements": []}, "", "at least one"),
    ({"fees": [msgspec.structs.replace(FEE, recurring=True)]}, "fixedFeeRateCards[0].type", "ONE_TIME"),
    ({"fees": [msgspec.structs.replace(FEE, name="calls")]}, f"{ENTITLEMENTS}[0].name", "twice"),
    ({"entitlements": [entitlement(), entitlement(name="b")]}, f"{ENTITLEMENTS}[1].featureId", "already"),
    ({"entitlements": [entitlement(interval=2)]}, f"{ENTITLEMENTS}[0].recurrenceConfig", "left out"),
    ({"entitlements": [entitlement(slabs=[])]}, f"{ENTITLEMENTS}[0].ratePlan.slabs", "1 to 10"),
    ({"entitlements": [entitlement(rates=[])]}, f"{ENTITLEMENTS}[0].rateValues", "USD"),
    ({"entitlements": [entitlement(UNFIT, UNFIT)]}, f"{ENTITLEMENTS}[0].featureConfigs", "10^26"),
    *(
        ({"entitlements": [entitlement(config)]}, f"{ENTITLEMENTS}[0].featureConfigs[0].{field}", word)
        for config, field, word in [
            (FeatureConfig(Decimal(-1), "P1D"), "featureCreditLimit", "negative"),
            (FeatureConfig(Decimal(1), "P"), "effectiveUntil", "ISO 8601"),
            (FeatureConfig(Decimal(1), "P1D", "1D"), "effectiveFrom", "ISO 8601"),
            (FeatureConfig(Decimal(1), "P1D", "P1D"), "effectiveUntil", "longer"),
            (FeatureConfig(Decimal(1), "P30D", "P1M"), "effectiveUntil", "longer"),
        ]
    ),
]


@pytest.mark.parametrize(("change", "field", "word"), PURCHASES)
def test_purchase_plans_that_are_refused(change: dict[str, Any], field: str, word: str) -> None:
    path = f"pricePlanDetails.{field}" if field else "pricePlanDetails"
    refused(lambda: check_plan(bought(**change), "PURCHASE"), path, word)


@pytest.mark.parametrize("change", [{}, {"fees": [FEE]}, {"fees": [FEE], "entitlements": []}])
def test_purchase_plans_that_are_taken(change: dict[str, Any]) -> None:
    check_plan(bought(**change), "PURCHASE")


def test_what_is_stored_is_exact() -> None:
    details = plan(
        usage=[usage_card(slabs=[slab(1, 0), slab(2, "99999999999999999999999999.999999999999")])],
        **commitment(("USD", "0.000000000001")),
    )
    text = to_text(details)
    assert "99999999999999999999999999.999999999999" in text
    assert from_text(text, PlanDetails) == details
