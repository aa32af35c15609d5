"""`watchhouse query` against a server over a real socket."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator

import httpx
import pytest
import typer
from typer.testing import CliRunner, Result

from app.commands import query as query_command
from app.store.client import Pool
from tests.integration.promql_world import put, series, serving

T0 = 1_700_000_000_000
Ask = Callable[..., Result]


@pytest.fixture
def ask(embedded_pool: Pool) -> Iterator[Ask]:
    """Runs the command with arguments, against a server that holds two series."""
    for i, job in enumerate(("api", "web")):
        put(embedded_pool, {series("up", job=job): [(T0 + k * 15_000, float(i + k % 3)) for k in range(40)]})
    app = typer.Typer()
    app.callback()(lambda: None)
    query_command.register(app)
    with serving(embedded_pool) as url:
        yield lambda *arguments: CliRunner().invoke(app, ["query", *arguments, "--url", url], env={"COLUMNS": "100"})


def test_an_instant_is_a_table_json_or_csv(ask: Ask) -> None:
    """Each form has both series and their values."""
    at = ("--time", "1700000030")
    table = ask("up", *at)
    assert table.exit_code == 0
    assert 'up{job="api"}' in table.output
    found = json.loads(ask("up", *at, "--output", "json").output)
    assert [s["value"][1] for s in found["result"]] == ["2", "3"]
    rows = list(csv.DictReader(io.StringIO(ask("up", *at, "-o", "csv").output)))
    assert [(r["job"], r["time"], r["value"]) for r in rows] == [
        ("api", "2023-11-14T22:13:50.000Z", "2"),
        ("web", "2023-11-14T22:13:50.000Z", "3"),
    ]
    assert ask("1 + 1").output.strip() == "2"


def test_a_range_is_drawn(ask: Ask) -> None:
    """--plot draws lines with axes, times and a legend, no wider than the terminal."""
    drawn = ask("up", "--start", "2023-11-14T22:13:20Z", "--end", "1700000585", "--step", "15s", "--plot")
    assert drawn.exit_code == 0, drawn.output
    assert "22:13:20Z" in drawn.output
    assert 'up{job="web"}' in drawn.output
    assert any("\u2800" < c <= "\u28ff" for c in drawn.output)
    assert max(map(len, drawn.output.splitlines())) <= 100


def test_failures_have_their_status(ask: Ask) -> None:
    """1 with the server's message on stderr when it failed, 2 when it was used wrongly."""
    failed = ask("sum(")
    assert failed.exit_code == 1
    assert "unclosed" in failed.stderr
    for wrong in (["up", "--step", "5s"], ["up", "--time", "soon"], ["up", "--start", "now", "--end", "1h"], []):
        assert ask(*wrong).exit_code == 2, wrong
    nobody = CliRunner()
    app = typer.Typer()
    app.callback()(lambda: None)
    query_command.register(app)
    result = nobody.invoke(app, ["query", "up", "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "cannot reach http://127.0.0.1:9" in result.stderr


@pytest.mark.parametrize(
    ("query", "message", "shown"),
    [
        ("sum(x", "1:6: parse error: unclosed", "  sum(x\n       ^"),
        ("sum(\n\tx y)", "2:4: parse error: unexpected", "  \tx y)\n  \t  ^"),
        # columns count bytes, and a terminal shows some characters twice as wide
        ('{a="é"} $', "1:10: parse error: unexpected", '  {a="é"} $\n          ^'),
        ('{a="온도"} $', "1:14: parse error: unexpected", '  {a="온도"} $\n             ^'),
    ],
)
def test_an_error_points_at_its_place(query: str, message: str, shown: str) -> None:
    """The line the service names is repeated with a caret below the column."""
    message = f'invalid parameter "query": {message}'
    assert query_command.with_caret(query, message) == f"{message}\n\n{shown}"


def test_an_error_without_a_place_is_itself() -> None:
    """A message that gives no place, or one that is not in the query, is shown as it is."""
    assert query_command.with_caret("up", "9:1: parse error: x") == "9:1: parse error: x"
    assert query_command.with_caret("up", "the query took too long") == "the query took too long"


def test_a_server_that_gives_the_place_is_pointed_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command adds the caret to what the service answers."""
    body = {"status": "error", "errorType": "bad_data", "error": "1:3: parse error: no"}
    transport = httpx.MockTransport(lambda _: httpx.Response(400, json=body))
    monkeypatch.setattr(query_command, "client", lambda *_: httpx.Client(transport=transport, base_url="http://x"))
    app = typer.Typer()
    app.callback()(lambda: None)
    query_command.register(app)
    answer = CliRunner().invoke(app, ["query", "up!"])
    assert answer.exit_code == 1
    assert answer.stderr == "1:3: parse error: no\n\n  up!\n    ^\n"
