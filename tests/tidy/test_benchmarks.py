"""What `make bench` can be asked for."""

from pathlib import Path

import pytest
from benchmarks.__main__ import LONG, PARTS, QUICK, asked


def test_every_short_part_is_measured_unless_some_are_named() -> None:
    assert asked([]) == (None, [part for part in PARTS if part not in LONG], False)
    assert asked(["--rounds", "1", "reads", "bill_run", "reads", *LONG]) == (1, ["reads", "bill_run", *LONG], False)
    assert asked(["--quick"]).parts == list(QUICK)


@pytest.mark.parametrize(
    "arguments", [["raeds"], ["reads", "raeds"], ["--rounds", "0"], ["--rounds", "x"], ["--fast"], ["--quick", "reads"]]
)
def test_what_there_is_not_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        asked(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "raeds" not in arguments or all(part in said.splitlines()[-1] for part in ("raeds", *PARTS))


def test_what_is_held_against_a_ceiling_is_measured_five_times() -> None:
    assert PARTS["ingest"].rounds == 5


def test_every_benchmark_is_a_part() -> None:
    """A module with a `measure` of its own is found by its name or that of its part, at whatever size."""
    folder = Path(__file__).parents[2] / "benchmarks"
    modules = {path.stem for path in folder.glob("*.py") if "\ndef measure(" in path.read_text().replace("async ", "")}
    again = {part for part in PARTS for other in PARTS if part != other and part.startswith(other)}
    assert len(modules) == len(PARTS) - len(again), modules
