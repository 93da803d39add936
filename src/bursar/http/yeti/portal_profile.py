"""What a customer's portal may offer: one profile for all of them."""

from starlette.responses import Response

from bursar.http.door import Call
from bursar.http.yeti.door import CUSTOMER, customer_door
from bursar.http.yeti.jsonapi_documents import check_media_types
from bursar.http.yeti.jsonapi_errors import MEDIA_TYPE
from bursar.http.yeti.jsonapi_output import encode

_OFFERED = frozenset(("account", "invoices", "payments", "services", "transactions"))
_PARTS = (
    "account", "outgoing-rateplans", "outgoing-cdrs", "outgoing-cdr-exports", "outgoing-statistics",
    "outgoing-statistics-active-calls", "outgoing-statistics-acd", "outgoing-statistics-asr",
    "outgoing-statistics-failed-calls", "outgoing-statistics-successful-calls", "outgoing-statistics-total-calls",
    "outgoing-statistics-total-duration", "outgoing-statistics-total-price", "outgoing-numberlists", "incoming-cdrs",
    "incoming-statistics", "invoices", "payments", "services", "transactions",
)  # fmt: skip
_PROFILE = {
    "data": {"id": "1", "type": "profiles", "attributes": {part: part in _OFFERED for part in _PARTS}},
}


async def show_profile(call: Call) -> Response:
    """The profile."""
    check_media_types(call.request, body=False)
    return Response(encode(_PROFILE), media_type=MEDIA_TYPE)


for _name in ("profiles", "profile"):
    customer_door.operation(
        "GET", f"{CUSTOMER}/{_name}", id=f"yeti-customer-show-{_name}", tag="profiles", summary="What may be offered",
    )(show_profile)  # fmt: skip
