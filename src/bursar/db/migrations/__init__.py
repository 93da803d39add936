"""Alembic's folder: each version runs the SQL file of its own name."""

from importlib import resources

from alembic import op

from bursar.core import crash


def run_sql(revision: str) -> None:
    """Run `versions/<revision>.sql` as it stands, in the migration's transaction."""
    text = resources.files(__name__).joinpath("versions", f"{revision}.sql").read_text(encoding="utf-8")
    # On the driver's own connection: SQLAlchemy would take a percent sign for a parameter.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(text)
    crash.point("migration ran")
