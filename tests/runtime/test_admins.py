"""Users of the carrier's door, by environment and by command."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from bursar.core.errors import BursarError, Invalid, Unauthenticated
from bursar.db.database import Database
from bursar.http.yeti.authentication import Doorkeeper
from bursar.runtime.cli import program
from bursar.runtime.connect import first_start
from tests.postgres import fresh_database

Admin = Callable[..., Any]
WALL = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def place(dsn: str) -> Any:
    """A database of its own: what a first start does, it does once."""
    with fresh_database(dsn) as made:
        yield made


def admin(place: str, *arguments: str, password: str | None = None) -> Any:
    """What `bursar admin` prints, which is never a password, or its one-line error."""
    if password is not None:
        arguments = (*arguments, "--password-stdin")
    done = CliRunner().invoke(
        program("admin"), ["admin", *arguments, "--database-url", place, "--json"],
        input=f"{password}\n" if password else "",
        env={"BURSAR_TOKEN": "a-token-of-the-first-start"}, standalone_mode=False,
    )  # fmt: skip
    assert password is None or password not in done.output
    if done.exception is not None:
        assert isinstance(done.exception, BursarError), done.exception
        return done.exception.message
    return json.loads(done.stdout)


def log_in(place: str, username: str, password: str) -> str:
    """`in`, or why not."""

    async def attempt() -> str:
        db = await Database.open(place, size=1)
        try:
            await Doorkeeper(db).log_in_admin(username, password, None, WALL)
        except Unauthenticated as error:
            return error.message
        finally:
            await db.close()
        return "in"

    return asyncio.run(attempt())


def test_users_are_made_and_changed_by_commands(place: str) -> None:
    made = admin(place, "add", "second", "--allow", "10.0.0.0/8", "--allow", "::1", password="p-two")
    assert (made["username"], made["allowed_ips"], made["workspace"]) == ("second", ["10.0.0.0/8", "::1"], "default")
    assert log_in(place, "second", "p-two") == "Your IP address is not allowed."
    assert admin(place, "add", "open", password="p-one")["allowed_ips"] is None
    assert log_in(place, "open", "p-one") == "in"
    assert admin(place, "add", "second", password="p-three") == "username: there is a user 'second' already"
    assert "BURSAR_ADMIN_PASSWORD" in admin(place, "add", "third")
    assert "not valid" in admin(place, "add", "third", "--allow", "10.0.0.0/99", password="p-three")
    assert "username: must be" in admin(place, "add", " ", password="p-three")
    admin(place, "passwd", "open", password="p-new")
    assert (log_in(place, "open", "p-one"), log_in(place, "open", "p-new")) == ("Incorrect login or password.", "in")
    assert admin(place, "passwd", "nobody", password="p-new") == "user 'nobody' was not found"
    assert admin(place, "disable", "open")["enabled"] is False
    assert log_in(place, "open", "p-new") == "Incorrect login or password."
    assert admin(place, "enable", "open")["enabled"] is True
    assert log_in(place, "open", "p-new") == "in"
    listed = {user["username"]: user["enabled"] for user in admin(place, "list")}
    assert {"second": True, "open": True}.items() <= listed.items()


def test_the_environment_makes_the_first_user(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_ADMIN_USERNAME", "first")
    monkeypatch.setenv("BURSAR_TOKEN", "a-token-of-another-first-start")
    with fresh_database(dsn) as place:
        with pytest.raises(Invalid, match="BURSAR_ADMIN_PASSWORD"):
            asyncio.run(first_start(place, WALL))
        monkeypatch.setenv("BURSAR_ADMIN_PASSWORD", "p-first")
        asyncio.run(first_start(place, WALL))
        assert log_in(place, "first", "p-first") == "in"
        # From then on it is the user's own: later starts leave it alone and make no other.
        monkeypatch.setenv("BURSAR_ADMIN_PASSWORD", "p-other")
        asyncio.run(first_start(place, WALL))
        monkeypatch.setenv("BURSAR_ADMIN_USERNAME", "other")
        asyncio.run(first_start(place, WALL))
        found = (log_in(place, "first", "p-first"), log_in(place, "other", "p-other"))
        assert found == ("in", "Incorrect login or password.")
