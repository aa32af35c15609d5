"""What Alertmanager's templates see of a notification: the names and methods of its template package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from app.gotemplate import GoType
from app.gotemplate.values import STRING

_ALERT = GoType("template.Alert", "struct")
_PAIR = GoType("template.Pair", "struct")
_NAME = "alertname"


class Strings(list[str]):
    """A list of texts that can be joined: `.Names.Join ", "`."""

    __slots__ = ()
    __go__: ClassVar[Mapping[str, str]] = {"Join": "joined"}
    __go_type__: ClassVar[GoType] = GoType("template.Strings", "slice", STRING, "[]string")

    def joined(self, separator: str) -> str:
        """All texts, the separator between."""
        return separator.join(self)


@dataclass(frozen=True, slots=True)
class Pair:
    """A label or annotation."""

    __go__: ClassVar[Mapping[str, str]] = {"Name": "name", "Value": "value"}
    __go_type__: ClassVar[GoType] = _PAIR

    name: str
    value: str


class Pairs(list[Pair]):
    """Labels or annotations in an order."""

    __slots__ = ()
    __go__: ClassVar[Mapping[str, str]] = {"Names": "names", "Values": "values", "String": "text"}
    __go_type__: ClassVar[GoType] = GoType("template.Pairs", "slice", _PAIR)

    def names(self) -> Strings:
        """The names, in the same order."""
        return Strings(pair.name for pair in self)

    def values(self) -> Strings:
        """The values, in the same order."""
        return Strings(pair.value for pair in self)

    def text(self) -> str:
        """`a=1, b=2`."""
        return ", ".join(f"{pair.name}={pair.value}" for pair in self)


class KV(dict[str, str]):
    """Labels or annotations by name."""

    __slots__ = ()
    __go__: ClassVar[Mapping[str, str]] = {
        "SortedPairs": "sorted_pairs",
        "Remove": "without",
        "Names": "names",
        "Values": "sorted_values",
        "String": "text",
    }
    __go_type__: ClassVar[GoType] = GoType("template.KV", "map", STRING, "map[string]string")

    def sorted_pairs(self) -> Pairs:
        """By name, the alert's name first."""
        return Pairs(Pair(name, self[name]) for name in sorted(self, key=lambda name: (name != _NAME, name.encode())))

    def without(self, names: list[str]) -> KV:
        """A copy that has none of these names."""
        left_out = frozenset(names or ())
        return KV({name: value for name, value in self.items() if name not in left_out})

    def names(self) -> Strings:
        """The names, sorted as `SortedPairs` has them."""
        return self.sorted_pairs().names()

    def sorted_values(self) -> Strings:
        """The values, sorted as `SortedPairs` has them."""
        return self.sorted_pairs().values()

    def text(self) -> str:
        """`alertname=Down, job=api`."""
        return self.sorted_pairs().text()


@dataclass(slots=True)
class Alert:
    """One alert of a notification. `fingerprint` is 16 hexadecimal digits; `ends_at` is year 1 while it fires."""

    __go__: ClassVar[Mapping[str, str]] = {
        "Status": "status",
        "Labels": "labels",
        "Annotations": "annotations",
        "StartsAt": "starts_at",
        "EndsAt": "ends_at",
        "GeneratorURL": "generator_url",
        "Fingerprint": "fingerprint",
    }
    __go_json__: ClassVar[Mapping[str, str]] = {
        "Status": "status",
        "Labels": "labels",
        "Annotations": "annotations",
        "StartsAt": "startsAt",
        "EndsAt": "endsAt",
        "GeneratorURL": "generatorURL",
        "Fingerprint": "fingerprint",
    }
    __go_type__: ClassVar[GoType] = _ALERT

    status: Literal["firing", "resolved"]
    labels: KV
    annotations: KV
    starts_at: datetime
    ends_at: datetime
    generator_url: str
    fingerprint: str


class _AlertSlice(list[Alert]):
    """What Firing and Resolved give: a list without their methods."""

    __slots__ = ()
    __go_type__: ClassVar[GoType] = GoType("[]template.Alert", "slice", _ALERT)


class Alerts(list[Alert]):
    """The alerts of a notification."""

    __slots__ = ()
    __go__: ClassVar[Mapping[str, str]] = {"Firing": "firing", "Resolved": "resolved"}
    __go_type__: ClassVar[GoType] = GoType("template.Alerts", "slice", _ALERT, "[]template.Alert")

    def firing(self) -> _AlertSlice:
        """Those that fire."""
        return _AlertSlice(alert for alert in self if alert.status == "firing")

    def resolved(self) -> _AlertSlice:
        """Those that are resolved."""
        return _AlertSlice(alert for alert in self if alert.status == "resolved")


@dataclass(slots=True)
class Data:
    """A notification. `receiver` is the receiver's name as Alertmanager gives it: with regexp.QuoteMeta.

    `route_labels` are templates themselves, which `routeLabels "name"` expands, unless `route_labels_rendered`.
    """

    __go__: ClassVar[Mapping[str, str]] = {
        "Receiver": "receiver",
        "Status": "status",
        "Alerts": "alerts",
        "NotificationReason": "notification_reason",
        "GroupLabels": "group_labels",
        "CommonLabels": "common_labels",
        "CommonAnnotations": "common_annotations",
        "RouteLabels": "route_labels",
        "ExternalURL": "external_url",
        "routeLabelsRendered": "route_labels_rendered",
    }
    __go_json__: ClassVar[Mapping[str, str]] = {
        "Receiver": "receiver",
        "Status": "status",
        "Alerts": "alerts",
        "NotificationReason": "notification_reason",
        "GroupLabels": "groupLabels",
        "CommonLabels": "commonLabels",
        "CommonAnnotations": "commonAnnotations",
        "RouteLabels": "routeLabels",
        "ExternalURL": "externalURL",
    }
    __go_type__: ClassVar[GoType] = GoType("*template.Data", "ptr", GoType("template.Data", "struct"))

    receiver: str
    status: Literal["firing", "resolved"]
    alerts: Alerts
    group_labels: KV
    common_labels: KV
    common_annotations: KV
    external_url: str
    notification_reason: str = ""
    route_labels: KV = field(default_factory=KV)
    route_labels_rendered: bool = False


def common(mappings: Sequence[Mapping[str, str]]) -> KV:
    """What all of some labels or annotations have alike: `.CommonLabels`."""
    first, *others = mappings or ({},)
    return KV({name: value for name, value in first.items() if all(other.get(name) == value for other in others)})
