"""What a setting may say, and which of several holds."""

from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accounts.model import Setting
from bursar.accounts.setting_values import Reference, Settings, Value, check_value, parse_reference
from bursar.accounts.settings import create_setting
from bursar.core.caller import Caller
from bursar.core.errors import Invalid
from bursar.db.database import Database


@pytest.mark.parametrize(
    ("data_type", "text", "read"),
    [
        ("STRING", "", ""),
        ("STRING", "{", "{"),
        ("NUMERIC", "0", Decimal(0)),
        ("NUMERIC", "-12.50", Decimal("-12.5")),
        ("NUMERIC", "9" * 26 + "." + "9" * 12, Decimal("9" * 26 + "." + "9" * 12)),
        ("JSON", "1.10", Decimal("1.1")),
        ("JSON", "null", None),
        ("JSON", "true", True),
        ("JSON", '{"USD":"1","rates":[0.1,2]}', {"USD": "1", "rates": (Decimal("0.1"), Decimal(2))}),
        ("JSON", "[" * 32 + "]" * 32, None),
        ("JSON_LOGIC", '{"*":[{"var":"attributes.x"},2]}', '{"*":[{"var":"attributes.x"},2]}'),
    ],
)
def test_values_are_read_by_their_type(data_type: str, text: str, read: Any) -> None:
    check_value(data_type, text, "value")
    found = Value(text, data_type).read()
    if text.startswith("[["):
        assert isinstance(found, tuple)
    else:
        assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("data_type", "text"),
    [
        ("NUMERIC", ""),
        ("NUMERIC", "1e3"),
        ("NUMERIC", " 1"),
        ("NUMERIC", "1."),
        ("NUMERIC", "٣"),
        ("NUMERIC", "1" * 27),
        ("NUMERIC", "0." + "1" * 13),
        ("JSON", ""),
        ("JSON", "{"),
        ("JSON", "NaN"),
        ("JSON", "1e40"),
        ("JSON", "1e-13"),
        ("JSON", r'"\u0000"'),
        ("JSON", r'{"\ud800": 1}'),
        ("JSON", "[" * 33 + "]" * 33),
        ("JSON", "[" * 5000 + "]" * 5000),
        ("JSON_LOGIC", "{"),
        ("JSON_LOGIC", '{"fly":[1]}'),
        ("JSON_LOGIC", '{"/":[1,0]}'),
    ],
)
def test_values_of_another_type_are_refused(data_type: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_value(data_type, text, "settings[0].value")
    assert caught.value.field == "settings[0].value"


async def test_what_a_setting_has_said_is_never_changed(database: Database, caller: Caller) -> None:
    async with database.transaction(None) as connection:
        name = await connection.fetchval("select name from workspace where key = $1", caller.workspace)
        await create_setting(connection, caller, "ORGANIZATION", name, Setting("x", "1", "USER", "X", "NUMERIC"))
        assert await connection.fetchval("select count(*) from setting_version where workspace = $1", caller.workspace)
    for statement in ("update setting_version set value = '2'", "delete from setting_version"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
            async with database.transaction(None) as connection:
                await connection.execute(f"{statement} where workspace = $1", caller.workspace)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("setting.user.meters_per_km", Reference("USER", "meters_per_km")),
        ("setting.USER.x.ACCOUNT.acme", Reference("USER", "x", "ACCOUNT", "acme")),
        ("setting.User.x.account.a.b/c d", Reference("USER", "x", "ACCOUNT", "a.b/c d")),
        ("setting.USER.x.ORGANIZATION.default", Reference("USER", "x", "ORGANIZATION", "default")),
        ("setting.USER.x.PLANET.mars", None),
        ("setting.USER.x.ACCOUNT.", None),
        ("setting.USER.x.ACCOUNT", None),
        ("setting.USER", None),
        ("setting..x", None),
        ("Setting.USER.x", None),
        ("USER.x", None),
        ("", None),
    ],
)
def test_paths(text: str, reference: Reference | None) -> None:
    assert parse_reference(text) == reference


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["ORGANIZATION", "CUSTOMER", "ACCOUNT"]),
        st.integers(1, 3),  # versions that pass before the change
        st.text(alphabet="abc", max_size=2),
    ),
    max_size=12,
)


@given(CHANGES, st.integers(0, 40))
def test_the_nearest_owner_s_latest_value_holds(changes: list[tuple[str, int, str]], asked: int) -> None:
    """Against a replay of the changes one by one, up to the version that is asked for."""
    wanted = Reference("USER", "x")
    settings = Settings(own={7: {}, 8: {}})
    version, state = 0, dict[str, str]()
    for owner, passed, text in changes:
        version += passed
        entry = (version, Value(text, "STRING"))
        if owner == "ORGANIZATION":
            settings.shared.setdefault(wanted, []).append(entry)
        else:
            settings.own[7].setdefault((owner, "USER", "x"), []).append(entry)
        if version <= asked:
            state[owner] = text
    expected = state.get("ACCOUNT", state.get("CUSTOMER", state.get("ORGANIZATION")))
    found = settings.value(wanted, 7, asked)
    assert (None if found is None else found.text) == expected
    other = settings.value(wanted, 8, asked)
    assert (None if other is None else other.text) == state.get("ORGANIZATION")
    assert settings.value(Reference("USER", "y"), 7, asked) is None
