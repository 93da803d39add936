"""Arrays as texts: PostgreSQL reads what was meant."""

from decimal import Decimal
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.db.database import Database
from bursar.db.queries import numbers, texts

NASTY = st.text(st.sampled_from("aé,{}\\\"\n\t 'NUL\u2028💶"), max_size=8) | st.sampled_from(
    ["null", "NULL", "", " ", "{}"]
)
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(st.none() | NASTY | ANY, max_size=8))
async def test_texts_are_read_as_they_were(database: Database, values: list[str | None]) -> None:
    row = await database.lookup("select $1::text::text[] as read", texts(values))
    assert row is not None
    assert row["read"] == values


async def test_numbers_and_uuids_are_read_as_they_were(database: Database) -> None:
    uuids = [UUID(int=1), None, UUID(int=2**127 + 5)]
    amounts = [Decimal("-0.000000000001"), None, Decimal("1E+3"), 7]
    row = await database.lookup(
        "select $1::text::uuid[] as uuids, $2::text::numeric[] as amounts", numbers(uuids), numbers(amounts)
    )
    assert row is not None
    assert (row["uuids"], row["amounts"]) == (uuids, amounts)
