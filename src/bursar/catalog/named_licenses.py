"""Licences that are counted by the names that have them: the event schema by which names come and go."""

from bursar.catalog.definitions import AttributeDefinition, SchemaDefinition

SCHEMA = "togai-named-license"
"""Reserved: it is there as soon as there is an add-on of type NAMED_LICENSE."""
LICENSE, NAME, ACTION = "license_id", "name", "action"
"""What its events carry: the add-on's id, who has it, and 1 or -1."""

DEFINITION = SchemaDefinition(
    attributes=[AttributeDefinition(ACTION)],
    dimensions=[LICENSE, NAME],
    description="Names that get (action 1) or lose (action -1) a named licence",
)
