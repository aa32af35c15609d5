"""Records → lines: stream labels, text, attributes, severity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import Limits
from app.errors import DecodeError
from ingest.batch import LogBatch
from ingest.fluentbit.records import StreamCache, add_record, json_text
from ingest.fluentbit.severity import normal_severity
from ingest.series import SeriesRegistry

POD = {"namespace_name": "shop", "pod_name": "web-1", "container_name": "web", "host": "node-7", "pod_ip": "10.0.0.1"}


def lines(*records: Any, tag: str = "app", limits: Limits | None = None, metadata: Any = None) -> LogBatch:
    """The batch some records become."""
    cache = StreamCache(SeriesRegistry(), limits or Limits())
    batch = cache.new_batch()
    for record in records:
        add_record(batch, cache, tag, 1_700_000_000_000_000_000, record, metadata)
    return batch


def labels(batch: LogBatch) -> list[dict[str, str]]:
    """The stream of each line."""
    return [dict(batch.index.labels[ref]) for ref in batch.refs]


def test_a_kubernetes_record() -> None:
    """The pod names the stream; tag, node, the pod's labels, the parsed line and other keys are attributes."""
    pod = {**POD, "labels": {"app.kubernetes.io/name": "web"}, "annotations": {"a": "b"}}
    record = {
        "log": '{"level":"WARN","status":500}\n',
        "stream": "stderr",
        "kubernetes": pod,
        "log_processed": {"level": "WARN", "status": 500, "req": {"id": "x", "t": [1, 2]}},
        "extra": {"deep": {"er": True}},
        "nothing": None,
    }
    batch = lines(record, tag="kube.web")
    assert labels(batch) == [{"namespace": "shop", "pod": "web-1", "container": "web", "stream": "stderr"}]
    assert batch.bodies == ['{"level":"WARN","status":500}']
    assert batch.severities == ["warn"]
    assert batch.attributes == [
        {
            "tag": "kube.web",
            "node": "node-7",
            "pod_ip": "10.0.0.1",
            "pod_label_app_kubernetes_io_name": "web",
            "pod_annotation_a": "b",
            "extra_deep_er": "true",
            "level": "WARN",
            "status": "500",
            "req_id": "x",
            "req_t": "[1,2]",
        }
    ]


def test_pods_of_one_tag_are_told_apart() -> None:
    """What is remembered of a tag is not used for a record that says something else."""
    records = [{"log": "x", "kubernetes": {**POD, "pod_name": name}} for name in ("a", "b", "a", "a")]
    assert [found["pod"] for found in labels(lines(*records))] == ["a", "b", "a", "a"]


def test_a_record_without_kubernetes() -> None:
    """The tag is the stream; a stream key is an attribute."""
    batch = lines({"message": "hi", "stream": "stdout"}, {"log": "x", "kubernetes": {"host": "n"}})
    assert labels(batch) == [{"tag": "app"}, {"tag": "app"}]
    assert batch.attributes == [{"stream": "stdout"}, {"kubernetes_host": "n"}]


@pytest.mark.parametrize(
    ("record", "body"),
    [
        ({"log": "a\n"}, "a"),
        ({"log": "a\n\n"}, "a\n"),
        ({"log": "\n"}, ""),
        ({"log": ""}, ""),
        ({"log": None, "message": "m", "msg": "n"}, "m"),
        ({"msg": "n"}, "n"),
        ({"log": b"\xff\x00ok"}, "�\x00ok"),
        ({"log": {"a": [1, None]}}, '{"a":[1,null]}'),
        ({"log": 5}, "5"),
        ({"b": 1, "a": {"c": "한"}}, '{"b":1,"a":{"c":"한"}}'),
        ({}, "{}"),
        ({b"k": b"\xff", 3: 2**70}, '{"k":"�","3":"1180591620717411303424"}'),
    ],
)
def test_the_text_of_a_line(record: dict[Any, Any], body: str) -> None:
    """log, message or msg without one line end; without them the record as JSON; what is no text becomes text."""
    assert lines(record).bodies == [body]


def test_names_that_are_taken() -> None:
    """A key of the parsed line does not replace one of the record or a stream label: it gets a prefix."""
    record = {"log": "x", "user": "outer", "kubernetes": POD, "log_processed": {"user": "inner", "stream": "s", "1": 2}}
    found = lines(record).attributes[0]
    assert (found["user"], found["log_processed_user"]) == ("outer", "inner")
    assert (found["log_processed_stream"], found["_1"]) == ("s", "2")


