"""Miscellaneous charges in the Togai dialect."""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from bursar.http.door import Answer, Body, Call
from bursar.http.encode import number
from bursar.http.togai.door import door
from bursar.http.togai.invoices import TAG
from bursar.invoicing.charge_lists import put_on_account, put_on_invoice
from bursar.invoicing.charges import CHARGES_LIMIT, LOGIC_LIMIT, Charge, shown_value


class MiscellaneousCharge(Body, kw_only=True):
    """A charge: rate and quantity, or a value, which is a number or jsonLogic."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    rate: Decimal | None = None
    quantity: Decimal | None = None
    value: Annotated[str, Meta(max_length=LOGIC_LIMIT)] | None = None
    consider_for_revenue: bool | None = None


class ManageMiscellaneousChargesRequest(Body, kw_only=True):
    """All charges that there are to be."""

    items: Annotated[list[MiscellaneousCharge], Meta(max_length=CHARGES_LIMIT)]


class MiscellaneousChargeShape(Answer, kw_only=True):
    """A charge with its value."""

    name: str
    value: str
    consider_for_revenue: bool
    rate: Decimal | None = None
    quantity: Decimal | None = None


class MiscellaneousChargesResponse(Answer, kw_only=True):
    """All charges that there are now."""

    data: list[MiscellaneousChargeShape]


@door.operation(
    "PUT",
    "/accounts/{account_id}/miscellaneous_charges",
    id="manageMiscellaneousChargesInAccount",
    tag=TAG,
    summary="Set the miscellaneous charges of the next invoice of an account",
    scope="write",
    body=ManageMiscellaneousChargesRequest,
    answer=MiscellaneousChargesResponse,
)
async def manage_miscellaneous_charges_in_account(
    call: Call, body: ManageMiscellaneousChargesRequest
) -> MiscellaneousChargesResponse:
    """Set what the next invoice of an account takes along."""
    charges = [_charge(item) for item in body.items]
    async with call.db.transaction(call.caller.workspace) as connection:
        await put_on_account(connection, call.caller, call.path["account_id"], charges)
    return _shape(charges)


@door.operation(
    "PUT",
    "/invoices/{invoice_id}/miscellaneous_charges",
    id="manageMiscellaneousChargesInInvoice",
    tag=TAG,
    summary="Set the miscellaneous charges of a draft",
    scope="write",
    body=ManageMiscellaneousChargesRequest,
    answer=MiscellaneousChargesResponse,
)
async def manage_miscellaneous_charges_in_invoice(
    call: Call, body: ManageMiscellaneousChargesRequest
) -> MiscellaneousChargesResponse:
    """Set the charges of a draft."""
    charges = [_charge(item) for item in body.items]
    async with call.db.transaction(call.caller.workspace) as connection:
        await put_on_invoice(connection, call.caller, call.path["invoice_id"], charges)
    return _shape(charges)


def _charge(item: MiscellaneousCharge) -> Charge:
    return Charge(item.name, item.rate, item.quantity, item.value, bool(item.consider_for_revenue))


def _shape(charges: list[Charge]) -> MiscellaneousChargesResponse:
    return MiscellaneousChargesResponse(
        data=[
            MiscellaneousChargeShape(
                name=charge.name,
                value=shown_value(charge),
                consider_for_revenue=charge.revenue,
                rate=None if charge.rate is None else number(charge.rate),
                quantity=None if charge.quantity is None else number(charge.quantity),
            )
            for charge in charges
        ]
    )
