"""What an account bought and what that lets it use: which price plan it is on and when, and a carrier's services.

Owns: the schedules of an account and their segments, and the billing periods that follow from them; purchases and
proposals, and what they grant; grants of feature units, what is drawn of them and what holds have set aside; how many
licences it has and had; services, their types and free minutes, and what is charged to balances for them or by hand.
Does not own: what a plan says (catalog), what was used (usage), balances (ledger), invoices (invoicing).
"""

OWNS: tuple[str, ...] = (
    "schedule",
    "schedule_segment",
    "purchase",
    "feature_balance",
    "feature_grant",
    "feature_entry",
    "feature_hold",
    "feature_hold_part",
    "license_update",
    "service_type",
    "service",
    "package_counter",
    "charge",
)
"""A schedule is one association; its segments say when it holds. Superseded segments are kept."""
