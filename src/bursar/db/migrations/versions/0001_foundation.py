"""The foundation: tenants, accounts, catalogue, usage, ledger, schedules and invoices."""

from bursar.db.migrations import run_sql

revision = "0001_foundation"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    run_sql(revision)
