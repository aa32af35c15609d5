"""OTLP names become the names Prometheus's own translation gives them."""

from __future__ import annotations

import pytest

from ingest.otlp.naming import Kind, bound_text, label_name, merged_labels, metric_name


@pytest.mark.parametrize(
    ("name", "unit", "kind", "wanted"),
    [
        ("http.server.request.duration", "s", "histogram", "http_server_request_duration_seconds"),
        ("system.filesystem.usage", "By", "gauge", "system_filesystem_usage_bytes"),
        ("system.filesystem.usage", "GiBy", "gauge", "system_filesystem_usage_gibibytes"),
        ("system.network.io", "By", "counter", "system_network_io_bytes_total"),
        ("system.network.io", "By", "updown", "system_network_io_bytes"),
        ("system.network.dropped", "{packets}", "counter", "system_network_dropped_total"),
        ("hw.fan.speed", "rpm", "gauge", "hw_fan_speed_rpm"),
        ("speed", "m/s", "gauge", "speed_meters_per_second"),
        ("speed", "By/m", "gauge", "speed_bytes_per_minute"),
        ("requests", "{request}/s", "gauge", "requests_per_second"),
        ("frequency", "1/s", "gauge", "frequency_per_second"),
        ("astro.light", "m/{light}", "gauge", "astro_light_meters"),
        ("cpu.utilization", "1", "gauge", "cpu_utilization_ratio"),
        ("cpu.ratio.of.all", "1", "gauge", "cpu_of_all_ratio"),
        ("jobs", "1", "updown", "jobs"),
        ("jobs", "1", "counter", "jobs_total"),
        ("jobs.total.done", "", "counter", "jobs_done_total"),
        ("memory_bytes_free", "By", "gauge", "memory_bytes_free"),
        ("process_cpu_seconds_total", "s", "counter", "process_cpu_seconds_total"),
        ("temperature", "Cel", "gauge", "temperature_celsius"),
        ("disk.used", "%", "gauge", "disk_used_percent"),
        ("weird", "°F", "gauge", "weird_F"),
        ("99.percentile", "ms", "gauge", "_99_percentile_milliseconds"),
        ("a..b__c-d", "", "gauge", "a_b_c_d"),
        ("recorded:rule", "", "gauge", "recorded:rule"),
        ("큐.depth", "", "gauge", "depth"),
    ],
)
def test_metric_names(name: str, unit: str, kind: Kind, wanted: str) -> None:
    """Unit and type suffixes come at the end, once."""
    assert metric_name(name, unit, kind) == wanted


@pytest.mark.parametrize("name", ["", "...", "큐"])
def test_a_metric_name_of_nothing_is_refused(name: str) -> None:
    """A name that leaves nothing is an error that shows it."""
    with pytest.raises(ValueError, match="no character"):
        metric_name(name, "s", "gauge")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("http.method", "http_method"),
        ("k8s/pod name", "k8s_pod_name"),
        ("2xx", "key_2xx"),
        ("_private", "key_private"),
        ("__reserved__", "__reserved__"),
        ("a__b", "a__b"),
    ],
)
def test_label_names(name: str, wanted: str) -> None:
    """What a label name may not hold becomes an underscore, and the start is mended."""
    assert label_name(name) == wanted


@pytest.mark.parametrize("name", ["", "...", "큐큐"])
def test_a_label_name_of_nothing_is_refused(name: str) -> None:
    """A name of underscores alone, or none, is an error."""
    with pytest.raises(ValueError, match="no character"):
        label_name(name)


def test_colliding_labels_are_joined_in_the_order_of_their_names() -> None:
    """Attributes whose names become one give one label with both values."""
    assert merged_labels([("a_b", "second"), ("a.b", "first"), ("c", "x")]) == {"a_b": "first;second", "c": "x"}


@pytest.mark.parametrize(
    ("bound", "wanted"),
    [
        (5.0, "5"),
        (0.005, "0.005"),
        (1e-7, "0.0000001"),
        (1e21, "1000000000000000000000"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-2.5, "-2.5"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_bounds_are_written_as_go_writes_them(bound: float, wanted: str) -> None:
    """The shortest digits that mean the number, without an exponent."""
    assert bound_text(bound) == wanted