def test_metadata_is_kept_beside() -> None:
    """What Fluent Bit sends beside the time becomes attributes."""
    assert lines({"log": "x"}, metadata={"otlp": {"trace": "t"}}).attributes == [{"otlp_trace": "t"}]


def test_trace_ids_are_found() -> None:
    """A record's trace and span ids go to their columns, in lower case, when they are ids."""
    batch = lines({"log": "x", "trace_id": "ABCDEF0123456789" * 2, "span_id": "zz"})
    assert (batch.trace_ids, batch.span_ids) == (["abcdef0123456789" * 2], [""])


def test_a_line_that_is_too_long_is_cut() -> None:
    """A line above max_log_line_bytes is cut between characters, and an attribute says how much is gone."""
    limits = Limits(max_log_line_bytes=100)
    batch = lines({"log": "한" * 50}, {"log": "y" * 100}, limits=limits)
    assert batch.bodies == ["한" * 33, "y" * 100]
    assert batch.attributes == [{"truncated_bytes": "50"}, {}]


@pytest.mark.parametrize("record", ["text", 5, None, [1]])
def test_a_record_that_is_no_map(record: Any) -> None:
    """It is refused and adds nothing."""
    with pytest.raises(DecodeError, match="not a map"):
        lines(record)


@pytest.mark.parametrize("ts_ns", [-1, 2**63])
def test_a_time_out_of_range(ts_ns: int) -> None:
    """A time the store cannot hold is refused, so that it does not cost its neighbours."""
    cache = StreamCache(SeriesRegistry(), Limits())
    with pytest.raises(DecodeError, match="out of range"):
        add_record(cache.new_batch(), cache, "t", ts_ns, {"log": "x"})


def test_a_label_that_is_too_long() -> None:
    """A tag above max_label_value_bytes is refused by the label's name."""
    with pytest.raises(DecodeError, match="label tag"):
        lines({"log": "x"}, tag="t" * 9000)


def test_a_full_index_is_replaced_between_batches() -> None:
    """Refs of a batch belong to the index it was made with, also after the registry began a new one."""
    registry = SeriesRegistry(2)
    cache = StreamCache(registry, Limits())
    first = cache.new_batch()
    for i in range(5):
        add_record(first, cache, f"t{i}", 1, {"log": "x"})
    second = cache.new_batch()
    add_record(second, cache, "t0", 1, {"log": "x"})
    add_record(first, cache, "t9", 1, {"log": "x"})
    assert [d["tag"] for d in labels(first)] == ["t0", "t1", "t2", "t3", "t4", "t9"]
    assert first.index is not second.index
    assert labels(second) == [{"tag": "t0"}]


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("INFO", "info"),
        ("warning", "warn"),
        ("Err", "error"),
        ("CRITICAL", "fatal"),
        (" debug ", "debug"),
        (30, "info"),
        (3, "error"),
        ("3", "error"),
        ("50", "error"),
        (True, ""),
        ("purple", ""),
        (99, ""),
        (None, ""),
        ([], ""),
    ],
)
def test_severities(value: Any, level: str) -> None:
    """Words of any case, syslog's and pino's numbers become six words; anything else none."""
    assert normal_severity(value) == level


@pytest.mark.parametrize(
    "record",
    [
        {"level": "error"},
        {"severity": "ERROR"},
        {"log.level": "error"},
        {"log": {"level": "error"}},
        {"log_processed": {"level": "error"}, "level": "info"},
    ],
)
def test_where_a_severity_stands(record: dict[str, Any]) -> None:
    """level, severity and log.level are looked at, the parsed line first."""
    assert lines(record).severities == ["error"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers() | st.binary(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["log", "message", "kubernetes", "stream", "log_processed", "level"])
        | st.text()
        | st.integers(),
        ANYTHING,
        max_size=6,
    )
)
def test_any_record_is_a_line_the_store_takes(record: dict[Any, Any]) -> None:
    """No record, whatever it holds, breaks the mapping or makes a text that is no UTF-8."""
    batch = lines(record)
    assert len(batch) == 1
    for text in (batch.bodies[0], *batch.attributes[0], *batch.attributes[0].values()):
        text.encode()
    assert batch.severities[0] in ("", "trace", "debug", "info", "warn", "error", "fatal")


@given(ANYTHING)
def test_anything_has_a_json_text(value: Any) -> None:
    """json_text never raises."""
    json_text(value).encode()
