"""`watchhouse slo init`: a first SLO file from the metrics that are there."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from app.commands.http import DEFAULT_URL, TokenOption, UrlOption, client, fail, misuse, request
from app.durations import parse_duration_ms

if TYPE_CHECKING:
    from slo.init.survey import Sample


def register(slo: typer.Typer) -> None:
    """Adds `slo init`."""
    slo.command("init")(init_slos)


def init_slos(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; without, the terminal.", dir_okay=False)
    ] = None,
    since: Annotated[str, typer.Option(help="How far back objectives are measured, like 7d.")] = "7d",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
) -> None:
    """Write a first SLO file from the metrics that are there."""
    from slo.init.render import HOW_TO, render
    from slo.init.survey import survey

    try:
        since_ms = parse_duration_ms(since)
    except ValueError as error:
        misuse(f"--since: {error}")
    if since_ms <= 0:
        misuse("--since must be above 0")
    if output is not None and output.exists() and not force:
        fail(f"{output} is there already: give --force to write over it")
    with client(url, token) as http:
        found = survey(_Service(http, since_ms), since)
        # without what may be secret in it: a user and a password
        address = f"{http.base_url.scheme}://{http.base_url.netloc.decode()}"
    if not found.services:
        fail("\n".join([*found.left_out, HOW_TO]))
    text = render(found, address)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}")
    count = sum(len(service.slos) for service in found.services)
    typer.echo(
        f"{output}: {count} SLOs of {len(found.services)} services; check it with: watchhouse check-config {output}"
    )


class _Service:
    """A running service, asked over HTTP for what it has of the time that is looked at."""

    def __init__(self, http: httpx.Client, since_ms: int) -> None:
        self._http = http
        now = time.time()
        self._span = {"start": str(now - since_ms / 1000), "end": str(now)}

    def names(self) -> frozenset[str]:
        """The names of all metrics."""
        return frozenset(self._get("/api/v1/label/__name__/values", **self._span))

    def labels(self, metric: str) -> frozenset[str]:
        """The labels that any series of a metric has."""
        return frozenset(self._get("/api/v1/labels", **self._span, **{"match[]": f'{{__name__="{metric}"}}'}))

    def query(self, promql: str) -> list[Sample]:
        """The answer to an instant query; what is not a number is left out."""
        answer = request(
            self._http,
            "POST",
            "/api/v1/query",
            data={"query": promql, "time": self._span["end"]},
            explain=lambda text: f"{promql}: {text} (a shorter --since may help)",
        )
        samples = [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]
        return [(labels, value) for labels, value in samples if math.isfinite(value)]

    def _get(self, path: str, **params: str) -> list[Any]:
        answer: list[Any] = request(self._http, "GET", path, params=params)["data"]
        return answer
