"""Kept events under the rules that judged them: schema version, settings and meters of that moment.

An event names its schema version and the version of the workspace's rules; schema versions, meter versions and values
of settings are never removed. So what was measured can be measured again from what was sent, for ever.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bursar.accounts import settings
from bursar.accounts.setting_values import Reference, Settings, Value
from bursar.catalog import snapshot
from bursar.db.database import Connection, Row
from bursar.usage.enrichment import Data, Enrichment, compile_enrichment
from bursar.usage.event import Event, event_of
from bursar.usage.event_ids import Template, identified, template_of
from bursar.usage.measure import Meter, compile_meter, data_of

MeterInForce = tuple[snapshot.MeterView, Meter]


@dataclass(frozen=True, slots=True)
class Judged:
    """A kept event as meters saw it."""

    event: Event
    data: Data
    """What rules read: what was sent, and what the schema added."""
    meters: list[MeterInForce]
    enrichment: Enrichment | None = None
    settings: dict[str, Value] = field(default_factory=dict)
    """The dependencies of the enrichment that were set, by name."""


@dataclass(slots=True)
class Rules:
    """Everything by which events of a workspace were ever judged. `prepare` for their accounts before `judged`."""

    workspace: int
    meters: Sequence[MeterInForce]
    enrichments: dict[int, Enrichment]
    """By schema version, of those that add something."""
    templates: dict[int, Template]
    """By schema version, of those that give ids to events."""
    wanted: frozenset[Reference]
    settings: Settings

    @classmethod
    async def load(
        cls, connection: Connection, workspace: int, *, meter: int | None = None, schema: int | None = None
    ) -> "Rules":
        """The rules of a workspace; with one meter or one schema version alone where no other is asked for."""
        meters = [
            (view, compile_meter(view))
            for view in await snapshot.history(connection, workspace)
            if meter is None or view.meter == meter
        ]
        enrichments, templates = {}, {}
        wanted_schemas = None if schema is None else [schema]
        for key, version in (await snapshot.schema_versions(connection, workspace, wanted_schemas)).items():
            enrichment = compile_enrichment(version.definition.enrichments)
            if enrichment is not None:
                enrichments[key] = enrichment
            template = template_of(version.definition)
            if template is not None:
                templates[key] = template
        wanted = references(enrichments.values())
        shared = await settings.load_shared(connection, workspace, wanted)
        return cls(workspace, meters, enrichments, templates, wanted, shared)

    async def prepare(self, connection: Connection, accounts: Iterable[int | None]) -> None:
        """Read what accounts lack of their settings."""
        if self.wanted:
            unknown = sorted({key for key in accounts if key is not None} - self.settings.own.keys())
            await settings.load_own(connection, self.workspace, self.settings, self.wanted, unknown)

    def judged(self, row: Row, raw: bytes) -> Judged:
        """The event of a row (account, catalog_version, event_schema) as its meters saw it.

        Raises `EnrichmentFailed` where the event could not be enriched, as it could when it was admitted.
        """
        schema = row["event_schema"]
        event = identified(event_of(raw), self.templates.get(schema))
        return self.of(event, row["account"], row["catalog_version"], schema)

    def of(self, event: Event, account: int, version: int, schema: int) -> Judged:
        """An event of an account as meters saw it at a version of the rules, under a schema version."""
        meters = [
            entry
            for entry in self.meters
            if entry[0].schema_name == event.schema_name
            and entry[0].active_from <= version
            and (entry[0].active_until is None or version < entry[0].active_until)
        ]
        enrichment = self.enrichments.get(schema)
        if enrichment is None:
            return Judged(event, data_of(event), meters)
        found = enrichment.settings(self.settings, account, version)
        return Judged(event, enrichment.apply(data_of(event), found), meters, enrichment, found)


def references(enrichments: Iterable[Enrichment]) -> frozenset[Reference]:
    """The settings that enrichments depend on."""
    return frozenset(dependency.setting for enrichment in enrichments for dependency in enrichment.dependencies)
