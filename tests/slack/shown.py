"""The pictures in docs/images: what is told in each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from alerting.slack.chart import alt_text, draw
from alerting.slack.extras import Extras, Picture
from alerting.slack.message import rich_message
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


def resolved() -> dict[str, object]:
    """The SLO's message when it is over."""
    over = replace(scenes.slo_page(budget_left=0.391), ends_at=scenes.NOW + timedelta(minutes=21))
    told = replace(scenes.told(over), now=scenes.NOW + timedelta(minutes=22))
    return rich_message(told, scenes.LOOK, group="g")
