"""Random queries, the same ones in every run, as a real Prometheus answers them."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from tests.differential.grammar import Generator
from tests.integration.prometheus_peer import differences, running_prometheus
from tests.integration.promql_world import put
from tests.integration.test_promql_peer import samples


def test_random_queries_have_the_same_answers(embedded_pool: Pool, tmp_path: Path) -> None:
    """`python -m tests.differential` asks more of them."""
    start_ms = ((int(time.time()) - 3720) // 15 * 15 + 7) * 1000
    data = samples(start_ms)
    put(embedded_pool, data)
    engine, generator = PromQLEngine(embedded_pool, Limits()), Generator(7)
    queries = [generator.query() for _ in range(300)]
    if not os.environ.get("WATCHHOUSE_PROMETHEUS_BIN"):
        # Debian's is version 2, which was wrong about these
        queries = [query for query in queries if not re.search(r"predict_linear|stddev|stdvar|:.*@", query)]
    with running_prometheus(tmp_path, data) as url:
        wrong = differences(engine, url, queries, start_ms + 604_000, start_ms + 3_590_000, 150_000)
    assert not wrong, "\n".join(wrong)
