"""What is kept of rules across restarts: the last slot of each group, and its alerts that are not over and told."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from alerting.rules.group import GroupRun, RuleRun
from alerting.rules.spec import Group, Rule
from alerting.rules.state import ActiveAlert
from app.labels import Labels
from app.store.state import StateStore

STATE_KIND = "rule"
Document = dict[str, Any]
_GROUP, _ALERT = "group", "alert"


@dataclass(frozen=True, slots=True)
class Orphan:
    """An alert that was left firing by a rule that is not there any more."""

    labels: Labels
    alert: ActiveAlert
    key: str
    """Its document's."""


class RuleBook:
    """The kept state of groups. Methods block and raise StoreError; not safe for two threads at once.

    Slots are written with a change of alerts, and else now and then: after a kill a few evaluations are made again,
    from the state that belongs to them.
    """

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._slots: dict[str, Document] = {}
        self._alerts: dict[str, dict[str, Document]] = {}
        """By group, and then by key."""

    def load(self) -> None:
        """Reads what an earlier process kept."""
        self._slots, self._alerts = {}, {}
        for key, document in self._state.get_all(STATE_KIND).items():
            self._note(key, document)

    def restore(self, run: GroupRun) -> None:
        """Gives a group its last slot and its alerts back."""
        found = self._slots.get(_group_key(run.group))
        if found is not None and found["interval_ms"] == run.group.interval_ms:
            run.slot_ms = int(found["slot_ms"])
        by_rule = dict(_by_key(run))
        for document in self._alerts.get(_digest(run.group.key), {}).values():
            rule = by_rule.get(document["rule"])
            if rule is not None:
                labels, alert = _alert_of(document)
                rule.alerts[labels] = alert
                rule.unseen.add(labels)

    def orphans(self, runs: Sequence[GroupRun]) -> list[Orphan]:
        """Alerts that belong to none of these groups' rules."""
        known = {key for run in runs for key, _ in _by_key(run)}
        return [
            Orphan(*_alert_of(document), key)
            for of_group in self._alerts.values()
            for key, document in of_group.items()
            if document["rule"] not in known
        ]

    def forget(self, orphans: Sequence[Orphan]) -> None:
        """Forgets alerts, once receivers know of their end."""
        self._write({}, [orphan.key for orphan in orphans])

    def forget_groups(self, runs: Sequence[GroupRun]) -> None:
        """Forgets the slots of groups that are not there any more."""
        known = {_group_key(run.group) for run in runs}
        self._write({}, [key for key in self._slots if key not in known])

    def keep(self, run: GroupRun) -> bool:
        """Writes a group whose alerts have changed, and its slot. Whether there was anything to write."""
        now = dict(_documents(run))
        # those of rules that are no more are orphans, and are ended by themselves
        mine = {key for key, _ in _by_key(run)}
        old = self._alerts.get(_digest(run.group.key), {})
        news = {key: document for key, document in now.items() if _differs(old.get(key), document)}
        gone = [key for key, document in old.items() if key not in now and document["rule"] in mine]
        if news or gone:
            self._write({**news, _group_key(run.group): _slot(run)}, gone)
        return bool(news or gone)

    def keep_slots(self, runs: Sequence[GroupRun]) -> None:
        """Writes the last slots of groups."""
        self._write({_group_key(run.group): _slot(run) for run in runs if run.slot_ms}, [])

    def _write(self, news: Mapping[str, Document], gone: Sequence[str]) -> None:
        if not news and not gone:
            return
        self._state.write({(STATE_KIND, key): value for key, value in {**news, **dict.fromkeys(gone)}.items()})
        for key, document in news.items():
            self._note(key, document)
        for key in gone:
            self._slots.pop(key, None)
            kind, group, *_ = key.split("/")
            if kind == _ALERT:
                self._alerts.get(group, {}).pop(key, None)

    def _note(self, key: str, document: Document) -> None:
        kind, group, *_ = key.split("/")
        if kind == _GROUP:
            self._slots[key] = document
        else:
            self._alerts.setdefault(group, {})[key] = document


def _slot(run: GroupRun) -> Document:
    return {"slot_ms": run.slot_ms, "interval_ms": run.group.interval_ms}


def _documents(run: GroupRun) -> Iterator[tuple[str, Document]]:
    group = _digest(run.group.key)
    for rule_key, rule in _by_key(run):
        for labels, alert in rule.alerts.items():
            resolved_ms, sent_ms = alert.resolved_ms, alert.sent_ms
            if resolved_ms is not None and sent_ms is not None and sent_ms >= resolved_ms:
                # over, and told
                continue
            yield (
                f"{_ALERT}/{group}/{_digest(rule_key + orjson.dumps(labels).decode())}",
                _document(rule_key, labels, alert),
            )


def _document(rule_key: str, labels: Labels, alert: ActiveAlert) -> Document:
    return {
        "rule": rule_key,
        "labels": [list(pair) for pair in labels],
        "annotations": [list(pair) for pair in alert.annotations],
        "state": alert.state,
        "active_ms": alert.active_ms,
        "fired_ms": alert.fired_ms,
        "resolved_ms": alert.resolved_ms,
        "keep_firing_since_ms": alert.keep_firing_since_ms,
    }


def _differs(old: Document | None, new: Document) -> bool:
    # what it says may change all the time, and is made anew anyway
    return old is None or any(old[key] != new[key] for key in new if key != "annotations")


def _alert_of(document: Mapping[str, Any]) -> tuple[Labels, ActiveAlert]:
    pairs = {key: tuple((str(k), str(v)) for k, v in document[key]) for key in ("labels", "annotations")}
    alert = ActiveAlert(
        document["state"],
        document["active_ms"],
        0.0,
        pairs["annotations"],
        document["fired_ms"],
        document["resolved_ms"],
        document["keep_firing_since_ms"],
    )
    return pairs["labels"], alert


def _by_key(run: GroupRun) -> Iterator[tuple[str, RuleRun]]:
    """The rules by what they are kept under: name and labels, and a number where several have the same."""
    seen: Counter[Rule] = Counter()
    for one in run.rules:
        rule = Rule(one.rule.kind, one.rule.name, "", labels=one.rule.labels)
        name: list[object] = [run.group.file, run.group.name, rule.kind, rule.name, rule.labels]
        yield orjson.dumps([*name, seen[rule]] if seen[rule] else name).decode(), one
        seen[rule] += 1


def _group_key(group: Group) -> str:
    return f"{_GROUP}/{_digest(group.key)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
