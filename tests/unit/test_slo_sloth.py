"""Sloth files: read as they are, and every mistake named with file, line and key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config import SloConfig
from app.errors import ConfigError
from slo.files import check_slo, load_slos
from slo.sloth import load_sloth
from slo.spec import EventsSli, RatioSli

FILES = Path(__file__).parent / "test_slo_files"
MISTAKES = sorted(path for path in FILES.glob("*.yaml") if path.name != "good.yaml")
MARK = re.compile(r"# ! (?P<key>[^|]*)\|(?P<message>[^@]*)(@ (?P<line>\d+))?$")


def test_a_file_becomes_slos() -> None:
    """Every field of a Sloth file arrives where it belongs, from all documents of the file."""
    availability, latency, reachable = load_sloth(FILES / "good.yaml")
    assert (availability.id, availability.objective, availability.period_ms) == (
        "shop-availability",
        99.9,
        30 * 86_400_000,
    )
    assert availability.description == "Requests are answered."
    assert availability.labels == (("category", "availability"), ("owner", "shop-team"), ("tier", "2"))
    assert isinstance(availability.sli, EventsSli)
    assert availability.page is not None
    assert availability.page.name == "ShopAvailability"
    assert availability.page.labels == (("severity", "critical"), ("team", "shop"))
    assert availability.page.annotations == (("runbook", "https://example.com/runbook"),)
    assert availability.ticket is not None
    assert dict(availability.ticket.annotations)["summary"] == "Look at the shop."
    assert (latency.page, latency.ticket is None) == (None, False)
    assert isinstance(reachable.sli, RatioSli)
    assert (reachable.page, reachable.ticket) == (None, None)
    assert (reachable.file, reachable.line) == (str(FILES / "good.yaml"), 50)


@pytest.mark.parametrize("path", MISTAKES, ids=lambda p: p.stem)
def test_a_mistake_is_named(path: Path) -> None:
    """The mistake marked in the file is reported at its line, by its key, and says what is wrong."""
    expected = [(n, m) for n, text in enumerate(path.read_text().splitlines(), 1) if (m := MARK.search(text))]
    assert len(expected) == 1
    number, mark = expected[0]
    with pytest.raises(ConfigError) as caught:
        check_slo(path)
    found = [p for p in caught.value.problems if p.key == mark["key"].strip()]
    assert found, caught.value
    assert (found[0].file, found[0].line) == (str(path), int(mark["line"] or number))
    assert mark["message"].strip() in found[0].message


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    """Problems of every file are in one error, and nothing is loaded."""
    config = SloConfig(files=(str(FILES / "syntax.yaml"), str(FILES / "no_window.yaml"), str(tmp_path / "absent.yaml")))
    with pytest.raises(ConfigError) as caught:
        load_slos(config)
    assert {Path(p.file).name for p in caught.value.problems} == {"syntax.yaml", "no_window.yaml", "absent.yaml"}


def test_only_an_empty_list_is_called_empty(tmp_path: Path) -> None:
    """A wrong SLO is told by its own mistake alone; a list without any is told as such."""
    path = tmp_path / "slos.yml"
    for slos, wanted in (("[{name: a, objective: 99, sli: 3}]", "slos[0].sli: "), ("[]", "slos: ")):
        path.write_text(f"version: prometheus/v1\nservice: s\nslos: {slos}\n")
        with pytest.raises(ConfigError) as caught:
            load_sloth(path)
        (problem,) = caught.value.problems
        assert str(problem).startswith(f"{path}:3: {wanted}")


def test_an_id_belongs_to_one_file(tmp_path: Path) -> None:
    """The same SLO in two files is a mistake that names both."""
    other = tmp_path / "other.yaml"
    other.write_text((FILES / "good.yaml").read_text())
    with pytest.raises(ConfigError) as caught:
        load_slos(SloConfig(files=(str(FILES / "good.yaml"), str(other))))
    assert len(caught.value.problems) == 3
    assert all(str(FILES / "good.yaml") in p.message and p.file == str(other) for p in caught.value.problems)


def test_what_may_surprise_is_noticed() -> None:
    """A ratio without weights and an alert that can never fire are told, and are no errors."""
    texts = [str(notice) for notice in check_slo(FILES / "good.yaml")]
    assert any("probes-reachable: a raw error ratio" in text for text in texts)
    assert len(texts) == 1


def test_an_alert_that_cannot_fire_is_noticed(tmp_path: Path) -> None:
    """An objective so low that total failure stays under the factor is told with the factor."""
    path = tmp_path / "low.yaml"
    path.write_text((FILES / "id_twice.yaml").read_text().split("---")[0].replace("99.9", "90"))
    assert ["14.4x over 1h/5m can never fire" in str(n) for n in check_slo(path)] == [True]


def test_no_files_are_fine() -> None:
    """Without SLO files there is nothing to do, over the default windows."""
    setup = load_slos(SloConfig())
    assert setup.specs == ()
    assert len(setup.windows.pairs) == 4


def test_the_key_of_counts_follows_the_queries() -> None:
    """Another query makes old counts void; another objective does not."""
    first = load_sloth(FILES / "good.yaml")[0]
    other = load_sloth(FILES / "good.yaml", 1000)[0]
    assert first.events_key == other.events_key
    assert load_sloth(FILES / "good.yaml")[1].events_key != first.events_key
