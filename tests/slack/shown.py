"""The pictures in docs/images: what is told in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from alerting.slack.chart import alt_text, draw
from alerting.slack.extras import Extras, Picture
from alerting.slack.message import rich_message
from alerting.slack.state import GroupState
from alerting.slack.thread import Told, replies
from app.alert import Alert
from app.labels import labels_from
from tests.slack import scenes
from tests.slack.drawn import Shown

CHART = {"F0CHART": draw(scenes.burn_down())}


def pictures() -> dict[str, list[Shown]]:
    """Messages by the name of the picture's file."""
    return {
        "slack-slo": [Shown(_slo(), "14:12")],
        "slack-rules": [Shown(_crashes(), "14:03", edited=True), Shown(_disk(), "14:20")],
        "slack-quiet": [Shown(_acknowledged(), "14:12", edited=True), Shown(_silenced(), "14:03", edited=True)],
        "slack-thread": [_night()],
    }


def _slo() -> dict[str, object]:
    extras = Extras(
        {"shop-checkout-availability": scenes.OFFENDERS}, Picture(alt_text(scenes.burn_down()), file="F0CHART")
    )
    return rich_message(scenes.told(scenes.slo_page()), scenes.LOOK, extras, group="g")


def _crashes() -> dict[str, object]:
    group = labels_from({"alertname": "KubePodCrashLooping", "namespace": "payments"})
    pods = ["api-7f9c4d-2xkqv", "api-7f9c4d-8hj2p", "api-7f9c4d-bbn5z", "worker-66d8f-q9w7m"]
    alerts = [scenes.crash(pod, 23 - 4 * i, 9 - i) for i, pod in enumerate(pods)]
    over = scenes.crash("api-7f9c4d-zz81k", 31, 4, ended=9)
    return rich_message(scenes.told(*alerts, over, group=group), scenes.LOOK, group="g")


def _disk() -> dict[str, object]:
    group = labels_from({"alertname": "DiskFilling", "instance": "db-2:9100"})
    return rich_message(scenes.told(scenes.disk(), group=group), scenes.LOOK, group="g")


def _acknowledged() -> dict[str, object]:
    page = scenes.slo_page(long_burn=17.3, short_burn=9.1, budget_left=0.398, exhausted_in_ms=16.6 * 3_600_000)
    told = scenes.told(page, acknowledged=(scenes.acknowledged(page),))
    return rich_message(told, scenes.LOOK, group="g")


def _silenced() -> dict[str, object]:
    group = labels_from({"alertname": "KubePodCrashLooping", "namespace": "payments"})
    quiet = tuple(scenes.silenced(scenes.crash(pod, 23, 7)) for pod in ("api-7f9c4d-2xkqv", "api-7f9c4d-8hj2p"))
    return rich_message(scenes.told(group=group, suppressed=quiet), scenes.LOOK, group="g")


def _night() -> Shown:
    """An incident that is over, with what happened below it, as the thread was told."""
    group = labels_from({"alertname": "KubePodCrashLooping", "namespace": "payments"})
    first, second, third = (
        scenes.crash(f"api-7f9c4d-{pod}", minutes) for pod, minutes in (("2xkqv", 23), ("8hj2p", 19), ("bbn5z", 15))
    )
    now = scenes.NOW

    def over(alert: Alert, minutes: int) -> Alert:
        return replace(alert, ends_at=now + timedelta(minutes=minutes))

    scene = scenes.told(group=group)
    steps = [
        replace(scene, alerts=(first, second, third), now=now - timedelta(minutes=15)),
        replace(scene, alerts=(first, third, over(second, -6)), now=now - timedelta(minutes=5)),
        replace(scene, alerts=(first, third), acknowledged=(scenes.acknowledged(first), scenes.acknowledged(third))),
        replace(scene, suppressed=(scenes.silenced(first), scenes.silenced(third))),
        replace(scene, alerts=(over(first, 21), over(third, 20)), now=now + timedelta(minutes=22)),
    ]
    told = Told.of(
        GroupState.of(replace(scene, alerts=(first,), now=now - timedelta(minutes=22))), Told("C1", "1.0", "firing")
    )
    shown: list[Shown] = []
    for step in steps:
        state = GroupState.of(step)
        shown += [Shown({"text": r.text}, f"{step.now:%H:%M}") for r in replies(told, state, pings=True)]
        told = Told.of(state, told)
    return Shown(rich_message(steps[-1], scenes.LOOK, group="g"), "14:03", edited=True, replies=shown)
