"""The OpenAPI document of a door of resources, made from their declarations."""

import re
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bursar import __version__
from bursar.http.door import Answer, Door, Operation
from bursar.http.yeti.jsonapi import Relationship, Resource, ToOne, dashed
from bursar.http.yeti.jsonapi_errors import MEDIA_TYPE

if TYPE_CHECKING:
    from bursar.http.yeti.jsonapi_routes import ResourceDoor

_PARAMETER = re.compile(r"{(\w+)}")
_ERRORS = {
    "400": "The request says something that cannot be",
    "403": "The token's scopes do not permit this, or the relationship is not replaced as a whole",
    "404": "There is no such object",
    "406": "The client does not take JSON:API",
    "429": "Too many requests; `Retry-After` says when to try again",
    "503": "Try again shortly",
}
_WRITING = {
    "409": "Another request changed the same object at the same time",
    "413": "The document is too large",
    "415": "The document is not sent as JSON:API",
    "422": "Values break rules, one error for each; or the idempotency key belongs to another request",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again under its key within 30 days, a request is answered as it was and does nothing more",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
_OF_ONE = 2
_STRING = {"type": "string"}
_LINKS = {"type": "object", "additionalProperties": _STRING}


class ErrorObject(Answer, kw_only=True):
    """One thing that is wrong."""

    title: str
    detail: str
    code: str
    source: dict[str, str] | None = None
    status: str


class ErrorDocument(Answer, kw_only=True):
    """What is wrong: one object for each thing, the first of which gave the answer its status."""

    errors: list[ErrorObject]


def document(door: Door) -> dict[str, Any]:
    """The OpenAPI document, ready for JSON. Operations that are no resource's are described by their types."""
    resources = cast("ResourceDoor", door)
    made = resources.made
    plain = [operation for operation in door.operations if operation.id not in made]
    kinds = [
        door.error,
        *(kind for o in plain for kind in (o.body, o.answer) if kind is not None and kind is not bytes),
    ]
    shapes, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    shape = dict(zip(map(repr, kinds), shapes, strict=True))
    for resource in resources.resources.values():
        components[resource.type] = _object(resource)
    error = {MEDIA_TYPE: {"schema": shape[repr(door.error)]}}
    responses = {status: {"description": text, "content": error} for status, text in (_ERRORS | _WRITING).items()}
    responses["401"] = {"description": "No valid token"}
    parameters = {"Idempotency-Key": _KEY}
    for resource in resources.resources.values():
        parameters |= {f"{resource.type}-{place}": one for place, one in enumerate(_query(resource))}
    paths: dict[str, dict[str, Any]] = {}
    for operation in door.operations:
        if operation.id in made:
            entry = _entry(operation, *made[operation.id], resources.resources)
        else:
            entry = _plain_entry(operation, shape, shape[repr(door.error)])
        paths.setdefault(operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": door.title, "version": __version__, "description": door.description},
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": responses,
            "parameters": parameters,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _entry(
    operation: Operation,
    resource: Resource,
    action: str,
    relationship: Relationship | None,
    types: dict[str, Resource],
) -> dict[str, Any]:
    target = resource if relationship is None else types.get(relationship.type, resource)
    several = action == "list" or (action == "showRelated" and not isinstance(relationship, ToOne))
    answered = _answered(action, target, relationship, several=several)
    success: dict[str, Any] = {"description": "Success"}
    if answered is not None:
        success["content"] = {MEDIA_TYPE: {"schema": answered}}
    responses: dict[str, Any] = {str(operation.status): success}
    for status in ("401", *(_ERRORS | _WRITING if operation.scope == "write" else _ERRORS)):
        responses[status] = {"$ref": f"#/components/responses/{status}"}
    entry: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation, target, action, several=several),
        "responses": responses,
        "security": [{"bearer": []}],
        "x-scope": operation.scope,
    }
    if operation.body is not None and not (action == "deleteLinkage" and isinstance(relationship, ToOne)):
        taken = _taken(action, resource, relationship)
        entry["requestBody"] = {"required": True, "content": {MEDIA_TYPE: {"schema": taken}}}
    return entry


def _plain_entry(operation: Operation, shape: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success"}
    if operation.answer is not None:
        success["content"] = {"application/json": {"schema": shape[repr(operation.answer)]}}
    responses = {str(operation.status): success, "401": {"description": "Not admitted"}}
    for status in ("400", "404", "413", "422", "429", "503"):
        # Who logs in does not speak JSON:API yet.
        errors = {MEDIA_TYPE: {"schema": error}} if operation.scope else {"application/json": {}}
        responses[status] = {"description": "Error", "content": errors}
    if operation.answer is None:
        responses["404"] = {"description": "There is none; the answer is empty or says what is missing"}
    entry: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _path_parameters(operation),
        "responses": responses,
    }
    if operation.body is not None and operation.body is not bytes:
        entry["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": shape[repr(operation.body)]}},
        }
    if operation.scope:
        entry |= {"security": [{"bearer": []}], "x-scope": operation.scope}
    return entry


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _STRING} for name in _PARAMETER.findall(operation.path)
    ]


