"""What was used becomes what is owed: billing cycles opened, invoices drawn up, issued once, explained, and paid.

Owns: invoices, their frozen documents, credit notes and the series that number them; statements, which sum up what a
carrier's accounts were charged, with their breakdown, and the templates of their documents; payments; what is charged
by hand; groups of accounts that are billed together; adjustments of issued invoices by corrected usage.
Does not own: when cycles run (purchases), quantities (usage), arithmetic of prices (rating), postings (ledger).
"""

OWNS: tuple[str, ...] = (
    "invoice",
    "purchase_order",
    "invoice_document",
    "invoice_series",
    "credit_note",
    "payment",
    "invoice_payment",
    "remittance",
    "remittance_line",
    "invoice_group",
    "invoice_group_account",
    "miscellaneous_charges",
    "custom_invoice",
    "adjustment",
    "adjustment_usage",
    "adjustment_part",
    "invoice_template",
    "statement",
    "statement_destination",
    "statement_network",
    "statement_service",
    "statement_failure",
)
