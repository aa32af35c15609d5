"""The Kafka receiver against a real broker: everything once, and nothing lost to what cannot be read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import cramjam
import msgpack
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from app.config import Kafka, KafkaFormat, KafkaTopic, Limits
from app.errors import Overloaded, StoreUnavailable
from app.store.client import Pool
from ingest import prompb
from ingest.batch import LogBatch, MetricBatch
from ingest.kafka import KafkaReceiver
from ingest.writer import Writer
from tests.kafka_broker import RUN, SESSION_MS, kafka_broker

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """One broker for the tests of this file; each uses topics of its own."""
    with kafka_broker() as address:
        yield address


def config(broker: str, topic: str, form: KafkaFormat, signal: str = "logs") -> Kafka:
    """A receiver's configuration for one topic, with a group and a dead-letter topic of its own."""
    topic = f"{topic}-{RUN}"
    topics = (KafkaTopic.model_validate({"name": topic, "format": form, "signal": signal}),)
    return Kafka(bootstrap_servers=(broker,), group_id=f"g-{topic}", topics=topics, dead_letter_topic=f"dead-{topic}")


async def produce(broker: str, topic: str, values: Sequence[bytes | None]) -> None:
    """Puts values on a topic, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, linger_ms=5)
    await producer.start()
    try:
        sent = [await producer.send(topic, value, key=b"k", partition=0) for value in values]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


@asynccontextmanager
async def receiving(writer: Any, settings: Kafka, pool: Pool) -> AsyncIterator[KafkaReceiver]:
    """A receiver that runs."""
    receiver = KafkaReceiver(writer, settings, Limits(), pool, session_timeout_ms=SESSION_MS)
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()


async def committed(broker: str, settings: Kafka) -> int:
    """The committed offset of partition 0 of a receiver's only topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=settings.group_id)
    await consumer.start()
    try:
        return int(await consumer.committed(TopicPartition(settings.topics[0].name, 0)) or 0)
    finally:
        await consumer.stop()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what another process will have done; fails when that takes a minute."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.05)  # another program gives no event to wait for


async def until_committed(broker: str, settings: Kafka, offset: int) -> None:
    """Waits until the receiver has committed an offset."""

    async def there() -> bool:
        return await committed(broker, settings) >= offset

    await until(there)


