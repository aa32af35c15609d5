"""The routing tree: who is told, and in which group."""

from __future__ import annotations

import pytest

from alerting.manager.routes import build_routes
from app.labels import labels_from
from tests.alert_world import config_of

TREE = """
route:
  receiver: root
  group_by: [alertname]
  group_wait: 7s
  routes:
    - matchers: [severity="page"]
      receiver: pager
      continue: true
      group_by: ['...']
      repeat_interval: 1h
      routes:
        - matchers: [team="db"]
          receiver: dba
          group_by: []
          group_wait: 0s
    - matchers: [severity=~"page|ticket"]
      receiver: tickets
    - match: {severity: info}
    - matchers: [severity!~"page|ticket|info"]
      receiver: others
receivers: [{name: root}, {name: pager}, {name: dba}, {name: tickets}, {name: others}]
"""


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "page"}, ["pager", "tickets"]),
        ({"severity": "page", "team": "db"}, ["dba", "tickets"]),
        ({"severity": "ticket", "team": "db"}, ["tickets"]),
        ({"severity": "info"}, ["root"]),
        ({}, ["others"]),
    ],
    ids=str,
)
def test_receivers(labels: dict[str, str], receivers: list[str]) -> None:
    """The deepest match takes an alert; `continue` lets the next sibling have it as well."""
    assert [node.receiver for node in build_routes(config_of(TREE).route).match(labels)] == receivers


@pytest.mark.parametrize(
    ("labels", "grouped", "key"),
    [
        ({"severity": "info", "x": "1"}, {"alertname": "A"}, '{}/{severity="info"}'),
        ({"severity": "page", "x": "1"}, {"alertname": "A", "severity": "page", "x": "1"}, '{}/{severity="page"}'),
        (
            {"severity": "page", "team": "db"},
            {"alertname": "A", "severity": "page", "team": "db"},
            '{}/{severity="page"}/{team="db"}',
        ),
    ],
    ids=str,
)
def test_groups(labels: dict[str, str], grouped: dict[str, str], key: str) -> None:
    """group_by is inherited, `...` is every label, an empty list inherits too; the key is Alertmanager's."""
    node = build_routes(config_of(TREE).route).match(labels)[0]
    assert node.group_labels(labels_from({"alertname": "A", **labels})) == labels_from(grouped)
    assert node.key == key


def test_timers_are_inherited() -> None:
    """What a route does not say it has from its parent, and the root from Alertmanager's defaults."""
    root = build_routes(config_of(TREE).route)
    dba = root.match({"severity": "page", "team": "db"})[0]
    assert (root.group_wait_ms, root.group_interval_ms, root.repeat_interval_ms) == (7_000, 300_000, 14_400_000)
    assert (dba.group_wait_ms, dba.group_interval_ms, dba.repeat_interval_ms) == (0, 300_000, 3_600_000)
