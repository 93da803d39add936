"""The audit trail: who did what to which object, and the seal of each entry."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from bursar.core.period import utc
from bursar.db import audit
from bursar.http.door import Answer, Call, Query
from bursar.http.native.door import door

PAGE_LIMIT = 200
Text = Annotated[str, Meta(max_length=500)]


class AuditQuery(Query, kw_only=True):
    """Which entries to list."""

    actor: Text | None = None
    action: Text | None = None
    kind: Text | None = None
    object: Text | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: Annotated[str, Meta(max_length=20)] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE_LIMIT)] = 50


class AuditEntry(Answer, kw_only=True):
    """One write. `number` and `hash` are its link in the chain; they are left out for the second until it is sealed."""

    recorded_at: datetime
    actor: str
    action: str
    kind: str
    object: str
    detail: dict[str, Any]
    number: int | None = None
    hash: str | None = None


class AuditPage(Answer, kw_only=True):
    """A page of the trail."""

    entries: list[AuditEntry]
    next: str | None
    """Send it as `after` for the entries that follow; null where there are none."""


@door.operation(
    "GET",
    "/bursar/v1/audit",
    id="listAudit",
    tag="Audit",
    summary="List the workspace's audit entries, newest first",
    scope="admin",
    query=AuditQuery,
    answer=AuditPage,
)
async def list_audit(call: Call, query: AuditQuery) -> AuditPage:
    """List entries."""
    wanted = audit.Filter(
        query.actor, query.action, query.kind, query.object,
        utc(query.since) if query.since else None, utc(query.until) if query.until else None,
    )  # fmt: skip
    async with call.db.reading(call.caller.workspace) as connection:
        page = await audit.list_entries(connection, call.caller, wanted, query.after, query.limit)
    return AuditPage(
        entries=[
            AuditEntry(
                recorded_at=entry.recorded_at,
                actor=entry.actor,
                action=entry.action,
                kind=entry.kind,
                object=entry.object,
                detail=entry.detail,
                number=entry.number,
                hash=entry.hash.hex() if entry.hash else None,
            )
            for entry in page.items
        ],
        next=page.after,
    )