async def dead_letters(broker: str, settings: Kafka, count: int) -> list[Any]:
    """The first `count` records of the dead-letter topic."""
    consumer = AIOKafkaConsumer(
        settings.dead_letter_topic, bootstrap_servers=broker, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def test_fluent_bit_records_become_lines(broker: str, writer: Writer, embedded_pool: Pool) -> None:
    """Objects, arrays and lines of JSON become log lines in order, at the time they name."""
    settings = config(broker, "fb", "fluentbit_json")
    values = [
        b'{"@timestamp":1795238981.5,"log":"one"}',
        b'[{"date":"2026-11-21T05:29:42.25Z","log":"two"},{"log":"three"}]',
        b'{"timestamp":1795238983000,"log":"four"}\n{"timestamp":1795238984,"log":"five"}\n',
    ]
    await produce(broker, settings.topics[0].name, values)
    async with receiving(writer, settings, embedded_pool):
        await until_committed(broker, settings, 3)
    rows = embedded_pool.query("SELECT body, toUnixTimestamp64Milli(ts) AS ms, source FROM logs ORDER BY seq")
    found = [(r["body"], r["ms"]) for r in rows.to_pylist() if r["body"] != "three"]
    assert found == [
        ("one", 1795238981500),
        ("two", 1795238982250),
        ("four", 1795238983000),
        ("five", 1795238984000),
    ]
    assert set(rows.column("source").to_pylist()) == {f"kafka:fb-{RUN}/0"}
    assert len(rows) == 5


async def test_msgpack_records_become_lines(broker: str, writer: Writer, embedded_pool: Pool) -> None:
    """A map of msgpack is a log line."""
    settings = config(broker, "fb-msgpack", "fluentbit_msgpack")
    await produce(broker, settings.topics[0].name, [msgpack.packb({"@timestamp": 1795238981.0, "log": "한국어"})])
    async with receiving(writer, settings, embedded_pool):
        await until_committed(broker, settings, 1)
    assert embedded_pool.query("SELECT body FROM logs").column("body").to_pylist() == ["한국어"]


async def test_what_cannot_be_read_goes_to_the_dead_letter_topic(
    broker: str, writer: Writer, embedded_pool: Pool
) -> None:
    """A bad record is put there with its origin and the reason, its neighbours are kept, and the offsets move on."""
    settings = config(broker, "mixed", "fluentbit_json")
    await produce(
        broker, settings.topics[0].name, [b'{"log":"good"}', b"\x00not json", b"[1]", None, b'{"log":"good too"}']
    )
    async with receiving(writer, settings, embedded_pool):
        letters = await dead_letters(broker, settings, 3)
        await until_committed(broker, settings, 5)
    assert [letter.value for letter in letters] == [b"\x00not json", b"[1]", None]
    for letter, offset, reason in zip(letters, (1, 2, 3), ("undecodable", "undecodable", "no_value"), strict=True):
        headers = {key: value.decode() for key, value in letter.headers}
        assert (headers["topic"], headers["partition"], headers["offset"]) == (
            settings.topics[0].name,
            "0",
            str(offset),
        )
        assert headers["reason"].startswith(reason + ": ")
    assert embedded_pool.query("SELECT body FROM logs ORDER BY seq").column("body").to_pylist() == ["good", "good too"]


async def test_otlp_and_remote_write_topics(broker: str, writer: Writer, embedded_pool: Pool) -> None:
    """OTLP logs and metrics and remote write bodies, compressed or not, are kept from their topics."""
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = "over kafka"
    metrics = ExportMetricsServiceRequest()
    gauge = metrics.resource_metrics.add().scope_metrics.add().metrics.add()
    gauge.name = "depth"
    gauge.gauge.data_points.add(time_unix_nano=1_795_238_981_000_000_000, as_int=3)
    request = prompb.WriteRequest()
    series = request.timeseries.add()
    series.labels.add(name=b"__name__", value=b"written")
    series.samples.add(value=1.0, timestamp=1_795_238_981_000)
    body = request.SerializeToString()
    topics = [
        {"name": f"x-logs-{RUN}", "format": "otlp_proto"},
        {"name": f"x-metrics-{RUN}", "format": "otlp_json", "signal": "metrics"},
        {"name": f"x-rw-{RUN}", "format": "prometheus_remote_write"},
    ]
    settings = Kafka.model_validate({"bootstrap_servers": [broker], "group_id": f"g-x-{RUN}", "topics": topics})
    point = '{"timeUnixNano":"1795238981000000000","asInt":"3"}'
    metric = f'{{"name":"depth","gauge":{{"dataPoints":[{point}]}}}}'
    await produce(broker, f"x-logs-{RUN}", [logs.SerializeToString()])
    await produce(
        broker, f"x-metrics-{RUN}", [f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}'.encode()]
    )
    await produce(broker, f"x-rw-{RUN}", [body, bytes(cramjam.snappy.compress_raw(body))])

    async def all_there() -> bool:
        return bool(
            await asyncio.to_thread(embedded_pool.command, "SELECT count() FROM logs") == 1
            and await asyncio.to_thread(embedded_pool.command, "SELECT count() FROM metric_samples") == 3
        )

    async with receiving(writer, settings, embedded_pool):
        await until(all_there)
    rows = embedded_pool.query("SELECT DISTINCT metric, value FROM metric_samples ORDER BY metric").to_pylist()
    assert [(r["metric"], r["value"]) for r in rows] == [("depth", 3.0), ("written", 1.0)]


class RefusingWriter(Writer):
    """A writer that refuses the first writes, and keeps part of what it says has failed."""

    def __init__(self, pool: Pool, errors: list[Exception]) -> None:
        super().__init__(pool, Limits())
        self.errors = errors

    async def write_logs(self, batch: LogBatch, urgent: bool = True) -> None:
        """Fails while there are errors left; an insert that is told to have failed may have been kept."""
        if self.errors:
            error = self.errors.pop(0)
            if isinstance(error, StoreUnavailable):
                await super().write_logs(batch, urgent)
            raise error
        await super().write_logs(batch, urgent)

    async def write_metrics(self, batch: MetricBatch, urgent: bool = True) -> None:
        """As the real one."""
        await super().write_metrics(batch, urgent)


async def test_a_full_queue_or_a_store_that_is_away_loses_and_doubles_nothing(broker: str, embedded_pool: Pool) -> None:
    """Refused records are tried again, and those that were kept although the insert failed are not kept twice."""
    settings = config(broker, "refused", "fluentbit_json")
    writer = RefusingWriter(
        embedded_pool, [Overloaded("full", 0.05), StoreUnavailable("gone"), Overloaded("full", 0.05)]
    )
    await writer.start()
    await produce(broker, settings.topics[0].name, [orjson.dumps({"log": f"line {i}"}) for i in range(500)])
    async with receiving(writer, settings, embedded_pool):
        await until_committed(broker, settings, 500)
    await writer.stop()
    assert not writer.errors
    bodies = embedded_pool.query("SELECT body FROM logs ORDER BY seq").column("body").to_pylist()
    assert bodies == [f"line {i}" for i in range(500)]


async def test_lines_kept_before_a_commit_that_never_came_are_passed_over(
    broker: str, writer: Writer, embedded_pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    """A second group member that starts at an older offset doubles no line."""
    caplog.set_level(logging.INFO, "ingest.kafka")
    settings = config(broker, "again", "fluentbit_json")
    await produce(broker, settings.topics[0].name, [orjson.dumps({"log": f"line {i}"}) for i in range(300)])
    async with receiving(writer, settings, embedded_pool):
        await until_committed(broker, settings, 300)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=settings.group_id, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(settings.topics[0].name, 0)])
    await consumer.commit({TopicPartition(settings.topics[0].name, 0): 100})
    await consumer.stop()
    await produce(broker, settings.topics[0].name, [b'{"log":"new"}'])
    async with receiving(writer, settings, embedded_pool):
        await until_committed(broker, settings, 301)
    assert f"200 lines of kafka:again-{RUN}/0 were kept before" in caplog.text
    assert embedded_pool.command("SELECT count() FROM logs") == 301


