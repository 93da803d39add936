"""The id of an event that was sent without one, by the template of its schema. Pure, and the same for ever."""

import msgspec

from bursar.catalog.definitions import SchemaDefinition
from bursar.catalog.id_templates import Part, read_template
from bursar.core.errors import BursarError
from bursar.core.period import show_instant
from bursar.usage.event import Event

ID_LIMIT = 512

Template = tuple[Part, ...]


class NoId(BursarError):
    """The event carries no id, and none can be put together."""


def template_of(definition: SchemaDefinition) -> Template | None:
    """The template of a schema version, read; None where it has none."""
    if definition.id_template is None:
        return None
    attributes = {attribute.name for attribute in definition.attributes}
    return read_template(definition.id_template, attributes, set(definition.dimensions))


def identified(event: Event, template: Template | None) -> Event:
    """The event with its own id or, where it has none, with the template's; without one where there can be none."""
    if event.id is not None or template is None:
        return event
    try:
        return msgspec.structs.replace(event, id=compose(template, event))
    except NoId:
        return event


def compose(template: Template, event: Event) -> str:
    """The id that a template gives. Raises `NoId` saying what the event lacks."""
    text = "".join(_said(part, event) for part in template)
    if not 1 <= len(text) <= ID_LIMIT:
        raise NoId(f"the id by eventIdTemplate must have 1 to {ID_LIMIT} characters, not {len(text)}")
    if "\0" in text:
        raise NoId("the id by eventIdTemplate must not contain a NUL character")
    return text


def _said(part: Part, event: Event) -> str:
    if part.kind == "text":
        return part.name
    if part.kind == "own":
        own = {"accountId": event.account_id, "schemaName": event.schema_name}
        return show_instant(event.timestamp) if part.name == "timestamp" else own[part.name]
    if part.kind == "dimensions":
        found = event.dimensions.get(part.name)
    else:
        found = next((entry.value for entry in event.attributes if entry.name == part.name), None)
    if found is None:
        raise NoId(f"eventIdTemplate: {part.kind}.{part.name} is missing")
    return found
