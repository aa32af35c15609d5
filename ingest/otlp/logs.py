"""OTLP logs → one LogBatch: what Loki's OTLP endpoint makes labels of are stream labels, all else are attributes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from app.config import Limits
from app.labels import Labels, labels_from
from app.telemetry import TRUNCATED
from ingest.batch import LogBatch
from ingest.fluentbit.severity import normal_severity
from ingest.otlp.naming import label_name
from ingest.otlp.outcome import Rejections
from ingest.otlp.values import flat_pairs, text_of
from ingest.times import latest_ns

STREAM_ATTRIBUTES = frozenset(
    {
        "cloud.availability_zone",
        "cloud.region",
        "container.name",
        "deployment.environment",
        "deployment.environment.name",
        "k8s.cluster.name",
        "k8s.container.name",
        "k8s.cronjob.name",
        "k8s.daemonset.name",
        "k8s.deployment.name",
        "k8s.job.name",
        "k8s.namespace.name",
        "k8s.pod.name",
        "k8s.replicaset.name",
        "k8s.statefulset.name",
        "service.instance.id",
        "service.name",
        "service.namespace",
    }
)
"""Resource attributes that become stream labels: Loki's default_resource_attributes_as_index_labels."""

_SERVICE_FROM = ("container_name", "k8s_container_name", "k8s_job_name")
UNKNOWN_SERVICE = "unknown_service"
"""The service_name of a stream whose resource tells none, as in Loki: a stream must have a label to be found by."""

_SEVERITIES = ("trace", "debug", "info", "warn", "error", "fatal")


def decode_logs(
    request: ExportLogsServiceRequest,
    batch: LogBatch,
    limits: Limits,
    received_ns: int | None = None,
    first_seq: int | None = None,
) -> Rejections:
    """Adds the lines of a request to a batch; gives what was not taken.

    `received_ns` is the time of a record that tells none (now, without it). With `first_seq` a record's number is
    that plus its place in the request, taken or not. Blocks for about 5 µs a line; several threads may call it, each
    with a batch of its own.
    """
    rejected = Rejections()
    now_ns = time.time_ns() if received_ns is None else received_ns
    seq = first_seq
    for resource_logs in request.resource_logs:
        labels, attributes = _split(resource_logs.resource)
        ref = batch.index.ref(labels)
        for scope_logs in resource_logs.scope_logs:
            scope = {**attributes, **_scope_attributes(scope_logs)}
            for record in scope_logs.log_records:
                try:
                    _add(batch, ref, record, scope, now_ns, seq, limits, rejected)
                except ValueError as error:
                    rejected.add("bad_record", str(error))
                seq = None if seq is None else seq + 1
    return rejected


def _split(resource: Resource) -> tuple[Labels, dict[str, str]]:
    """(stream labels, the other attributes) of a resource."""
    labels: dict[str, str] = {}
    attributes: dict[str, str] = {}
    for attribute in resource.attributes:
        if attribute.key in STREAM_ATTRIBUTES:
            labels[label_name(attribute.key)] = text_of(attribute.value)
        else:
            attributes.update(flat_pairs([attribute]))
    if not labels.get("service_name"):
        labels["service_name"] = next((labels[k] for k in _SERVICE_FROM if labels.get(k)), UNKNOWN_SERVICE)
    return labels_from(labels), attributes


def _scope_attributes(logs: ScopeLogs) -> dict[str, str]:
    found = dict(flat_pairs(logs.scope.attributes))
    if logs.scope.name:
        found["scope_name"] = logs.scope.name
    if logs.scope.version:
        found["scope_version"] = logs.scope.version
    return found


def _add(
    batch: LogBatch,
    ref: int,
    record: LogRecord,
    scope: Mapping[str, str],
    now_ns: int,
    seq: int | None,
    limits: Limits,
    rejected: Rejections,
) -> None:
    """Adds one record; what was done to it is told in `rejected`. Raises ValueError when it cannot be taken."""
    ts_ns = record.time_unix_nano or record.observed_time_unix_nano or now_ns
    if ts_ns > latest_ns():
        raise ValueError(f"a log record with the time {ts_ns} ns, more than 10 minutes ahead")
    body = text_of(record.body)
    attributes = dict(scope)
    if record.attributes:
        attributes.update(flat_pairs(record.attributes))
    # a character is at most four bytes: most lines need no encoding to know that they are short enough
    if len(body) * 4 > limits.max_log_line_bytes:
        body = _cut(body, limits.max_log_line_bytes, attributes, rejected)
    if record.severity_text:
        attributes["severity_text"] = record.severity_text
    if record.severity_number:
        attributes["severity_number"] = str(record.severity_number)
    if record.event_name:
        attributes["event_name"] = record.event_name
    trace_id = record.trace_id.hex() if len(record.trace_id) == 16 else ""
    span_id = record.span_id.hex() if len(record.span_id) == 8 else ""
    batch.add(ref, ts_ns, body, attributes, severity_of(record), trace_id, span_id, seq)
    batch.size_bytes += 50 * len(attributes)


def _cut(body: str, limit: int, attributes: dict[str, str], rejected: Rejections) -> str:
    """A line of no more than `limit` bytes; that it was longer is marked, counted and told, as for other receivers."""
    encoded = body.encode()
    if len(encoded) <= limit:
        return body
    TRUNCATED.inc()
    attributes["truncated_bytes"] = str(len(encoded) - limit)
    rejected.add("cut", f"log lines were cut to limits.max_log_line_bytes = {limit}", count=0)
    return encoded[:limit].decode("utf-8", "ignore")


def severity_of(record: LogRecord) -> str:
    """One of trace, debug, info, warn, error, fatal by the number, else by the text; "" when neither tells."""
    if 1 <= record.severity_number <= 24:
        return _SEVERITIES[(record.severity_number - 1) // 4]
    return normal_severity(record.severity_text)
