"""Rows become events: what a mapping says stands in the JSON, whatever the texts are."""

import csv
import io
import json
from datetime import UTC, date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bursar.core.errors import Invalid
from bursar.core.period import parse_instant
from bursar.runtime import import_lines
from bursar.runtime.import_mapping import Columns, translation
from bursar.runtime.import_sources import Format, open_source
from bursar.usage.event import parse_each

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
COLUMNS = ("id", "at", "account", "amount", "model")
MAPPING = Columns(
    schema="=call", id="id", timestamp="at", account="account", attributes={"tokens": "amount"},
    dimensions={"model": "model", "both": "{id}/{model}"},
)  # fmt: skip


@given(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), NAMES, TEXTS, st.booleans())
@example(('a"b\\', "x\x00\n", " 1.5\t", "100%s"), '%"', "%d", False)
def test_an_event_says_what_the_row_says(
    cells: tuple[str, str, str, str], name: str, constant: str, by_name: bool
) -> None:
    identifier, account, amount, model = cells
    mapping = Columns(
        schema=f"={constant}", id="id", timestamp="at", account="account",
        attributes={name: "amount", f"{name}+": f"={constant}"},
        dimensions={name: "model", f"{name}+": f"={constant}", f"{name}++": "{id}/{model}"},
    )  # fmt: skip
    row = (identifier, "2026-11-23T07:00:00Z", account, amount, model)
    found = translation(mapping, COLUMNS, by_name=by_name).event(
        dict(zip(COLUMNS, row, strict=True)) if by_name else list(row)
    )
    assert json.loads(found) == {
        "schemaName": constant,
        "id": identifier,
        "timestamp": "2026-11-23T07:00:00Z",
        "accountId": account,
        "attributes": [{"name": name, "value": amount.strip()}, {"name": f"{name}+", "value": constant.strip()}],
        "dimensions": {name: model, f"{name}+": constant, f"{name}++": f"{identifier}/{model}"},
    }


def _event_at(timestamp: str, mapping: Columns = MAPPING) -> Any:
    return parse_each([translation(mapping, COLUMNS, by_name=False).event(["i", timestamp, "a", "1", "m"])], sound=True)


DIGITS = st.integers(0, 9).map(str)
TIMESTAMPS = st.builds(
    "{}{}{}{}{}".format,
    st.dates(date(2, 1, 1), date(9998, 1, 1)).map(date.isoformat),
    st.sampled_from(["T", " "]),
    st.times().map(lambda at: at.strftime("%H:%M:%S")),
    st.lists(DIGITS, max_size=9).map(lambda digits: "." + "".join(digits) if digits else ""),
    st.sampled_from(["", "Z", "+02:00", "-23:59", "+0530", "+07"]),
)  # fmt: skip


@given(TIMESTAMPS)
@example("2026-11-23T07:00:00.1234565Z")
@example("2026-11-23T07:00:00.123456999+02:00")
@example(" 2026-11-23T07:00 ")
@example("2026-11-23")
@example("2026-11-23T07:00:00,5Z")
def test_an_instant_is_that_of_the_text_whatever_way_it_takes(timestamp: str) -> None:
    (_, event), *_ = _event_at(timestamp).events
    assert (event.timestamp, event.timestamp.tzinfo) == (parse_instant(timestamp), UTC)
    said = Columns(schema="=call", id="id", timestamp=f"={timestamp}", account="account")
    assert _event_at("unread", said).events[0][1].timestamp == parse_instant(timestamp)


@pytest.mark.parametrize(
    "timestamp",
    [
        "", "noon", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T07:00:60Z",
        "0000-01-01T00:00:00Z", "2026-11-23T07:00:00+24:00", "2026-11-23T07:00:00+00:60", "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00", "12026-11-23T07:00:00Z", "２026-11-23T07:00:00Z", "2026-11-23T07:00:00Z\n2",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused_one_way_or_the_other(timestamp: str) -> None:
    with pytest.raises(ValueError, match=r"ISO 8601|range|month|day"):
        parse_instant(timestamp)
    try:
        found = _event_at(timestamp)
    except ValueError:
        return
    assert (found.events, [one.index for one in found.refused]) == ([], [0])


def test_a_row_that_lacks_a_cell_is_named() -> None:
    with pytest.raises(Invalid, match="too few columns"):
        translation(MAPPING, COLUMNS, by_name=False).event(["i", "2026-11-23"])
    with pytest.raises(Invalid, match="amount"):
        translation(MAPPING, COLUMNS, by_name=True).event({"id": "i", "at": "2026-11-23", "account": "a", "model": "m"})


PIECES = st.sampled_from(
    ["a", "b,", ",", '"', '""', "\\", "\n", "\r\n", "\r", "\t", "\x00", "é", " ", "\x85", "\u2028", "\x7f"]
)
LINES = st.one_of(
    st.lists(PIECES, max_size=40).map("".join),
    st.lists(
        st.lists(st.sampled_from(["a", "é", " ", "%s", ""]), min_size=1, max_size=3).map(",".join), max_size=9
    ).map("\n".join),
)  # fmt: skip


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv") / "a.csv"


@given(LINES, st.booleans(), st.sampled_from(["", "\n"]))
@example('1,x\n\n\n2,"y\nz"\n3,w\n', False, "")
@example("1,x\n" * 9 + '"2\n\n",y', True, "")
@example("1,x\r\n\r\n2,y\r\n", False, "")
@example("1,\xc3\n", False, "")
def test_rows_of_csv_are_those_of_the_module(csv_file: Path, text: str, made: bool, end: str) -> None:
    content = (f"id,model\n{text}{end}").encode()
    csv_file.write_bytes(content)
    reader = csv.reader(line.decode() for line in io.BytesIO(content))
    mapping = Columns(
        schema="=call", id="{id}x" if made else "id", timestamp="=2026-11-23", account="=acme",
        attributes={"n": "id"}, dimensions={"model": "model"},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_lines, "BATCH_LIMIT", 3)
        source = open_source(csv_file, Format.CSV, mapping)
        try:
            expected = [(reader.line_num, row) for row in reader if row][1:]
        except csv.Error:
            with pytest.raises(Invalid):
                list(source.batches(None))
            return
        batches = list(source.batches(None))
    assert [one for batch in batches for one in zip(batch.lines, batch.rows, strict=True)] == expected
    assert sum(batch.size for batch in batches) + len(b"id,model\n") == len(content)
    seen = 0
    for batch in batches:
        seen += len(batch.rows)
        assert [place for place, row in enumerate(batch.rows) if len(row) >= 2] == batch.places
        for place, found in zip(batch.places, batch.events, strict=True):
            identifier, model, *_ = batch.rows[place]
            said = json.loads(found)
            assert (said["id"], said["dimensions"]) == (f"{identifier}x" if made else identifier, {"model": model})
            assert said["attributes"] == [{"name": "n", "value": identifier.strip()}]
        again = [row for later in open_source(csv_file, Format.CSV, mapping).batches(batch.end) for row in later.rows]
        assert again == [row for _, row in expected[seen:]]
