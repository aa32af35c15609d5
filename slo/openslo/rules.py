"""What OpenSLO v1 asks of fields together, and of names that are referred to.

Written over the plain data, so that these mistakes are told beside those of single fields. The rules are go-sdk's
(pkg/openslo/v1) and those README adds in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import Problem
from app.yamlfile import Document, KeyPath
from slo.openslo.fields import is_name, label_name

Find = Callable[[str, str], Mapping[str, Any] | None]
"""The plain data of the object of a kind and name, None where there is none."""
_INDICATORS = ("indicator", "indicatorRef")
_INLINE = ("kind", "metadata", "spec")
_SLICES = {"Timeslices": ("timeSliceTarget", "timeSliceWindow"), "RatioTimeslices": ("timeSliceWindow",)}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one object's document."""

    document: Document
    find: Find

    def problems(self, kind: str) -> Iterator[Problem]:
        """What is wrong with the object, which is of this kind."""
        data = self.document.data
        yield from self._labels(("metadata",), data.get("metadata"))
        spec, path = data.get("spec"), ("spec",)
        if not isinstance(spec, dict):
            return
        if kind == "SLO":
            yield from self._slo(path, spec)
        elif kind == "SLI":
            yield from self._sli(path, spec)
        elif kind == "AlertPolicy":
            yield from self._policy(path, spec)

    def _slo(self, path: KeyPath, spec: Mapping[str, Any]) -> Iterator[Problem]:
        objectives = list(_items(spec, "objectives"))
        composite = any(_given(one, _INDICATORS) for _, one in objectives)
        yield from self._places(path, spec, [one for _, one in objectives])
        yield from self._indicator(path, spec)
        yield from self._time_windows((*path, "timeWindow"), spec)
        if not spec.get("objectives"):
            yield self.document.problem((*path, "objectives"), "at least one objective is wanted")
        elif len(objectives) > 1 and not composite and self._kind_of(spec) == "thresholdMetric":
            message = "with a thresholdMetric there can be one objective only"
            yield self.document.problem((*path, "objectives", objectives[1][0]), message)
        for i, objective in objectives:
            yield from self._objective((*path, "objectives", i), objective, spec)
        for i, use in _items(spec, "alertPolicies"):
            yield from self._use((*path, "alertPolicies", i), use, "alertPolicyRef", "AlertPolicy")
            if isinstance(use.get("spec"), dict):
                yield from self._policy((*path, "alertPolicies", i, "spec"), use["spec"])

    def _places(self, path: KeyPath, spec: Mapping[str, Any], objectives: list[Mapping[str, Any]]) -> Iterator[Problem]:
        """An indicator stands in the spec, or (a composite) in every objective."""
        here = _given(spec, _INDICATORS)
        below = [bool(_given(one, _INDICATORS)) for one in objectives]
        message = "indicator or indicatorRef must be given in spec, or in each of its objectives (a composite SLO)"
        if here and any(below):
            yield self.document.problem((*path, here[0]), f"{message}, but not in both")
        elif not here and not any(below):
            yield self.document.problem(path, f"{message}, but there is none")
        elif any(below):
            for i, has in enumerate(below):
                if not has:
                    yield self.document.problem((*path, "objectives", i), f"{message}: here it is missing")

    def _indicator(self, path: KeyPath, holder: Mapping[str, Any]) -> Iterator[Problem]:
        yield from self._one_of(path, holder, _INDICATORS, wanted=False)
        yield from self._reference((*path, "indicatorRef"), holder.get("indicatorRef"), "SLI")
        indicator = holder.get("indicator")
        if isinstance(indicator, dict):
            yield from self._labels((*path, "indicator", "metadata"), indicator.get("metadata"))
            if isinstance(indicator.get("spec"), dict):
                yield from self._sli((*path, "indicator", "spec"), indicator["spec"])

    def _time_windows(self, path: KeyPath, spec: Mapping[str, Any]) -> Iterator[Problem]:
        windows = spec.get("timeWindow")
        if isinstance(windows, list) and len(windows) != 1:
            yield self.document.problem(path, f"exactly one item is wanted, here are {len(windows)}")
        for i, window in _items(spec, "timeWindow"):
            if window.get("isRolling") is True and window.get("calendar") is not None:
                yield self.document.problem((*path, i, "calendar"), "cannot be set when isRolling is true")
            if not window.get("isRolling") and window.get("calendar") is None:
                yield self.document.problem((*path, i), "calendar must be set when isRolling is false")

    def _objective(self, path: KeyPath, objective: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Problem]:
        yield from self._one_of(path, objective, ("target", "targetPercent"))
        yield from self._indicator(path, objective)
        method = spec.get("budgetingMethod")
        for key in _SLICES.get(method, ()) if isinstance(method, str) else ():
            if objective.get(key) is None:
                yield self.document.problem((*path, key), f"missing: required for the budgetingMethod {method}")
        kind = self._kind_of(objective) or self._kind_of(spec)
        for key in ("op", "value"):
            given = objective.get(key) is not None
            if kind == "thresholdMetric" and not given:
                yield self.document.problem((*path, key), "missing: required for a thresholdMetric")
            if kind == "ratioMetric" and given:
                yield self.document.problem(
                    (*path, key), "forbidden for a ratioMetric, it belongs to a thresholdMetric"
                )

    def _kind_of(self, holder: Mapping[str, Any]) -> str | None:
        """Which metric the SLI of an SLO or objective has, None where that cannot be told."""
        reference, indicator = holder.get("indicatorRef"), holder.get("indicator")
        if reference is not None and indicator is not None:
            return None
        sli = self.find("SLI", reference) if isinstance(reference, str) else indicator
        body = sli.get("spec") if isinstance(sli, dict) else None
        kinds = _given(body, ("thresholdMetric", "ratioMetric")) if isinstance(body, dict) else []
        return kinds[0] if len(kinds) == 1 else None

    def _sli(self, path: KeyPath, spec: Mapping[str, Any]) -> Iterator[Problem]:
        yield from self._one_of(path, spec, ("thresholdMetric", "ratioMetric"))
        yield from self._metric((*path, "thresholdMetric"), spec.get("thresholdMetric"))
        ratio, at = spec.get("ratioMetric"), (*path, "ratioMetric")
        if not isinstance(ratio, dict):
            return
        yield from self._one_of(at, ratio, ("total", "raw"))
        if ratio.get("total") is not None:
            yield from self._one_of(at, ratio, ("good", "bad"))
        elif ratio.get("raw") is not None:
            for key in _given(ratio, ("good", "bad")):
                yield self.document.problem((*at, key), "raw, good and bad exclude each other")
            if ratio.get("rawType") is None:
                yield self.document.problem((*at, "rawType"), "missing: required with raw (success or failure)")
        if ratio.get("rawType") is not None and ratio.get("raw") is None:
            yield self.document.problem((*at, "rawType"), "belongs to raw: good or bad tell the type of the others")
        for key in ("good", "bad", "total", "raw"):
            yield from self._metric((*at, key), ratio.get(key))

    def _metric(self, path: KeyPath, metric: Any) -> Iterator[Problem]:
        """A DataSource has to be there where it is to tell the type."""
        source = metric.get("metricSource") if isinstance(metric, dict) else None
        if isinstance(source, dict) and not source.get("type"):
            at = (*path, "metricSource", "metricSourceRef")
            yield from self._reference(at, source.get("metricSourceRef"), "DataSource")

    def _policy(self, path: KeyPath, spec: Mapping[str, Any]) -> Iterator[Problem]:
        for key, kind, least, most in (
            ("conditions", "AlertCondition", "exactly one", 1),
            ("notificationTargets", "AlertNotificationTarget", "at least one", None),
        ):
            uses = spec.get(key)
            number = len(uses) if isinstance(uses, list) else 0
            if (uses is None or isinstance(uses, list)) and (not number or (most and number > most)):
                yield self.document.problem((*path, key), f"{least} {kind} is wanted, here are {number}")
            for i, use in _items(spec, key):
                reference = "conditionRef" if key == "conditions" else "targetRef"
                yield from self._use((*path, key, i), use, reference, kind)

    def _use(self, path: KeyPath, use: Mapping[str, Any], reference: str, kind: str) -> Iterator[Problem]:
        """An object written inside another, or the name of one."""
        inline = _given(use, _INLINE)
        if inline and use.get(reference) is not None:
            yield self.document.problem((*path, reference), f"{reference} and {inline[0]} exclude each other")
        elif use.get(reference) is not None:
            yield from self._reference((*path, reference), use[reference], kind)
        elif not inline:
            yield self.document.problem(path, f"{reference} is wanted, or kind, metadata and spec")
        else:
            for key in _INLINE:
                if key not in inline:
                    yield self.document.problem((*path, key), f"missing: required for an inline {kind}")
            yield from self._labels((*path, "metadata"), use.get("metadata"))

    def _reference(self, path: KeyPath, name: Any, kind: str) -> Iterator[Problem]:
        if isinstance(name, str) and is_name(name) and self.find(kind, name) is None:
            yield self.document.problem(path, f"there is no {kind} named {name!r} in the files read")

    def _labels(self, path: KeyPath, metadata: Any) -> Iterator[Problem]:
        """Two keys may not become the same label name."""
        for part in ("labels", "annotations"):
            keys = metadata.get(part) if isinstance(metadata, dict) else None
            seen: dict[str, str] = {}
            for key in keys if isinstance(keys, dict) else ():
                if not isinstance(key, str) or not key:
                    continue
                first = seen.setdefault(label_name(key), key)
                if first != key:
                    message = f"becomes the label name {label_name(key)!r}, and so does {first!r}"
                    yield self.document.problem((*path, part, key), message)

    def _one_of(
        self, path: KeyPath, data: Mapping[str, Any], keys: tuple[str, ...], *, wanted: bool = True
    ) -> Iterator[Problem]:
        given = _given(data, keys)
        if len(given) > 1:
            yield self.document.problem((*path, given[1]), f"{' and '.join(given)} exclude each other")
        elif not given and wanted:
            yield self.document.problem(path, f"one of {', '.join(keys)} is wanted")


def _given(data: Mapping[str, Any], keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if data.get(key) is not None]


def _items(data: Mapping[str, Any], key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    items = data.get(key)
    for i, item in enumerate(items) if isinstance(items, list) else ():
        if isinstance(item, dict):
            yield i, item
