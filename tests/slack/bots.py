"""A bot that talks to the stand-in over a real socket."""

from __future__ import annotations

from alerting.notify.build import build_notifiers
from alerting.slack.bot import SlackBot
from alerting.slack.extras import BurnDown, Offender
from alerting.slack.pace import Pacer
from alerting.slack.room import SlackRoom
from alerting.standin import SlackStandin
from tests.alert_world import config_of
from tests.slack import scenes


class Slos:
    """An `SloSource` that knows the SLO of the scenes."""

    async def offenders(self, slo: str, window_ms: int) -> list[Offender]:
        return scenes.OFFENDERS

    async def burn_down(self, slo: str, length_ms: int) -> BurnDown | None:
        return scenes.burn_down()


def room(*, between_s: float = 0.0, charts: bool = True) -> SlackRoom:
    """What the receivers of a process share; posts need not wait for one another."""
    return SlackRoom(scenes.LOOK, slos=Slos(), charts=charts, pacer=lambda: Pacer(between_s, 1))


def bot(
    standin: SlackStandin, shared: SlackRoom | None = None, *, channel: str = "#alerts", more: str = ""
) -> SlackBot:
    """A notifier with the workspace's token."""
    entry = f"channel: '{channel}', app_token: {standin.workspace.token}, app_url: '{standin.api_url}', timeout: 300ms"
    config = config_of(
        "route: {receiver: team}\n"
        f"receivers: [{{name: team, slack_configs: [{{send_resolved: true, {entry}{more}}}]}}]\n"
    )
    notifiers = build_notifiers(config, external_url=scenes.HOME, slack=shared or room())
    found = notifiers["team"][0]
    assert isinstance(found, SlackBot)
    return found
