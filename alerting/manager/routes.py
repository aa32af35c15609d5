"""The routing tree with everything inherited: which receivers an alert goes to, and how it is grouped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from alerting.config import (
    DEFAULT_GROUP_INTERVAL_MS,
    DEFAULT_GROUP_WAIT_MS,
    DEFAULT_REPEAT_INTERVAL_MS,
    Route,
)
from alerting.matchers import format_matchers
from app.labels import Labels, Matcher

GROUP_BY_ALL = "..."


@dataclass(frozen=True, slots=True, eq=False)
class RouteNode:
    """A route in force. Two nodes are never equal, however alike: each groups alerts of its own."""

    key: str
    matchers: tuple[Matcher, ...]
    receiver: str
    group_by: frozenset[str]
    group_by_all: bool
    group_wait_ms: int
    group_interval_ms: int
    repeat_interval_ms: int
    goes_on: bool
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its own and those of the routes above it: templates over a group's data."""
    children: list[RouteNode] = field(default_factory=list)
    path: tuple[Matcher, ...] = ()
    """The matchers of the routes above it and its own."""

    def match(self, labels: Mapping[str, str]) -> list[RouteNode]:
        """The nodes an alert ends at, depth first: the first child that takes it, and more where one says continue."""
        if not all(m.matches_labels(labels) for m in self.matchers):
            return []
        found: list[RouteNode] = []
        for child in self.children:
            taken = child.match(labels)
            found += taken
            if taken and not child.goes_on:
                break
        return found or [self]

    def group_labels(self, labels: Labels) -> Labels:
        """The labels that alerts of one group share."""
        return tuple(pair for pair in labels if self.group_by_all or pair[0] in self.group_by)

    def walk(self) -> Iterator[RouteNode]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def build_routes(root: Route) -> RouteNode:
    """The tree of a configuration's `route`."""
    origin = RouteNode(
        "", (), "", frozenset(), False,
        DEFAULT_GROUP_WAIT_MS, DEFAULT_GROUP_INTERVAL_MS, DEFAULT_REPEAT_INTERVAL_MS, False,
    )  # fmt: skip
    return _node(root, origin)


def _node(route: Route, parent: RouteNode) -> RouteNode:
    matchers = route.all_matchers()
    # an empty list is no list to Alertmanager: what is above holds
    named = frozenset(route.group_by) - {GROUP_BY_ALL} if route.group_by else None
    everything = GROUP_BY_ALL in (route.group_by or ())
    node = RouteNode(
        key=(f"{parent.key}/" if parent.key else "") + format_matchers(matchers),
        matchers=matchers,
        receiver=route.receiver or parent.receiver,
        group_by=parent.group_by if named is None else named,
        group_by_all=parent.group_by_all if named is None else everything,
        group_wait_ms=parent.group_wait_ms if route.group_wait is None else route.group_wait,
        group_interval_ms=route.group_interval or parent.group_interval_ms,
        repeat_interval_ms=route.repeat_interval or parent.repeat_interval_ms,
        goes_on=route.continue_,
        # these two are not inherited
        mute_time_intervals=tuple(route.mute_time_intervals),
        active_time_intervals=tuple(route.active_time_intervals),
        labels={**parent.labels, **route.labels},
        path=(*parent.path, *matchers),
    )
    node.children.extend(_node(child, node) for child in route.routes)
    return node
