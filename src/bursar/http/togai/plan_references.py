"""What a price plan in the Togai dialect names, looked up: meters, add-ons, features."""

from bursar.catalog import add_ons, features, meters
from bursar.db.database import Connection
from bursar.http.togai.plan_shapes import Known, PlanBody, add_ons_of, features_of, meters_of


async def known_to(connection: Connection, workspace: int, body: PlanBody) -> Known:
    """What exists of all that a plan names, kept from being archived until the transaction ends."""
    return Known(
        meters=await meters.meter_keys(connection, workspace, meters_of(body), archived=False),
        add_ons=await add_ons.use_add_ons(connection, workspace, add_ons_of(body)),
        features=await features.feature_keys(connection, workspace, features_of(body)),
    )
