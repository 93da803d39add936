"""What a release does with the database of another one."""

import psycopg
import pytest

from bursar.db.migrate import DatabaseTooNew
from bursar.runtime.connect import bring_up_to_date
from tests.postgres import fresh_database


def test_the_database_of_a_newer_release_is_refused_and_left_alone(dsn: str) -> None:
    with fresh_database(dsn) as own, psycopg.connect(own, autocommit=True) as connection:
        bring_up_to_date(own)  # there is nothing to do
        connection.execute("update bursar.alembic_version set version_num = 'from the future'")
        with pytest.raises(DatabaseTooNew, match="newer release"):
            bring_up_to_date(own)
        assert connection.execute("select version_num from bursar.alembic_version").fetchall() == [("from the future",)]
