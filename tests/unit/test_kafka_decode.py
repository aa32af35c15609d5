"""Kafka records → batches and dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgpack
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from app.config import KafkaTopic, Limits
from ingest.kafka.decode import Decoder, Fetched
from ingest.kafka.lines import keep_lines
from ingest.series import SeriesRegistry
from ingest.times import take_time, time_ns_of

RECEIVED_MS = 1_795_238_981_500


class Partition(NamedTuple):
    """A topic's partition."""

    topic: str
    partition: int


@dataclass(frozen=True)
class Record:
    """What a decoder looks at of a record."""

    value: bytes | None
    offset: int
    topic: str = "t"
    partition: int = 0
    timestamp: int = RECEIVED_MS


class Registries:
    """As much of a writer as a decoder uses."""

    def __init__(self) -> None:
        self.series = SeriesRegistry()
        self.streams = SeriesRegistry()


def decode(form: str, *values: bytes | None, signal: str = "logs") -> Fetched:
    """The values as records with the offsets 7, 8, …"""
    topic = KafkaTopic.model_validate({"name": "t", "format": form, "signal": signal})
    decoder = Decoder(Registries(), [topic], Limits())  # type: ignore[arg-type]
    return decoder.decode({Partition("t", 0): [Record(value, 7 + i) for i, value in enumerate(values)]})


def test_lines_are_numbered_by_offset_and_place() -> None:
    """A line read again has the number it had, and a bad neighbour changes no number."""
    fetched = decode("fluentbit_json", b'[{"log":"a"},{"log":"b"}]', b"nonsense", b'{"log":"c"}')
    batch = fetched.logs[0]
    assert batch.source == "kafka:t/0"
    assert batch.bodies == ["a", "b", "c"]
    assert batch.seqs == [7 << 20, (7 << 20) + 1, 9 << 20]
    assert batch.ts_ns == [RECEIVED_MS * 1_000_000] * 3
    assert [(letter.record.offset, letter.reason) for letter in fetched.dead] == [(8, "undecodable")]


def test_a_record_that_is_half_bad_leaves_nothing_behind() -> None:
    """All lines of a record of Fluent Bit are kept or none."""
    fetched = decode("fluentbit_json", b'[{"log":"a"},3]', b'{"log":"b"}')
    assert fetched.logs[0].bodies == ["b"]
    assert fetched.logs[0].seqs == [8 << 20]
    assert len(fetched.dead) == 1


def test_msgpack() -> None:
    """A map, an array of maps, or maps one after the other; half a map, or nothing, is undecodable."""
    one = msgpack.packb({"log": "a"})
    assert decode("fluentbit_msgpack", one).logs[0].bodies == ["a"]
    assert decode("fluentbit_msgpack", one + one).logs[0].bodies == ["a", "a"]
    assert decode("fluentbit_msgpack", msgpack.packb([{"log": "a"}])).logs[0].bodies == ["a"]
    assert [letter.reason for letter in decode("fluentbit_msgpack", one[:-1], b"").dead] == ["undecodable"] * 2


def test_the_good_part_of_an_otlp_record_is_kept_and_the_record_a_dead_letter() -> None:
    """The dead letter says what was wrong with the rest."""
    message = ExportLogsServiceRequest()
    records = message.resource_logs.add().scope_logs.add().log_records
    records.add().body.string_value = "good"
    records.add(time_unix_nano=2**64 - 1)
    fetched = decode("otlp_proto", message.SerializeToString())
    assert fetched.logs[0].bodies == ["good"]
    assert fetched.logs[0].ts_ns == [RECEIVED_MS * 1_000_000]
    assert [(letter.reason, letter.message) for letter in fetched.dead] == [
        ("bad_part", f"a log record with the time {2**64 - 1} ns, more than 10 minutes ahead (1 not taken)")
    ]


@pytest.mark.parametrize(
    ("form", "signal"),
    [
        ("fluentbit_json", "logs"),
        ("fluentbit_msgpack", "logs"),
        ("otlp_proto", "logs"),
        ("otlp_json", "logs"),
        ("otlp_proto", "metrics"),
        ("otlp_json", "metrics"),
        ("prometheus_remote_write", "metrics"),
    ],
)
@settings(max_examples=60, deadline=None)
@given(value=st.binary(max_size=60) | st.recursive(st.none() | st.text(), st.lists).map(orjson.dumps))
def test_no_value_breaks_the_decoder(form: str, signal: str, value: bytes) -> None:
    """Whatever a record holds, it is taken or a dead letter, and never an unforeseen error."""
    fetched = decode(form, value, None, signal=signal)
    assert "error" not in [letter.reason for letter in fetched.dead]
    assert fetched.dead[-1].reason == "no_value"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1795238981, 1795238981 * 10**9),
        (1795238981.25, 1795238981_250_000_000),
        (1795238981123, 1795238981123 * 10**6),
        (1795238981123456789, 1795238981123456789),
        ("2026-11-21T05:29:41Z", 1795238981 * 10**9),
        ("2026-11-21T05:29:41.123456789Z", 1795238981_123_456_789),
        ("2026-11-21T06:29:41.5+01:00", 1795238981_500_000_000),
        ("2026-11-21 05:29:41", 1795238981 * 10**9),
        ("yesterday", None),
        ("2026-13-21T05:29:41Z", None),
        (True, None),
        (None, None),
        (-5, None),
        (0, None),
        (float("nan"), None),
        (2**70, None),
    ],
)
def test_times(value: object, wanted: int | None) -> None:
    """Seconds, milliseconds, nanoseconds, ISO 8601; anything else is no time."""
    assert time_ns_of(value) == wanted


def test_a_time_is_taken_out_of_a_record_and_what_is_none_stays() -> None:
    """The first key that holds a time; the others are the record's own."""
    record = {"@timestamp": "soon", "date": 1795238981, "timestamp": 1, "log": "x"}
    assert take_time(record) == 1795238981 * 10**9
    assert record == {"@timestamp": "soon", "timestamp": 1, "log": "x"}
    assert take_time({"log": "x"}) is None


def test_keep_lines_keeps_columns_together() -> None:
    """Every column loses the same lines."""
    batch = decode("fluentbit_json", b'[{"log":"a","k":"1"},{"log":"b","k":"2"},{"log":"c","k":"3"}]').logs[0]
    keep_lines(batch, [0, 2])
    assert (batch.bodies, [a["k"] for a in batch.attributes]) == (["a", "c"], ["1", "3"])
    assert len(batch) == len(batch.seqs) == len(batch.ts_ns) == len(batch.severities) == 2
