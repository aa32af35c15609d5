"""`watchhouse slack manifest`: what to paste where a Slack app is made."""

from __future__ import annotations

from typing import Annotated

import typer

from alerting.slack.manifest import manifest


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    slack = typer.Typer(no_args_is_help=True, help="The Slack app.")
    app.add_typer(slack, name="slack")

    @slack.callback()
    def _group() -> None:
        """The Slack app."""

    @slack.command("manifest")
    def show(
        external_url: Annotated[
            str | None, typer.Argument(help="Where Slack reaches Watchhouse: https://…; without it: messages only.")
        ] = None,
        name: Annotated[str, typer.Option(help="The bot's name.")] = "Watchhouse",
        command: Annotated[str, typer.Option(help="The slash command.")] = "/watchhouse",
    ) -> None:
        """Print the manifest of a Slack app, to be pasted at https://api.slack.com/apps?new_app=1."""
        if external_url is not None and not external_url.startswith("https://"):
            typer.echo("Slack sends buttons and commands to https:// addresses only", err=True)
            raise typer.Exit(2)
        typer.echo(manifest(external_url, name=name, command=command), nl=False)
