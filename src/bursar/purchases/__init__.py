"""What an account bought and what that lets it use: today, which price plan it is on and when.

Owns: the schedules of an account and their segments, and the billing periods that follow from them.
Does not own: what a plan says (catalog), what was used (usage), invoices for the periods (invoicing).
"""

OWNS: tuple[str, ...] = ("schedule", "schedule_segment")
"""A schedule is one association; its segments say when it holds. Superseded segments are kept."""
