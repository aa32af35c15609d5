"""A statement that fails half-way leaves nothing behind for the next one."""

from __future__ import annotations

import pytest

from app.errors import StoreError
from app.store.client import Pool

HALF_WAY = "SELECT number, throwIf(number = 1000000) FROM numbers(2000000)"


def test_the_next_answer_is_whole_and_its_own(embedded_pool: Pool) -> None:
    """After statements that failed with part of their answer written, answers are neither empty nor mixed."""
    for _ in range(5):
        with pytest.raises(StoreError):
            embedded_pool.query(HALF_WAY, settings={"max_block_size": 1000})
        assert embedded_pool.query("SELECT number AS n FROM numbers(3)").to_pylist() == [{"n": 0}, {"n": 1}, {"n": 2}]
        with pytest.raises(StoreError):
            embedded_pool.raw_query(HALF_WAY, fmt="TabSeparated", timeout_s=0.001)
        assert embedded_pool.command("SELECT 1") == 1
