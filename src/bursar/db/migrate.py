"""Bring a database up to this release. Forward only; each migration is one transaction, so a killed one is redone."""

import psycopg
import sqlalchemy
import sqlalchemy.exc
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from bursar.core.errors import BursarError
from bursar.db.database import API_ROLE, LETTERS, SCHEMA

_GATE = 7_215_001
"""Advisory lock that lets one process migrate while others wait."""


class RoleMissing(BursarError):
    """The database's owner may not create roles, and requests need one of their own."""

    def __init__(self, commands: str, owner: str) -> None:
        super().__init__(f"the role '{owner}' may not create roles; have a superuser run this once: {commands}")


class DatabaseTooNew(BursarError):
    """The database was migrated by a newer release of Bursar: start that release, or restore a backup of this one."""


def migrate(dsn: str) -> None:
    """Run every migration that is missing. Raises `DatabaseTooNew` for a database ahead of this release."""
    config = Config()
    config.set_main_option("script_location", "bursar.db:migrations")
    engine = sqlalchemy.create_engine(_sqlalchemy_url(dsn), connect_args={"options": f"-c search_path={SCHEMA}"})
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select pg_advisory_lock(:gate)"), {"gate": _GATE})
            connection.execute(sqlalchemy.text(f"create schema if not exists {SCHEMA}"))
            connection.commit()
            _make_role(connection)
            _make_letters(connection)
            _refuse_newer(connection, ScriptDirectory.from_config(config))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        engine.dispose()  # ends the session, and its lock with it


def make_surroundings(dsn: str) -> None:
    """Make what no backup brings along: the role of requests, and how letters compare. Raises `RoleMissing`."""
    engine = sqlalchemy.create_engine(_sqlalchemy_url(dsn))
    try:
        with engine.connect() as connection:
            _make_role(connection)
            _make_letters(connection)
    finally:
        engine.dispose()


def _make_role(connection: sqlalchemy.Connection) -> None:
    """Make the role of requests, which belongs to the whole server, and let the owner become it."""
    owner: str = connection.execute(sqlalchemy.text("select current_user")).scalar_one()
    commands = [f"create role {API_ROLE} nologin", f'grant {API_ROLE} to "{owner}"']
    if connection.execute(sqlalchemy.text(f"select 1 from pg_roles where rolname = '{API_ROLE}'")).scalar():
        del commands[0]
        member = connection.execute(sqlalchemy.text(f"select pg_has_role('{API_ROLE}', 'member')")).scalar()
        commands = [] if member else commands
    connection.commit()
    for statement in commands:
        try:
            connection.execute(sqlalchemy.text(statement))
            connection.commit()
        except sqlalchemy.exc.ProgrammingError as error:
            connection.rollback()
            if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
                raise RoleMissing("; ".join(commands) + ";", owner) from None
            if not isinstance(error.orig, psycopg.errors.DuplicateObject | psycopg.errors.UniqueViolation):
                raise
        except sqlalchemy.exc.IntegrityError:
            connection.rollback()  # made meanwhile by a migration of another database of the same server


def _make_letters(connection: sqlalchemy.Connection) -> None:
    """Make the collation for searches. PostgreSQL brings the rules itself from 17 on, before that by ICU."""
    if connection.execute(sqlalchemy.text(f"select to_regcollation('{LETTERS}')")).scalar():
        connection.commit()
        return
    schema = LETTERS.partition(".")[0]
    version: int = connection.execute(sqlalchemy.text("show server_version_num")).scalar_one()
    rules = "builtin, locale = 'C.UTF-8'" if int(version) >= 170_000 else "icu, locale = 'und'"
    for statement in (
        f"create schema if not exists {schema}",
        f"create collation if not exists {LETTERS} (provider = {rules})",
        f"grant usage on schema {schema} to {API_ROLE}",
    ):
        connection.execute(sqlalchemy.text(statement))
    connection.commit()


def _refuse_newer(connection: sqlalchemy.Connection, scripts: ScriptDirectory) -> None:
    if not sqlalchemy.inspect(connection).has_table("alembic_version", schema=SCHEMA):
        return
    current = connection.execute(sqlalchemy.text("select version_num from alembic_version")).scalar()
    known = {script.revision for script in scripts.walk_revisions()}
    connection.commit()
    if current is not None and current not in known:
        raise DatabaseTooNew


def _sqlalchemy_url(dsn: str) -> str:
    return "postgresql+psycopg://" + dsn.split("://", 1)[1]
