"""Random queries, the same ones in every run, as a real Prometheus answers them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from app.config import Limits
from app.query.promql.engine import PromQLEngine
from app.store.client import Pool
from tests.differential.grammar import Generator
from tests.integration.prometheus_peer import differences, random_times_ms, running_prometheus
from tests.integration.promql_world import put
from tests.integration.test_promql_peer import samples


def test_random_queries_have_the_same_answers(embedded_pool: Pool, tmp_path: Path) -> None:
    """`python -m tests.differential` asks more of them."""
    start_ms, *times = random_times_ms()
    data = samples(start_ms)
    put(embedded_pool, data)
    engine, generator = PromQLEngine(embedded_pool, Limits()), Generator(7)
    queries = [generator.query() for _ in range(300)]
    if not os.environ.get("WATCHHOUSE_PROMETHEUS_BIN"):
        # Debian's is version 2, which was wrong about these
        queries = [query for query in queries if not re.search(r"predict_linear|stddev|stdvar|:.*@", query)]
    with running_prometheus(tmp_path, data) as url:
        wrong = differences(engine, url, queries, *times)
    assert not wrong, "\n".join(wrong)
