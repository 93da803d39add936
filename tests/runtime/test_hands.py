"""What further processes of a bill run say, and what the one that runs it hears."""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bursar.core.caller import Caller
from bursar.invoicing.issuing import Issued
from bursar.runtime import hands
from bursar.runtime.hand import Order, Told

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = Order(os.getpid(), "", Caller(1, NOW, NOW, "test", "UTC", "USD", sandbox=True), NOW)


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose content another process says instead of the true one."""
    path = tmp_path / "said"
    monkeypatch.setattr(hands, "_PROGRAM", ("sh", "-c", 'read order; read go; cat "$0"', str(path)))
    return path


async def heard() -> tuple[list[int], Issued | None]:
    process = await hands._start(ORDER)
    counts: list[int] = []
    issued = await hands._hand(process)(counts.append)
    await process.wait()
    return counts, issued


@pytest.mark.parametrize("cut", [1, 5, 9])
async def test_a_line_that_a_kill_cut_short_is_not_heard(said: Path, cut: int) -> None:
    line = msgspec.json.encode(Told(33)) + b"\n"
    said.write_bytes(line + line[:-cut])
    assert await heard() == ([33], None)


async def test_all_that_could_not_be_billed_is_heard_of(said: Path) -> None:
    whole = Issued(1, 7, 7, [f"invoice.{number}" for number in range(50_000)])
    said.write_bytes(msgspec.json.encode(Told(5)) + b"\n" + msgspec.json.encode(Told(whole=whole)) + b"\n")
    assert await heard() == ([5], whole)
