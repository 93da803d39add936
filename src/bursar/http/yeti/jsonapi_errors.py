"""Error objects of JSON:API, with the codes, titles and details of the original."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from bursar.core.errors import BursarError, Invalid, NotFound, Rejected
from bursar.http.door import Failure
from bursar.http.encode import to_json
from bursar.http.errors import failure

MEDIA_TYPE = "application/vnd.api+json"
QUOTE_LIMIT = 200

Errors = list[dict[str, Any]]

__all__ = ["MEDIA_TYPE", "Errors", "Refused", "fault", "missing_record", "refusal", "rejections"]


class Refused(BursarError):
    """A request that is answered by these error objects; the first one's status is the answer's."""

    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        super().__init__("; ".join(error["detail"] for error in errors))


def quote(value: object) -> str:
    """What was sent, as a detail repeats it: as JSON has it where it is no text, and no longer than it helps."""
    text = to_json(value).decode() if value is None or isinstance(value, bool | dict | list) else str(value)
    return text if len(text) <= QUOTE_LIMIT else f"{text[:QUOTE_LIMIT]}..."


def fault(status: int, code: str, title: str, detail: str, pointer: str | None = None) -> dict[str, Any]:
    """One error object."""
    error: dict[str, Any] = {"title": title, "detail": detail, "code": code}
    if pointer is not None:
        error["source"] = {"pointer": pointer}
    return {**error, "status": str(status)}


def refuse(code: str, title: str, detail: str, status: int = 400) -> Refused:
    """A refusal with one error object."""
    return Refused([fault(status, code, title, detail)])


def bad_request(detail: str) -> Refused:
    """What is not a document at all."""
    return refuse("400", "Bad Request", detail)


def missing_record(identifier: object) -> Refused:
    """There is no such object."""
    return refuse("404", "Record not found", f"The record identified by {quote(identifier)} could not be found.", 404)


def invalid_resource(name: object) -> Refused:
    """There is no such type, or it is not that of the URL."""
    return refuse("101", "Invalid resource", f"{quote(name)} is not a valid resource.")


def filter_not_allowed(name: str) -> dict[str, Any]:
    """No such filter."""
    return fault(400, "102", "Filter not allowed", f"{quote(name)} is not allowed.")


def invalid_field_value(name: str, value: object) -> Refused:
    """A value that its field cannot have, such as an id that is no number."""
    return refuse("103", "Invalid field value", f"{quote(value)} is not a valid value for {name}.")


def invalid_field(name: str, kind: str) -> dict[str, Any]:
    """No such field of a type."""
    return fault(400, "104", "Invalid field", f"{quote(name)} is not a valid field for {kind}.")


def not_allowed(names: Sequence[object]) -> Refused:
    """Members that a document may not have."""
    return Refused([fault(400, "105", "Param not allowed", f"{quote(name)} is not allowed.") for name in names])


def missing_parameter(name: str) -> Refused:
    """A member that a document must have."""
    return refuse("106", "Missing Parameter", f"The required parameter, {name}, is missing.")


def invalid_filter_value(value: object, name: str) -> Refused:
    """A filter that cannot have this value."""
    return refuse("107", "Invalid filter value", f"{quote(value)} is not a valid value for {name}.")


def missing_key() -> Refused:
    """A document that does not say which object it is about."""
    return refuse("109", "A key is required", "The resource object does not contain a key.")


def foreign_key(key: object) -> Refused:
    """A document about another object than the URL."""
    return refuse("110", "Key is not included in URL", f"The URL does not support the key {quote(key)}")


def invalid_include(name: str, kind: str) -> dict[str, Any]:
    """No such relationship of a type."""
    return fault(400, "112", "Invalid field", f"{quote(name)} is not a valid relationship of {kind}")


def relation_exists(identifier: object) -> Refused:
    """A member of a to-many relationship that is to be added is one already."""
    return refuse("113", "Relation exists", f"The relation to {quote(identifier)} already exists.")


def invalid_sort(field: str, kind: str) -> dict[str, Any]:
    """A field by which a type cannot be sorted."""
    return fault(400, "114", "Invalid sort criteria", f"{quote(field)} is not a valid sort criteria for {kind}")


def invalid_links() -> Refused:
    """Linkage that is not exactly a type and an id."""
    return refuse("115", "Invalid Links Object", "Data is not a valid Links Object.")


def type_mismatch(name: object) -> Refused:
    """Linkage to an object of another type."""
    return refuse("116", "Type Mismatch", f"{quote(name)} is not a valid type for this operation.")


def invalid_page(detail: str) -> dict[str, Any]:
    """A page that cannot be."""
    return fault(400, "118", "Invalid page value", detail)


def invalid_data() -> Refused:
    """A document whose `data` is no object."""
    return refuse("122", "Invalid data format", "Data must be a hash.")


def replacement_forbidden() -> Refused:
    """A to-many relationship is not replaced as a whole by itself."""
    return refuse("403", "Complete replacement forbidden", "Complete replacement forbidden for this relationship", 403)


def rejections(problems: Sequence[tuple[str, str]], relationships: frozenset[str]) -> Refused:
    """Broken rules as error objects, in the order given. Fields are named as rooms do; "" is the whole object."""
    errors = []
    for field, rule in problems:
        name = field.replace("_", "-")
        part = "relationships" if field in relationships else "attributes"
        pointer = f"/data/{part}/{name}" if name else "/data"
        errors.append(fault(422, "100", rule, f"{name} - {rule}" if name else rule, pointer))
    return Refused(errors)


def document_of(errors: Errors) -> Response:
    """The answer that error objects make."""
    return Response(to_json({"errors": errors}), int(errors[0]["status"]), media_type=MEDIA_TYPE)


def refusal(error: BaseException) -> Response | None:
    """The answer for what this layer knows how to say; None for all else."""
    if isinstance(error, NotFound):
        error = missing_record(error.identifier)
    if isinstance(error, Rejected):
        error = rejections(error.problems, frozenset())
    return document_of(error.errors) if isinstance(error, Refused) else None


def plain(reason: Failure) -> Response:
    """The answer for what every door may meet: too large, too many, unavailable."""
    title = HTTPStatus(reason.status).phrase
    detail = title if reason.status == 500 else reason.message
    return document_of([fault(reason.status, str(reason.status), title, detail)])


def problems_of(error: BursarError) -> tuple[tuple[str, str], ...]:
    """What a room says is wrong, as fields and rules."""
    if isinstance(error, Rejected):
        return error.problems
    if isinstance(error, Invalid):
        return ((error.field, error.rule),)
    return (("", failure(error).message),)
