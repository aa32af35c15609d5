"""Targets: from discovered labels, by relabelling, to a URL and the labels its series carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from app.config import Limits
from app.durations import format_duration_ms, parse_duration_ms
from app.labels import METRIC_NAME, Labels, labels_from
from ingest.scrape.config import ScrapeJob, TargetGroup
from ingest.scrape.page import Resolve
from ingest.scrape.relabel import relabel
from ingest.series import label_set_id

_ADDRESS = "__address__"
_PARAM = "__param_"
_EXPORTED = "exported_"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to scrape: what is asked, how often, and the labels its series carry."""

    job: ScrapeJob
    url: str
    labels: Labels
    discovered: Mapping[str, str]
    interval_ms: int
    timeout_ms: int

    @property
    def key(self) -> tuple[str, Labels, str]:
        """What makes it the same target under a new configuration."""
        return self.job.job_name, self.labels, self.url

    @property
    def offset_ms(self) -> int:
        """Where in each interval its slot lies: the same after every start, and spread over targets."""
        return label_set_id((*self.labels, ("__url__", self.url))) % self.interval_ms


@dataclass(frozen=True, slots=True)
class TargetList:
    """What a job's target groups come to; `problems` are targets that cannot be."""

    active: tuple[Target, ...]
    dropped: tuple[Mapping[str, str], ...]
    problems: tuple[str, ...]


def targets_of(job: ScrapeJob, groups: Iterable[tuple[TargetGroup, Mapping[str, str]]]) -> TargetList:
    """Targets of groups, each with the meta labels of its discovery; a target found twice is one."""
    active: dict[tuple[str, Labels, str], Target] = {}
    dropped: list[Mapping[str, str]] = []
    problems: list[str] = []
    for group, meta in groups:
        for address in group.targets:
            discovered = _discovered(job, {**meta, **group.labels, _ADDRESS: address})
            try:
                target = _target(job, discovered)
            except ValueError as error:
                problems.append(f"job {job.job_name!r}, target {address!r}: {error}")
                continue
            if target is None:
                dropped.append(discovered)
            else:
                active.setdefault(target.key, target)
    return TargetList(tuple(active.values()), tuple(dropped), tuple(problems))


def _discovered(job: ScrapeJob, found: Mapping[str, str]) -> dict[str, str]:
    defaults = {
        "job": job.job_name,
        "__scrape_interval__": format_duration_ms(job.scrape_interval),
        "__scrape_timeout__": format_duration_ms(job.scrape_timeout),
        "__metrics_path__": job.metrics_path,
        "__scheme__": job.scheme,
        **{f"{_PARAM}{name}": values[0] for name, values in job.params.items() if values},
    }
    given = {name: value for name, value in found.items() if value}
    return dict(sorted({**{k: v for k, v in defaults.items() if v}, **given}.items()))


def _target(job: ScrapeJob, discovered: Mapping[str, str]) -> Target | None:
    labels = dict(discovered)
    if not relabel(labels, job.relabel_configs):
        return None
    address = labels.get(_ADDRESS, "")
    if not address:
        raise ValueError("no address is left after relabelling")
    if "/" in address:
        raise ValueError(f"{address!r} is not a host or host:port")
    interval_ms = parse_duration_ms(labels.get("__scrape_interval__", ""))
    timeout_ms = parse_duration_ms(labels.get("__scrape_timeout__", ""))
    if not interval_ms or not timeout_ms or timeout_ms > interval_ms:
        raise ValueError("scrape interval and timeout must be above 0, and the timeout no longer than the interval")
    labels.setdefault("instance", address)
    public = labels_from((k, v) for k, v in labels.items() if not k.startswith("__"))
    url = _url(job, labels)
    if any(c <= " " or c == "\x7f" for c in url):
        raise ValueError(f"{url!r} is not a URL")
    urlsplit(url).port  # noqa: B018 (raises ValueError on a port that is none)
    return Target(job, url, public, discovered, interval_ms, timeout_ms)


def _url(job: ScrapeJob, labels: Mapping[str, str]) -> str:
    params = {name: list(values) for name, values in job.params.items()}
    for label, value in labels.items():
        if label.startswith(_PARAM):
            name = label.removeprefix(_PARAM)
            params[name] = [value, *params.get(name, [])[1:]]
    path = labels.get("__metrics_path__", "")
    if not path.startswith("/"):
        path = "/" + path
    query = urlencode(sorted(params.items()), doseq=True)
    joint = ("&" if "?" in path else "?") if query else ""
    return f"{labels.get('__scheme__', 'http')}://{labels[_ADDRESS]}{path}{joint}{query}"


def resolver(target: Target, limits: Limits) -> Resolve:
    """What turns labels on the target's page into a series: target labels, metric relabelling, limits."""
    job = target.job
    most = min(job.label_limit or limits.max_labels_per_series, limits.max_labels_per_series)
    name_length = min(job.label_name_length_limit or limits.max_label_name_bytes, limits.max_label_name_bytes)
    value_length = min(job.label_value_length_limit or limits.max_label_value_bytes, limits.max_label_value_bytes)

    def resolve(pairs: list[tuple[str, str]]) -> Labels | None:
        found = _with_target_labels(dict(pairs), target.labels, job.honor_labels)
        if not relabel(found, job.metric_relabel_configs) or not found:
            return None
        if not found.get(METRIC_NAME):
            raise ValueError("a series has no metric name after relabelling")
        labels = labels_from(found)
        if len(labels) > most:
            raise ValueError(f"{found[METRIC_NAME][:50]} has {len(labels)} labels (label_limit {most})")
        for name, value in labels:
            if len(name.encode()) > name_length:
                raise ValueError(f"label name {name[:50]!r} is too long (label_name_length_limit {name_length})")
            if len(value.encode()) > value_length:
                raise ValueError(f"the value of label {name!r} is too long (label_value_length_limit {value_length})")
        return labels

    return resolve


def _with_target_labels(page: dict[str, str], target: Labels, honor: bool) -> dict[str, str]:
    labels = {name: value for name, value in page.items() if value}
    if honor:
        # a label that is empty on the page takes the target's label away
        return {**{name: value for name, value in target if name not in page}, **labels}
    clashes = sorted((name for name, _ in target if name in labels), key=len)
    moved = [(name, labels[name]) for name in clashes]
    labels.update(target)
    for name, value in moved:
        free = _EXPORTED + name
        while free in labels:
            free = _EXPORTED + free
        labels[free] = value
    return labels
