"""Records that could not be taken → the dead-letter topic, with where they came from and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordTooLargeError

from app.config import Kafka
from app.telemetry import DROPPED
from ingest.kafka.decode import REASONS, DeadLetter

log = logging.getLogger(__name__)

_CUT_BYTES = 512 * 1024
_MESSAGE_CHARS = 1000
for _reason in REASONS:
    DROPPED.labels("kafka", _reason)


class DeadLetters:
    """Sends dead letters. The producer starts with the first of them: most services never have one."""

    def __init__(self, config: Kafka) -> None:
        self._config = config
        self._producer: Any = None

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when the broker has all of them. Raises KafkaError."""
        if not letters:
            return
        producer = await self._started()
        # handed over one by one, in order, and then waited for together
        waiting = [(letter, await self._hand_over(producer, letter)) for letter in letters]
        for letter, sent in waiting:
            try:
                await sent
            except (MessageSizeTooLargeError, RecordTooLargeError):
                await (await self._hand_over(producer, letter, cut=True))
            DROPPED.labels("kafka", letter.reason).inc()
        first = letters[0]
        log.warning(
            "%d records put on %s, the first: %s/%d offset %d: %s",
            len(letters),
            self._config.dead_letter_topic,
            first.record.topic,
            first.record.partition,
            first.record.offset,
            first.message,
        )

    async def stop(self) -> None:
        """Closes the producer. Safe to call twice."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _started(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(bootstrap_servers=list(self._config.bootstrap_servers), acks="all")
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _hand_over(self, producer: Any, letter: DeadLetter, cut: bool = False) -> Any:
        """A future of the delivery. What the broker finds too large is cut, and says so in a header."""
        record = letter.record
        # the client refuses a record without key and value, though a topic may hold one
        value = b"" if record.value is None and record.key is None else record.value
        cut = cut or len(value or b"") > 2 * _CUT_BYTES
        headers = [
            *record.headers,
            ("topic", record.topic.encode()),
            ("partition", str(record.partition).encode()),
            ("offset", str(record.offset).encode()),
            ("reason", f"{letter.reason}: {letter.message[:_MESSAGE_CHARS]}".encode()),
            *([("cut", str(len(value)).encode())] if cut else []),
        ]
        return await producer.send(
            self._config.dead_letter_topic,
            value[:_CUT_BYTES] if cut else value,
            key=record.key,
            timestamp_ms=record.timestamp,
            headers=headers,
        )
