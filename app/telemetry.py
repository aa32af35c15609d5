"""The service's own metrics, in one list with their meanings. Exposed at /metrics and scraped by the service itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# a series of its own for each counter's birth tells nobody anything here
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()

CONFIG_SUCCESSFUL = Gauge(
    "watchhouse_config_last_reload_successful",
    "1 when the configuration was taken up the last time it was read, else 0.",
    registry=REGISTRY,
)
CONFIG_SUCCESS_TIME = Gauge(
    "watchhouse_config_last_reload_success_timestamp_seconds",
    "When the configuration was last taken up, at the start or by a reload.",
    registry=REGISTRY,
)
INGEST_ROWS = Counter("watchhouse_ingest_rows", "Rows kept in the store.", ["signal"], registry=REGISTRY)
INGEST_COMMITS = Counter(
    "watchhouse_ingest_commits", "Group commits by result.", ["signal", "result"], registry=REGISTRY
)
INGEST_WAITING = Gauge("watchhouse_ingest_waiting_rows", "Rows taken but not kept yet.", ["signal"], registry=REGISTRY)
INGEST_REFUSED = Counter(
    "watchhouse_ingest_refused_rows", "Rows refused because the queue was full.", ["signal"], registry=REGISTRY
)
RECEIVED = Counter("watchhouse_received_rows", "Rows taken from senders.", ["receiver"], registry=REGISTRY)
DROPPED = Counter("watchhouse_dropped_rows", "Rows not taken, by reason.", ["receiver", "reason"], registry=REGISTRY)
DROPPED_EXEMPLARS = Counter(
    "watchhouse_dropped_exemplars",
    "Exemplars not taken, by reason: too_long, malformed, out_of_bounds. Their samples are taken.",
    ["reason"],
    registry=REGISTRY,
)
TRUNCATED = Counter(
    "watchhouse_truncated_lines", "Log lines cut to limits.max_log_line_bytes before they were kept.", registry=REGISTRY
)
SCRAPES = Counter(
    "watchhouse_scrapes",
    "Scrapes by result: ok, failed (no page), refused (its page), skipped (queue full), missed (a slot passed).",
    ["result"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "watchhouse_http_request_seconds", "Time to answer HTTP requests.", ["route", "code"], registry=REGISTRY
)
ALERTMANAGER_BUILD_INFO = Gauge(
    "alertmanager_build_info",
    "1; the version of Alertmanager's API that is answered at /api/v2, where karma looks for it.",
    ["version"],
    registry=REGISTRY,
)
ALERTS = Gauge("watchhouse_alerts", "Alerts known to the alert manager.", registry=REGISTRY)
ALERT_GROUPS = Gauge("watchhouse_alert_groups", "Groups of alerts that are notified about.", registry=REGISTRY)
ALERT_NOTIFICATIONS = Counter(
    "watchhouse_alert_notifications",
    "Attempts to notify, by kind of receiver and result.",
    ["integration", "result"],
    registry=REGISTRY,
)
ALERT_MAYBE_DOUBLED = Counter(
    "watchhouse_alert_notifications_maybe_doubled",
    "Messages sent once more because the receiver's answer to an earlier attempt was never seen.",
    ["integration"],
    registry=REGISTRY,
)
ALERT_SUPPRESSED = Counter(
    "watchhouse_alert_notifications_suppressed",
    "Alerts left out of notifications, by reason: inhibition, mute, silence.",
    ["reason"],
    registry=REGISTRY,
)
ALERT_PEERS = Gauge(
    "watchhouse_alert_peers", "Other instances of the alert manager on the same store.", registry=REGISTRY
)
SILENCES = Gauge("watchhouse_silences", "Silences by state.", ["state"], registry=REGISTRY)
ALERT_STATE_FAILURES = Counter(
    "watchhouse_alert_state_failures", "Writes of alert state that failed and are tried again.", registry=REGISTRY
)
SLACK_ERRORS = Counter("watchhouse_slack_errors", "Refusals by Slack, by its own word.", ["error"], registry=REGISTRY)
SLACK_PLAIN = Counter(
    "watchhouse_slack_plain_text", "Messages that Slack took as plain text only, as it refused the blocks.",
    registry=REGISTRY,
)  # fmt: skip
SLACK_ANSWERED = Counter(
    "watchhouse_slack_interactions",
    "Buttons, commands and mentions that came from Slack, by kind and result.",
    ["kind", "result"],
    registry=REGISTRY,
)
SLO_CYCLE_SECONDS = Histogram(
    "watchhouse_slo_cycle_seconds", "Time to count and judge all SLOs once, without reading history.", registry=REGISTRY
)
SLO_FAILURES = Counter("watchhouse_slo_failures", "Times an SLO could not be counted.", registry=REGISTRY)
SLO_MISSED = Counter(
    "watchhouse_slo_missed_evaluations",
    "Ends of intervals at which alerts of an SLO were not judged in time; the newest few are judged afterwards.",
    registry=REGISTRY,
)
SLO_RECOUNTED = Counter(
    "watchhouse_slo_recounted_intervals",
    "Intervals that were counted again and came out otherwise, as samples came late.",
    registry=REGISTRY,
)
SLOS = Gauge("watchhouse_slos", "SLOs that are watched, groups spread out.", registry=REGISTRY)

RULES = Gauge("watchhouse_rules", "Rules by group.", ["rule_group"], registry=REGISTRY)
RULE_EVALUATIONS = Counter("watchhouse_rule_evaluations", "Rules evaluated.", ["rule_group"], registry=REGISTRY)
RULE_FAILURES = Counter(
    "watchhouse_rule_evaluation_failures",
    "Rules that could not be evaluated or whose samples could not be kept.",
    ["rule_group"],
    registry=REGISTRY,
)
RULE_SECONDS = Histogram("watchhouse_rule_evaluation_seconds", "Time to evaluate one rule.", registry=REGISTRY)
RULE_GROUP_SECONDS = Gauge(
    "watchhouse_rule_group_last_duration_seconds",
    "Time the last evaluation of a group took.",
    ["rule_group"],
    registry=REGISTRY,
)
RULE_LAST_EVALUATION = Gauge(
    "watchhouse_rule_group_last_evaluation_timestamp_seconds",
    "The slot of a group's last evaluation.",
    ["rule_group"],
    registry=REGISTRY,
)
RULE_LATE = Counter(
    "watchhouse_rule_late_evaluations",
    "Slots of a group that were evaluated when the next one was due already.",
    ["rule_group"],
    registry=REGISTRY,
)
RULE_MISSED = Counter(
    "watchhouse_rule_missed_evaluations",
    "Slots of a group that were given up: too far behind, or of a time in which the service was stopped.",
    ["rule_group"],
    registry=REGISTRY,
)

for _reason in ("too_long", "malformed", "out_of_bounds"):
    DROPPED_EXEMPLARS.labels(_reason)
for _signal in ("metrics", "logs"):
    for _result in ("kept", "failed"):
        INGEST_COMMITS.labels(_signal, _result)
    for _metric in (INGEST_ROWS, INGEST_WAITING, INGEST_REFUSED):
        _metric.labels(_signal)
