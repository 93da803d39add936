"""Business errors: facts about an object, ignorant of HTTP. `http.errors` maps them to answers as data."""

from collections.abc import Sequence


class BursarError(Exception):
    """Something about the request or the state of the business does not permit it."""

    def __init__(self, message: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)


class Invalid(BursarError):
    """A value breaks a rule. Names the field as a path (`aliases[2].value`) and the rule."""

    def __init__(self, field: str, rule: str) -> None:
        self.field = field
        self.rule = rule
        super().__init__(f"{field}: {rule}" if field else rule)


class Rejected(BursarError):
    """Several values break rules, told at once. `problems` are fields and rules; the field "" is the whole object."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{field}: {rule}" if field else rule for field, rule in self.problems))


class NotFound(BursarError):
    """There is no such object in this workspace."""

    def __init__(self, kind: str, identifier: str) -> None:
        self.kind = kind
        self.identifier = identifier
        super().__init__(f"{kind} {identifier!r} was not found")


class Taken(Invalid):
    """A name or id that must be unique belongs to another object."""


class WrongState(BursarError):
    """The object's state does not permit the operation."""


class Unauthenticated(BursarError):
    """A valid token is needed: send it as `Authorization: Bearer <token>`."""


class Forbidden(BursarError):
    """The token's scopes do not permit this."""


class TooLarge(BursarError):
    """The request is larger than the limit."""


class Unavailable(BursarError):
    """The service cannot do this right now; try again shortly."""

    def __init__(self, message: str = "", retry_after: int = 1) -> None:
        """`retry_after`: seconds in which there is no use in another try."""
        self.retry_after = retry_after
        super().__init__(message)
