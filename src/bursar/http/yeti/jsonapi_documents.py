"""What a request's document says: its form, its members, and the values that it gives to fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from starlette.requests import Request

from bursar.http.yeti import jsonapi_errors as errors
from bursar.http.yeti.jsonapi import Relationship, Resource, ToOne, dashed
from bursar.http.yeti.jsonapi_kinds import Unfit
from bursar.http.yeti.jsonapi_queries import Types, identifier, underscored

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_UNKNOWN = Resource("", ())


@dataclass(slots=True)
class Given:
    """The values of a document, by name with underscores, and what is wrong with others."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def unread(self) -> frozenset[str]:
        """The fields whose values cannot be read."""
        return frozenset(name for name, _ in self.problems)


def check_media_types(request: Request, *, body: bool) -> None:
    """Raise `Refused` (415, 406) for a document of another type, or a client that takes no JSON:API."""
    kind = request.headers.get("content-type")
    if body and kind != errors.MEDIA_TYPE:
        detail = (
            f"All requests that create or update must use the '{errors.MEDIA_TYPE}' Content-Type. "
            f"This request specified '{errors.quote(kind or '')}'."
        )
        raise errors.refuse("415", "Unsupported media type", detail, 415)
    accepted = request.headers.get("accept", "")
    if accepted == errors.MEDIA_TYPE:
        return
    entries = [entry.strip() for entry in accepted.split(",")]
    if accepted.strip() and not any(entry == errors.MEDIA_TYPE or entry.startswith("*/*") for entry in entries):
        detail = (
            f"All requests must use the '{errors.MEDIA_TYPE}' Accept without media type parameters. "
            f"This request specified '{errors.quote(accepted)}'."
        )
        raise errors.refuse("406", "Not acceptable", detail, 406)


def read_document(content: bytes) -> dict[str, Any]:
    """The document of a body; an empty one has no members. Raises `Refused` (400) for what is none."""
    if not content.strip():
        return {}
    try:
        value = _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError) as error:
        raise errors.bad_request(errors.quote(error)) from None
    except RecursionError:
        raise errors.bad_request("nested too deeply") from None
    if not isinstance(value, dict):
        raise errors.bad_request("Request must be a hash")
    return value


def read_create(document: Mapping[str, Any], resource: Resource, types: Types) -> Given:
    """The values of a document that makes an object."""
    data = _data(document)
    _check_type(data, resource)
    return _values(data, resource, types, resource.writable("C"), identified=False)


def read_update(
    document: Mapping[str, Any], resource: Resource, types: Types, identity: str | None
) -> tuple[str, Given]:
    """The id in a document that changes an object, which must be `identity` unless that is None; and its values."""
    data = _data(document)
    key = data.get("id")
    if key is None:
        raise errors.missing_key()
    if identity is not None and str(key) != identity:
        raise errors.foreign_key(key)
    _check_type(data, resource)
    return str(key), _values(data, resource, types, resource.writable("U"), identified=True)


def read_linkage(
    document: Mapping[str, Any], resource: Resource, relationship: Relationship, types: Types, *, required: bool
) -> Any:
    """The id or ids of a document about one relationship. `required` is whether it must have `data`."""
    if "data" not in document and required:
        raise errors.missing_parameter("data")
    if dashed(relationship.name) not in resource.writable("U"):
        raise errors.not_allowed([dashed(relationship.name)])
    return linkage(document.get("data"), relationship, types)


def linkage(raw: Any, relationship: Relationship, types: Types) -> Any:
    """The id that linkage gives, None or, of a to-many relationship, a list of ids."""
    if isinstance(relationship, ToOne):
        return None if raw is None else _link(raw, relationship, types)
    if not isinstance(raw, list):
        raise errors.invalid_links()
    return list(dict.fromkeys(_link(entry, relationship, types) for entry in raw))


def _data(document: Mapping[str, Any]) -> dict[str, Any]:
    data = document.get("data")
    if data is None or data in ({}, [], "") or data is False:
        raise errors.missing_parameter("data")
    if not isinstance(data, dict):
        raise errors.invalid_data()
    return data


def _check_type(data: Mapping[str, Any], resource: Resource) -> None:
    kind = data.get("type")
    if kind is None:
        raise errors.missing_parameter("type")
    if kind != resource.type and (not isinstance(kind, str) or underscored(kind) != underscored(resource.type)):
        raise errors.invalid_resource(kind)


def _values(
    data: Mapping[str, Any], resource: Resource, types: Types, allowed: frozenset[str], *, identified: bool
) -> Given:
    """The fields of a resource object. Names are looked for among all that may be written, wherever they stand."""
    attributes = _section(data, "attributes")
    relationships = _section(data, "relationships")
    refused = []
    for key in data:
        if key == "attributes":
            refused += [name for name in attributes if name not in allowed or name not in resource.by_key]
        elif key == "relationships":
            refused += [name for name in relationships if name not in allowed]
        elif key not in ("type", "id") or (key == "id" and not identified):
            refused.append(key)
    if refused:
        raise errors.not_allowed(refused)
    given = Given()
    for name, raw in relationships.items():
        relationship = resource.relationships_by_key.get(name)
        # The name of an attribute, put here by mistake, is passed over as it always was.
        if relationship is not None:
            content = raw.get("data") if isinstance(raw, dict) else raw
            given.values[relationship.name] = linkage(content, relationship, types)
    for name, raw in attributes.items():
        attribute = resource.by_key[name]
        try:
            given.values[attribute.name] = attribute.kind.read(raw)
        except Unfit as error:
            given.problems.append((attribute.name, error.rule))
    return given


def _section(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = data.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise errors.invalid_data()
    return section


def _link(raw: Any, relationship: Relationship, types: Types) -> Any:
    if not isinstance(raw, dict) or raw.keys() != {"type", "id"}:
        raise errors.invalid_links()
    kind = raw["type"]
    if kind != relationship.type and (not isinstance(kind, str) or underscored(kind) != underscored(relationship.type)):
        raise errors.type_mismatch(kind)
    if raw["id"] is None and isinstance(relationship, ToOne):
        return None
    if raw["id"] is None or isinstance(raw["id"], dict | list | bool):
        raise errors.invalid_field_value("id", raw["id"])
    return identifier(types.get(relationship.type, _UNKNOWN), str(raw["id"]))
