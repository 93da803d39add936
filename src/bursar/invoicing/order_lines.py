"""The lines of an order: what is bought, how often, and what that costs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import msgspec

from bursar.catalog.definitions import CreditGrantCard, EntitlementCard, FeeCard, UsageCard
from bursar.catalog.plans import PlanVersion
from bursar.core.decimals import plain, show, to_scale
from bursar.invoicing.credit_lines import CREDIT_GRANT
from bursar.invoicing.document import FeeTerms, Line, LineType, OrderTerms, PriceVersion
from bursar.invoicing.model import Content
from bursar.invoicing.pricing import card_bounds, charge, credit_charge, slab_line, sum_formula
from bursar.purchases.order_model import Goods, Topup
from bursar.purchases.plan_credits import credit_amount
from bursar.rating.rate import line, rounding_formula

_ZERO, _ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """What is bought of a PURCHASE plan, or paid ahead at the prices of a BILLING plan, in a currency."""

    plan: PlanVersion
    goods: Goods
    currency: str
    exponent: int
    names: Mapping[str, str]
    """What invoices call the plan's add-ons and features, by their ids."""

    def content(self) -> Content:
        """The lines: fees, then entitlements, then credits, each in the plan's order; or units paid ahead, by meter.

        A card's price is that of all units that it grants at once, times how often it is bought.
        """
        details = self.plan.details
        if self.goods.type == "PREPAID":
            cards = [card for card in details.usage if card.meter_id in self.goods.quantities]
            return _content([self._units(number, card) for number, card in enumerate(cards, 1)])
        lines = [self._fee(number, card) for number, card in enumerate(details.fees, 1)]
        lines += [self._entitlement(number, card) for number, card in enumerate(details.entitlements, len(lines) + 1)]
        lines += [self._credits(number, card) for number, card in enumerate(details.credits, len(lines) + 1)]
        return _content(lines)

    def _credits(self, number: int, card: CreditGrantCard) -> Line:
        cost = credit_charge(card, self.currency)
        slabs = [slab_line(entry) for entry in cost.slabs]
        text = sum_formula(slabs, [show(entry.amount) for entry in slabs], cost, cost.amount, self.exponent)
        made = self._line(number, CREDIT_GRANT, card, card.add_on_id, cost.amount, text)
        given = credit_amount(card, self.currency, self.exponent, self.goods.times(card.add_on_id))
        return msgspec.structs.replace(
            made, pricing_model=card.pricing_model, quantity=plain(given), slabs=slabs, bounds=card_bounds(cost)
        )

    def _fee(self, number: int, card: FeeCard) -> Line:
        rate = plain(card.in_currency(self.currency))
        made = self._line(number, "FIXED_FEE_RATE_CARD", card, card.add_on_id, rate, f"fee {show(rate)}")
        fee = FeeTerms(
            add_on_id=card.add_on_id,
            type="ONE_TIME",
            invoice_timing="IN_ADVANCE" if card.in_advance else "IN_ARREARS",
            rate=rate,
            prorated=False,
            cycle=0,
            days=1,
            of_days=1,
        )
        return msgspec.structs.replace(made, fee=fee)

    def _entitlement(self, number: int, card: EntitlementCard) -> Line:
        cost = charge(card, self.currency, card.units)
        slabs = [slab_line(entry) for entry in cost.slabs]
        text = sum_formula(slabs, [show(entry.amount) for entry in slabs], cost, cost.amount, self.exponent)
        made = self._line(number, "BILLING_ENTITLEMENT_RATE_CARD", card, card.feature_id, cost.amount, text)
        return msgspec.structs.replace(
            made,
            pricing_model=card.pricing_model,
            quantity=plain(to_scale(card.units * self.goods.times(card.feature_id))),
            slabs=slabs,
            bounds=card_bounds(cost),
        )

    def _units(self, number: int, card: UsageCard) -> Line:
        units = self.goods.quantities[card.meter_id]
        cost = charge(card, self.currency, units)
        slabs = [slab_line(entry) for entry in cost.slabs]
        text = sum_formula(slabs, [show(entry.amount) for entry in slabs], cost, cost.amount, self.exponent)
        made = self._line(number, "PREPAID", card, card.meter_id, cost.amount, text, _ONE)
        return msgspec.structs.replace(
            made, pricing_model=card.pricing_model, quantity=plain(units), slabs=slabs, bounds=card_bounds(cost)
        )

    def _line(
        self,
        number: int,
        kind: LineType,
        card: FeeCard | EntitlementCard | UsageCard | CreditGrantCard,
        billable: str,
        price: Decimal,
        formula: str,
        times: Decimal | None = None,
    ) -> Line:
        plan = self.plan
        version = PriceVersion(
            price_plan_id=plan.id, price_plan_name=plan.name, version=plan.version, id=plan.version_id
        )
        often = self.goods.times(billable) if times is None else times
        terms = OrderTerms(billable_id=billable, times=plain(often), price=plain(price))
        made = _line(number, kind, card.display_name or self.names[billable], terms, self.exponent, formula)
        return msgspec.structs.replace(made, name=card.name, tag=card.tag, price_version=version)


def money_content(kind: Literal["WALLET_TOPUP", "PREPAID"], topup: Topup, currency: str, exponent: int) -> Content:
    """The one line of money for a wallet, or for usage to come."""
    purpose, name = ("the wallet", "wallet-topup") if kind == "WALLET_TOPUP" else ("usage to come", "prepaid")
    text = f"{show(topup.amount)} {currency} for {purpose}"
    terms = OrderTerms(billable_id=None, times=_ONE, price=plain(topup.price))
    made = _line(1, kind, text, terms, exponent, f"price {show(topup.price)}")
    return _content([msgspec.structs.replace(made, name=name)])


def _line(number: int, kind: LineType, description: str, terms: OrderTerms, exponent: int, formula: str) -> Line:
    cost = to_scale(terms.price * terms.times)
    amount, rounding = line(cost, exponent)
    if terms.times != 1:
        formula += f", x {show(terms.times)} = {show(cost)}"
    return Line(
        number=number,
        type=kind,
        name="",
        description=description,
        tag=None,
        meter=None,
        pricing_model=None,
        quantity=None,
        slabs=[],
        bounds=None,
        fee=None,
        commitment=None,
        price_version=None,
        formula=formula + rounding_formula(cost, amount, exponent),
        unrounded=plain(cost),
        amount=plain(amount),
        rounding=plain(rounding),
        tax_rate=_ZERO,
        tax=_ZERO,
        order=terms,
    )


def _content(lines: list[Line]) -> Content:
    total = plain(sum((entry.amount for entry in lines), _ZERO))
    return Content(lines, total, total)
