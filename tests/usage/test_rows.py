"""What a flush hands to PostgreSQL, and that making it leaves others their turn."""

import random
from itertools import pairwise

import pytest

from bursar.usage import rows
from tests.rounds import Rounds


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 99, 100, 101, 250])
async def test_digests_are_brought_into_order_part_by_part(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(rows, "STRETCH", 10)
    monkeypatch.setattr(rows, "SORTED", 25)
    chance = random.Random(size)
    digests = {chance.randbytes(16) for _ in range(size)}
    rounds = Rounds()
    async with rounds.counted():
        ordered = await rows.in_order(digests)
    assert len(ordered) == len(digests) == size
    assert set(ordered) == digests
    assert all(one < two for one, two in pairwise(ordered))
    parts = -(-size // 25) if size > 10 else 0
    assert rounds.number >= parts