async def test_members_that_come_and_go_lose_and_double_nothing(
    broker: str, writer: Writer, embedded_pool: Pool
) -> None:
    """A second member takes partitions over in full flow, the first leaves: every line is kept once."""
    settings = config(broker, "moving", "fluentbit_json")
    topic = settings.topics[0].name
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 4, 1)])
    await admin.close()
    sent = 0

    async def send_until(condition: Callable[[], bool]) -> None:
        nonlocal sent
        while not condition():
            await producer.send(topic, orjson.dumps({"log": f"line {sent}"}), partition=sent % 4)
            sent += 1
            await asyncio.sleep(0)

    async def all_kept() -> bool:
        return bool(await asyncio.to_thread(embedded_pool.command, "SELECT count() FROM logs") >= sent)

    async with (
        asyncio.timeout(PATIENCE_S),
        AIOKafkaProducer(bootstrap_servers=broker) as producer,
        receiving(writer, settings, embedded_pool) as first,
    ):
        await send_until(lambda: len(first.partitions) == 4)
        await send_until(lambda: sent >= 5000)
        async with receiving(writer, settings, embedded_pool) as second:
            await send_until(lambda: len(first.partitions) == len(second.partitions) == 2)
            leaving = asyncio.create_task(first.stop())
            await send_until(lambda: len(second.partitions) == 4)
            await leaving
            await producer.flush()
            await until(all_kept)
    assert embedded_pool.command("SELECT count() FROM logs") == sent
    assert embedded_pool.command("SELECT uniqExact(body) FROM logs") == sent


async def test_a_broker_that_is_away_is_no_reason_not_to_start(writer: Writer, embedded_pool: Pool) -> None:
    """Start and stop return although nothing answers at the broker's address."""
    settings = config("127.0.0.1:1", "nowhere", "fluentbit_json")
    receiver = KafkaReceiver(writer, settings, Limits(), embedded_pool)
    await receiver.start()
    async with asyncio.timeout(20):
        await receiver.stop()
        await receiver.stop()
    assert embedded_pool.command("SELECT count() FROM logs") == 0
