"""`python -m tests.differential --queries 10000 --seed 1`: every query that Prometheus answers otherwise.

Prometheus is the one on PATH, or what WATCHHOUSE_PROMETHEUS_BIN names. Status 1 when there are differences.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from app.config import Limits, StoreConfig
from app.query.promql.engine import PromQLEngine
from app.store.client import open_pool
from app.store.schema import migrate
from tests.differential.grammar import Generator
from tests.integration.prometheus_peer import differences, random_times_ms, running_prometheus
from tests.integration.promql_world import put
from tests.integration.test_promql_peer import samples


def main() -> int:
    """Prints the differences; gives the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--way", choices=("compiled", "engine", "arrays"), default="compiled")
    options = parser.parse_args()
    start_ms, *times = random_times_ms()
    generator = Generator(options.seed)
    queries = itertools.islice(iter(generator.query, None), options.queries)
    with tempfile.TemporaryDirectory() as folder:
        pool = open_pool(StoreConfig(), Path(folder))
        migrate(pool)
        data = samples(start_ms)
        put(pool, data)
        engine = PromQLEngine(pool, Limits(), push_down=options.way != "arrays", compiled=options.way == "compiled")
        with running_prometheus(Path(folder), data) as url:
            wrong = differences(engine, url, queries, *times)
        pool.close()
    print("\n".join(wrong))
    print(f"{options.queries} queries, {len(wrong)} differ")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
