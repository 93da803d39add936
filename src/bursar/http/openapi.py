"""OpenAPI 3.1 documents, made from the doors' tables."""

import re
from typing import Any

import msgspec

from bursar import __version__
from bursar.http.door import Door, Operation
from bursar.http.routing import writes

_PARAMETER = re.compile(r"{(\w+)}")
_ERRORS = {
    "400": "A value breaks a rule; the message names the field",
    "401": "No valid token",
    "403": "The token's scopes do not permit this",
    "404": "There is no such object",
    "429": "Too many requests; `Retry-After` says when to try again",
    "503": "Try again shortly",
}


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again under its key within 30 days, a request is answered as it was and does nothing more",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
_BODY_ERRORS = {"413": "The body is too large"}
_WRITE_ERRORS = {
    "409": "It is known already, or another request changed the same object at the same time",
    "422": "The idempotency key belongs to another request",
}


def document(door: Door) -> dict[str, Any]:
    """The OpenAPI document of one door, ready for JSON."""
    if door.document is not None:
        return door.document(door)
    types = [door.error]
    for operation in door.operations:
        types += [kind for kind in (operation.body, operation.answer, *operation.media.values()) if kind is not None]
    schemas, components = _as_sent(msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}"))
    schema = dict(zip(map(_key, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in door.operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schema, door)
    return {
        "openapi": "3.1.0",
        "info": {"title": door.title, "version": __version__, "description": door.description},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _as_sent(schema: Any) -> Any:
    """Schemas in which decimals are numbers, as the answers have them; the library writes that they are text."""
    if isinstance(schema, list | tuple):
        return [_as_sent(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        rest = {name: part for name, part in schema.items() if name != "format"}
        return rest | {"type": "number"}
    return {name: _as_sent(part) for name, part in schema.items()}


def _key(kind: Any) -> str:
    return repr(kind)


def _operation(operation: Operation, schema: dict[str, Any], door: Door) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": {str(operation.status): _content("Success", operation.answer, schema)}
        | {status: _content(text, door.error, schema, door.error_type) for status, text in _errors(operation).items()},
    }
    if operation.body is not None:
        entry["requestBody"] = {
            "required": not operation.may_be_empty,
            "content": {"application/json": {"schema": schema[_key(operation.body)]}},
        }
    elif operation.media:
        content = {media: {"schema": schema[_key(kind)]} for media, kind in operation.media.items()}
        entry["requestBody"] = {"required": True, "content": content}
    if operation.scope:
        entry["security"] = [{"bearer": []}]
        entry["x-scope"] = operation.scope
    return entry


def _errors(operation: Operation) -> dict[str, str]:
    """What an operation may be refused for, by status."""
    of_body = _BODY_ERRORS if operation.body is not None or operation.media else {}
    return _ERRORS | of_body | (_WRITE_ERRORS if writes(operation) else {})


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    path: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(operation.path)
    ]
    if writes(operation):
        path.append(_KEY)
    if operation.query is None:
        return path
    fields = msgspec.json.schema(operation.query)
    definition = next(iter(fields.get("$defs", {"": fields}).values()))
    return path + [
        {"name": name, "in": "query", "required": name in definition.get("required", []), "schema": content}
        for name, content in definition.get("properties", {}).items()
    ]


def _content(text: str, kind: Any, schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    if kind is None:
        return {"description": text}
    return {"description": text, "content": {media: {"schema": schema[_key(kind)]}}}
