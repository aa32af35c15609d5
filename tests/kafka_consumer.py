"""A consumer process of its own, for a test that kills it.

`python -m tests.kafka_consumer consume DATA_DIR BOOTSTRAP TOPIC` keeps its data in DATA_DIR, consumes TOPIC as Fluent
Bit's JSON in a group of its name, and prints how many lines it has kept each time that changes.
`python -m tests.kafka_consumer report DATA_DIR` prints what is in DATA_DIR: lines, and distinct lines.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app.config import Kafka, KafkaTopic, Limits, StoreConfig
from app.store.client import open_pool
from app.store.schema import migrate
from app.telemetry import REGISTRY
from ingest.kafka import KafkaReceiver
from ingest.writer import Writer
from tests.kafka_broker import SESSION_MS


async def consume(data_dir: Path, bootstrap: str, topic: str) -> None:
    """Consumes until the process is ended."""
    pool = open_pool(StoreConfig(), data_dir)
    migrate(pool)
    writer = Writer(pool, Limits())
    await writer.start()
    topics = (KafkaTopic(name=topic, format="fluentbit_json"),)
    config = Kafka(bootstrap_servers=(bootstrap,), group_id=topic, topics=topics)
    receiver = KafkaReceiver(writer, config, Limits(), pool, session_timeout_ms=SESSION_MS)
    await receiver.start()
    said = -1.0
    while True:
        rows = REGISTRY.get_sample_value("watchhouse_ingest_rows_total", {"signal": "logs"}) or 0.0
        if rows != said:
            print(int(rows), flush=True)
            said = rows
        await asyncio.sleep(0.001)


def report(data_dir: Path) -> None:
    """Prints the number of lines and of distinct lines."""
    pool = open_pool(StoreConfig(), data_dir)
    print(*pool.query("SELECT count() AS n, uniqExact(body) AS m FROM logs").to_pylist()[0].values())
    pool.close()


if __name__ == "__main__":
    if sys.argv[1] == "consume":
        asyncio.run(consume(Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
    else:
        report(Path(sys.argv[2]))
