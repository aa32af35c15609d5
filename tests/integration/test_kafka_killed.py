"""A consumer that is killed again and again, against a real broker: every record is kept, and none twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.kafka_broker import RUN, kafka_broker

TOPIC = f"flood-{RUN}"
RECORDS = 100_000
KILLS = 3
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """A broker."""
    with kafka_broker() as address:
        yield address


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder for the consumer's store, in memory where that is possible."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


async def produce(broker: str) -> None:
    """Records as Fluent Bit's kafka output writes them."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    for i in range(RECORDS):
        record = {"@timestamp": 1_795_238_981 + i / 1000, "log": f"line {i}", "stream": "stdout"}
        await producer.send(TOPIC, orjson.dumps(record), partition=0)
    await producer.flush()
    await producer.stop()


class Consumer:
    """The consumer in a process of its own."""

    def __init__(self, data_dir: Path, broker: str) -> None:
        self._command = [sys.executable, "-m", "tests.kafka_consumer", "consume", str(data_dir), broker, TOPIC]

    async def __aenter__(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=subprocess.PIPE)
        return self._process

    async def __aexit__(self, *exception: object) -> None:
        """SIGKILL: it can finish nothing."""
        self._process.kill()
        await self._process.wait()


async def rows_kept(process: asyncio.subprocess.Process) -> int:
    """The next number of lines the consumer says it has kept."""
    assert process.stdout is not None
    return int(await process.stdout.readline())


async def committed(broker: str) -> int:
    """The offset the group has committed."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=TOPIC)
    await consumer.start()
    try:
        return int(await consumer.committed(TopicPartition(TOPIC, 0)) or 0)
    finally:
        await consumer.stop()


async def test_every_record_is_kept_once_although_the_consumer_is_killed(broker: str, data_dir: Path) -> None:
    """100,000 records, the consumer killed three times right after an insert: all are there, and none twice."""
    await produce(broker)
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(KILLS):
            async with Consumer(data_dir, broker) as process:
                while await rows_kept(process) == 0:
                    pass
        assert await committed(broker) < RECORDS
        async with Consumer(data_dir, broker):
            while await committed(broker) < RECORDS:
                await asyncio.sleep(0.1)  # the broker gives no event to wait for
    command = [sys.executable, "-m", "tests.kafka_consumer", "report", str(data_dir)]
    found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(RECORDS), str(RECORDS)]