def _parameters(operation: Operation, target: Resource, action: str, *, several: bool) -> list[dict[str, Any]]:
    found = _path_parameters(operation)
    if operation.method in ("POST", "PUT", "PATCH"):
        found.append({"$ref": "#/components/parameters/Idempotency-Key"})
    if action.endswith("Linkage") or action == "delete":
        return found
    count = len(_query(target)) if several else _OF_ONE
    return found + [{"$ref": f"#/components/parameters/{target.type}-{place}"} for place in range(count)]


def _query(resource: Resource) -> list[dict[str, Any]]:
    """The query parameters of a list; the first `_OF_ONE` hold for one object as well."""
    names = {"include": "Relationships to include, separated by commas, nested by points",
             f"fields[{resource.type}]": "The fields to show, separated by commas",
             "sort": "Fields to sort by, separated by commas, `-` before one for descending order"}  # fmt: skip
    if resource.paged:
        names |= {"page[number]": "From 1", "page[size]": "1 to 1000; 50 unless given"}
    names |= {f"filter[{name}]": "Condition" for name in resource.filters}
    return [
        {"name": name, "in": "query", "required": False, "description": text, "schema": _STRING}
        for name, text in names.items()
    ]


def _answered(
    action: str, target: Resource, relationship: Relationship | None, *, several: bool
) -> dict[str, Any] | None:
    if action == "showLinkage":
        identity = _identity(target.type)
        data = {"anyOf": [identity, {"type": "null"}]} if isinstance(relationship, ToOne) else _array(identity)
        return _members({"data": data, "links": _LINKS})
    if action == "delete" or action.endswith("Linkage"):
        return None
    one = {"$ref": f"#/components/schemas/{target.type}"}
    included = {"type": "array", "items": {"type": "object"}}
    if several:
        return {
            "type": "object",
            "required": ["data", "meta"],
            "properties": {
                "data": _array(one), "included": included, "links": _LINKS,
                "meta": _members({"total-count": {"type": "integer"}}),
            },
        }  # fmt: skip
    data = one if relationship is None else {"anyOf": [one, {"type": "null"}]}
    return {"type": "object", "required": ["data"], "properties": {"data": data, "included": included}}


def _taken(action: str, resource: Resource, relationship: Relationship | None) -> dict[str, Any]:
    if relationship is not None:
        identity = _identity(relationship.type)
        data = {"anyOf": [identity, {"type": "null"}]} if isinstance(relationship, ToOne) else _array(identity)
        return _members({"data": data})
    letter = "C" if action == "create" else "U"
    links: dict[str, Any] = {}
    for other in resource.relationships.values():
        if letter in other.writes:
            identity = _identity(other.type)
            data = {"anyOf": [identity, {"type": "null"}]} if isinstance(other, ToOne) else _array(identity)
            links[dashed(other.name)] = _members({"data": data})
    attributes = {dashed(a.name): a.kind.taken for a in resource.attributes if letter in a.writes}
    parts: dict[str, Any] = {"type": {"const": resource.type}}
    if letter == "U":
        parts["id"] = {"type": ["string", "integer"]}
    shape = _members(parts)
    shape["properties"] |= {
        "attributes": {"type": "object", "properties": attributes, "additionalProperties": False},
        "relationships": {"type": "object", "properties": links, "additionalProperties": False},
    }
    return _members({"data": {**shape, "additionalProperties": False}})


def _object(resource: Resource) -> dict[str, Any]:
    attributes = {
        dashed(a.name): {"anyOf": [a.kind.shown, {"type": "null"}]} for a in resource.attributes if a.readable
    }
    links = {dashed(name): {"type": "object"} for name in resource.relationships}
    return {
        "title": resource.type,
        "type": "object",
        "required": ["id", "type"],
        "properties": {
            "id": _STRING,
            "type": {"const": resource.type},
            "links": _LINKS,
            "attributes": {"type": "object", "properties": attributes, "additionalProperties": False},
            "relationships": {"type": "object", "properties": links, "additionalProperties": False},
        },
        "additionalProperties": False,
    }


def _identity(kind: str) -> dict[str, Any]:
    return _members({"type": {"const": kind}, "id": {"type": ["string", "integer"]}})


def _array(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _members(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
