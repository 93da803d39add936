"""What can be measured and what it costs: event schemas, usage meters, add-ons, features, price plans.

Owns: event schemas, usage meters, add-ons, features and price plans with their versions, and the snapshot of them
that admission loads.
Does not own: events, which account has which plan, the arithmetic of a price.
"""

OWNS: tuple[str, ...] = (
    "event_schema",
    "event_schema_version",
    "usage_meter",
    "usage_meter_version",
    "add_on",
    "feature",
    "feature_schema",
    "price_plan",
    "price_plan_version",
    "price_plan_currency",
)
