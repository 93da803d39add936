"""What was used becomes what is owed: billing cycles opened, invoices drawn up, issued once, explained, and paid.

Owns: invoices, their frozen documents, credit notes and the series that number them; payments.
Does not own: when cycles run (purchases), quantities (usage), arithmetic of prices (rating), postings (ledger).
"""

OWNS: tuple[str, ...] = ("invoice", "invoice_document", "invoice_series", "credit_note", "payment")
