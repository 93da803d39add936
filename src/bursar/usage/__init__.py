"""An event enters exactly once and is measured.

Owns: admission of events, their states and bodies, repeats, the desk of what was refused, the rollups of quarters of an
hour and of days, counters, quantities of any period, what events say of the names that have licences, how far imports
came.
Does not own: what an event costs, which plan an account has, when a period is billed.
"""

OWNS: tuple[str, ...] = (
    "event_key",
    "event_unlisted",
    "event_listing",
    "event_repeat",
    "event_body",
    "usage_rollup",
    "usage_day",
    "usage_delta",
    "usage_counter",
    "named_license_event",
    "import_mark",
)
