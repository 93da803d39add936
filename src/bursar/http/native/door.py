"""The native door: its table and RFC 9457 problems."""

from http import HTTPStatus

from starlette.responses import Response

from bursar.http.door import Answer, Door, Failure
from bursar.http.encode import answer

PROBLEM = "application/problem+json"


class Problem(Answer):
    """A problem of RFC 9457; `field` names the value at fault where there is one."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    field: str | None = None


def _failure(reason: Failure) -> Response:
    problem = Problem(
        title=HTTPStatus(reason.status).phrase, status=reason.status, detail=reason.message, field=reason.field
    )
    return answer(problem, reason.status, PROBLEM)


door = Door(
    name="native",
    title="Bursar API",
    description="What no other dialect can say: clocks and explanations.",
    failure=_failure,
    error=Problem,
    error_type=PROBLEM,
    refuse_unknown_query=True,
)
