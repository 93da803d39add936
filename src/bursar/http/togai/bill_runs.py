"""Bill runs in the Togai dialect."""

from bursar.http.door import Call, Query
from bursar.http.togai.door import Success, door
from bursar.http.togai.invoices import TAG, InvoicesQuery, ListInvoicesResponse, invoices_page
from bursar.invoicing.bill_runs import ask_bill_run


class BillRunQuery(Query, kw_only=True, rename=None):
    """Whether the run waits to be confirmed."""

    require_confirmation: bool | None = None


@door.operation(
    "GET",
    "/invoices/bill_runs",
    id="listInvoicesForBillRun",
    tag=TAG,
    summary="List the invoices that a bill run would issue",
    query=InvoicesQuery,
    answer=ListInvoicesResponse,
)
async def list_invoices_for_bill_run(call: Call, query: InvoicesQuery) -> ListInvoicesResponse:
    """List the invoices that are due, newest first."""
    return await invoices_page(call, query, due_by=call.caller.now)


@door.operation(
    "POST",
    "/invoices/bill_runs",
    id="createInvoiceBillRun",
    tag=TAG,
    summary="Ask for a bill run",
    scope="write",
    query=BillRunQuery,
    answer=Success,
)
async def create_invoice_bill_run(call: Call, query: BillRunQuery) -> Success:
    """Ask for a bill run, which is done as a job."""
    await ask_bill_run(call.db, call.caller, confirm=bool(query.require_confirmation))
    return Success(success=True)
