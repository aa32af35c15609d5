"""Everything that belongs to Slack in one process, built from the configuration."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from alerting.manager.manager import AlertManager
from alerting.notify.troubles import Troubles
from alerting.slack.chart_urls import SignedCharts, reachable_by_slack
from alerting.slack.commands import Commands
from alerting.slack.desk import Rights
from alerting.slack.extras import Grafana, Look
from alerting.slack.inbound import SlackInbound
from alerting.slack.pace import Pacer
from alerting.slack.room import SlackRoom
from alerting.slack.speaker import SlackSpeaker
from alerting.slack.verify import Verifier
from app.api.gate import QueryGate
from app.api.health import Health
from app.api.slack.routes import slack_router
from app.api.slack.slos import SlackSlos
from app.api.slack.world import SlackWorld
from app.config import Config, Slack, read_secret
from app.query.logql.engine import LogQLEngine


class SlackParts:
    """Built before the alert manager, which is given `room`; asks for the manager when somebody does something.

    Raises ConfigError when the signing secret cannot be read.
    """

    def __init__(self, config: Config, external_url: str, slos: SlackSlos, troubles: Troubles) -> None:
        settings = self._settings = config.slack
        file = settings.signing_secret_file
        # without one, URLs made before a restart are void after it
        secret = read_secret(file).get_secret_value().encode() if file else secrets.token_bytes(32)
        linked = settings.charts == "auto" and reachable_by_slack(config.alerting.external_url or "")
        self._charts = SignedCharts(external_url, secret) if linked else None
        self._slos = slos
        self._rights = _rights(settings)
        self.room = SlackRoom(
            Look(external_url, _grafana(settings), _buttons(settings, self._rights)),
            slos=slos,
            chart_urls=self._charts,
            charts=settings.charts != "off",
            troubles=troubles,
        )
        self._inbound: SlackInbound | None = None
        self._speaker: SlackSpeaker | None = None

    def router(
        self,
        manager: Callable[[], AlertManager],
        logql: LogQLEngine,
        gate: QueryGate,
        health: Callable[[], Awaitable[list[Health]]],
    ) -> APIRouter:
        """The routes under /slack; those for requests of Slack need `slack.signing_secret_file`."""
        settings = self._settings
        if settings.signing_secret_file is not None:
            world = SlackWorld(manager, self._slos, logql, gate, health)
            commands = None if settings.commands == "off" else Commands(world, self.room, self._rights)
            self._speaker = SlackSpeaker(settings.api_url, settings.bot_token_file, Pacer())
            verifier = Verifier(settings.signing_secret_file)
            self._inbound = SlackInbound(verifier, world, self._rights, self.room, commands, self._speaker)
        return slack_router(self._inbound, self._charts, self.room)

    async def stop(self) -> None:
        """Ends answers under way and the drawing of charts. Safe to call twice."""
        if self._inbound is not None:
            await self._inbound.stop()
        if self._speaker is not None:
            await self._speaker.close()
        self.room.close()


def _rights(settings: Slack) -> Rights:
    everyone = settings.allow_actions == "everyone"
    return Rights(everyone, frozenset(() if everyone else settings.allow_actions), settings.commands == "all")


def _buttons(settings: Slack, rights: Rights) -> frozenset[str]:
    if settings.signing_secret_file is None:
        return frozenset()  # a press could not be told from a forged one
    return frozenset({"logs"} | ({"acknowledge", "silence"} if rights.buttons else set()))


def _grafana(settings: Slack) -> Grafana | None:
    return Grafana(settings.grafana.url, settings.grafana.datasource) if settings.grafana else None
