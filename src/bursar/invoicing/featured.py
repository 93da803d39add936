"""What invoices charge of features that were used beyond what was granted."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from msgspec import UNSET

from bursar.catalog.plans import PlanVersion
from bursar.db.database import Connection
from bursar.invoicing.document import frozen
from bursar.invoicing.store import Cycle, Header
from bursar.purchases.plan_grants import overage_used


async def overage_of(
    connection: Connection,
    workspace: int,
    headers: Sequence[tuple[Header, Cycle]],
    versions: Mapping[int, PlanVersion],
) -> dict[int, dict[int, Decimal]]:
    """By key of the invoice and of the feature; nothing of plans that have no such cards.

    An invoice that is issued charged what its document says: what holds are settled for later comes too late for it.
    """
    found: dict[int, dict[int, Decimal]] = {}
    wanted = []
    for header, cycle in headers:
        overages = versions[cycle.plan_version].details.overages if header.type == "STANDARD" else ()
        if overages and header.content is not None:
            charged = {
                entry.feature.feature_id: entry.quantity or Decimal(0)
                for entry in frozen(header.content).lines
                if entry.type == "ENTITLEMENT_OVERAGE_RATE_CARD" and entry.feature is not UNSET
            }
            found[header.key] = {card.feature: charged.get(card.feature_id, Decimal(0)) for card in overages}
        else:
            wanted += [(header, cycle, card.feature) for card in overages]
    if wanted:
        places = [(cycle.schedule_id, header.period.start, feature) for header, cycle, feature in wanted]
        used = await overage_used(connection, workspace, places)
        for (header, _, feature), quantity in zip(wanted, used, strict=True):
            found.setdefault(header.key, {})[feature] = quantity
    return found
