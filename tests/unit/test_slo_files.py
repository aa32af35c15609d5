"""SLO files of every format, read together: every mistake is named, and what may surprise is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config import SloConfig
from app.errors import ConfigError
from app.files import check_file, check_files, load_all
from app.yamlfile import read_documents
from slo.files import check_slo, load_slos, read_files, read_slos
from slo.period import Rolling
from slo.windows import AlertWindows, PyrraWindows, load_windows

FILES = Path(__file__).parent / "test_slo_files"
OPENSLO = Path(__file__).parent / "test_openslo_files"
MISTAKES = sorted(path for path in FILES.glob("*.yaml") if path.name not in ("good.yaml", "pyrra.yaml"))
MARK = re.compile(r"# ! (?P<key>[^|]*)\|(?P<message>[^@]*)(@ (?P<line>\d+))?$")
SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(bad[{{.window}}]))
        total_query: sum(rate(all[{{.window}}]))
    alerting:
      name: ShopAvailability
"""
SLI = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: answered}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: sum(good_total)}}}
    total: {metricSource: {type: Prometheus, spec: {query: sum(all_total)}}}
"""
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: shop
  indicatorRef: answered
  budgetingMethod: Occurrences
  timeWindow: [{duration: PERIOD, isRolling: true}]
  objectives: [{target: 0.999}]
"""


def texts(text: str, windows: str = "google") -> list[str]:
    """What may surprise in a file of this text."""
    chosen = PyrraWindows() if windows == "pyrra" else load_windows()
    return [str(notice) for notice in read_slos(read_documents("slos.yml", text), chosen).notices]


@pytest.mark.parametrize("path", MISTAKES, ids=lambda p: p.stem)
def test_a_mistake_is_named(path: Path) -> None:
    """The mistake marked in the file is reported at its line, by its key, and says what is wrong."""
    expected = [(n, m) for n, text in enumerate(path.read_text().splitlines(), 1) if (m := MARK.search(text))]
    assert len(expected) == 1
    number, mark = expected[0]
    with pytest.raises(ConfigError) as caught:
        check_slo([path])
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


def test_an_id_belongs_to_one_file(tmp_path: Path) -> None:
    """The same SLO in two files is a mistake that names both."""
    other = tmp_path / "other.yaml"
    other.write_text((FILES / "good.yaml").read_text())
    with pytest.raises(ConfigError) as caught:
        load_slos(SloConfig(files=(str(FILES / "good.yaml"), str(other))))
    assert len(caught.value.problems) == 3
    assert all(str(FILES / "good.yaml") in p.message and p.file == str(other) for p in caught.value.problems)


def test_every_format_is_told_by_its_keys() -> None:
    """Sloth's two forms, OpenSLO and Pyrra are read from one list of files, in its order."""
    paths = [OPENSLO / "alerts.yaml", OPENSLO / "shop.yaml", FILES / "pyrra.yaml", FILES / "good.yaml"]
    specs = read_files(paths, load_windows()).specs
    assert list(dict.fromkeys(spec.format for spec in specs)) == ["openslo", "pyrra", "sloth"]
    assert [spec.name for spec in specs][-3:] == ["availability", "latency", "reachable"]


def test_references_reach_over_files(tmp_path: Path) -> None:
    """An OpenSLO reference finds its object in another file, and none where that file is not given."""
    (tmp_path / "slo.yaml").write_text(SLO.replace("PERIOD", "30d"))
    (tmp_path / "sli.yaml").write_text(SLI)
    config = SloConfig(files=(str(tmp_path / "*.yaml"),))
    assert [spec.id for spec in load_slos(config).specs] == ["shop-answers"]
    with pytest.raises(ConfigError, match="answered"):
        check_slo([tmp_path / "slo.yaml"])
    both = check_files([tmp_path / "slo.yaml", tmp_path / "sli.yaml"])
    assert [checked.problems for checked in both] == [(), ()]


def test_check_config_tells_each_file_its_own(tmp_path: Path) -> None:
    """Mistakes and notices stand with the file they are in, whatever it is; one that cannot be read hides no other."""
    (tmp_path / "low.yaml").write_text(SLOTH.replace("99.9", "90"))
    (tmp_path / "wrong.yaml").write_text(SLOTH.replace("99.9", "high").replace("shop", "other"))
    (tmp_path / "scrape.yml").write_text("scrape_configs: [{job_name: 3x, static: []}]\n")
    names = ("low.yaml", "wrong.yaml", "scrape.yml", "absent.yaml")
    low, wrong, scrape, absent = check_files([tmp_path / name for name in names])
    assert not low.problems
    assert [problem.key for problem in wrong.problems] == ["slos[0].objective"]
    assert [problem.key for problem in scrape.problems] == ["scrape_configs[0].static"]
    assert ["cannot be read" in problem.message for problem in absent.problems] == [True]
    (tmp_path / "wrong.yaml").write_text(SLOTH.replace("shop", "other"))
    low, wrong = check_files([tmp_path / "low.yaml", tmp_path / "wrong.yaml"])
    assert ["can never fire" in notice for notice in low.notices] == [True]
    assert wrong.notices == ()


def test_a_configuration_tells_what_its_slos_say(tmp_path: Path) -> None:
    """check-config of a watchhouse.yaml reads all SLO files together, and tells their notices."""
    (tmp_path / "watchhouse.yaml").write_text("slo: {files: ['*.slo'], windows: pyrra}\n")
    (tmp_path / "a.slo").write_text(SLO.replace("PERIOD", "30d").replace("0.999", "0.9"))
    (tmp_path / "b.slo").write_text(SLI)
    notices = check_file(tmp_path / "watchhouse.yaml")
    assert any("page alert at 14x over 1h4m/5m can never fire" in notice for notice in notices)
    assert [len(spec.alerts) for spec in load_all(tmp_path / "watchhouse.yaml").slos.specs] == [4]


def test_windows_are_a_name_or_a_file(tmp_path: Path) -> None:
    """`google` and `pyrra` are names; everything else is a file beside watchhouse.yaml."""
    config = tmp_path / "watchhouse.yaml"
    config.write_text("slo: {windows: pyrra}\n")
    assert load_all(config).slos.windows == PyrraWindows()
    for text in ("slo: {windows: google}\n", "slo: {windows: null}\n", "{}\n"):
        config.write_text(text)
        assert load_all(config).slos.windows == load_windows()
    config.write_text("slo: {windows: own.yaml}\n")
    with pytest.raises(ConfigError, match=f"{tmp_path / 'own.yaml'}: cannot be read"):
        load_all(config)


def test_what_stands_around_documents_is_nothing() -> None:
    """An empty document, as before a first or behind a last `---`, is none."""
    reading = read_slos(read_documents("slos.yml", f"---\n---\n{SLOTH}---\n"), load_windows())
    assert [spec.line for spec in reading.specs] == [6]


def test_what_may_surprise_is_noticed() -> None:
    """A ratio without weights is told, and is no error."""
    notices = [str(notice) for notice in check_slo([FILES / "good.yaml"])]
    assert any("probes-reachable: a raw error ratio" in text for text in notices)
    assert len(notices) == 1


def test_an_alert_that_cannot_fire_is_noticed() -> None:
    """An objective so low that total failure stays at or under the factor is told with the factor."""
    assert texts(SLOTH) == []
    (notice,) = texts(SLOTH.replace("99.9", "90"))
    assert notice == (
        "slos.yml:4: shop-availability: the page alert at 14.4x over 1h/5m can never fire:"
        " with an objective of 90 % even total failure burns only 10x"
    )
    # 1 / (1 - 0.5) is exactly the factor of two of Pyrra's pairs, and more than that of one
    assert ["ticket alert at 2x" in text for text in texts(SLOTH.replace("99.9", "50"), "pyrra")] == [
        False,
        False,
        True,
    ]


def test_an_objective_of_all_can_always_fire() -> None:
    """Without a budget any failure burns it infinitely fast."""
    assert texts(SLOTH.replace("99.9", "100")) == []


def test_an_objective_below_its_sla_is_noticed() -> None:
    """The budget would not be used up when the SLA is broken; the same figure is fine."""
    with_sla = SLOTH.replace("objective: 99.9", "objective: 99.9\n    sla: 99.95")
    assert ["99.9 %, is below the SLA, 99.95 %" in text for text in texts(with_sla)] == [True]
    assert texts(with_sla.replace("99.95", "99.9")) == []


@pytest.mark.parametrize(
    ("period", "left_out"),
    [("30d", []), ("1d", ["3d/6h"]), ("6h", ["1d/2h", "3d/6h"]), ("30m", ["1h/5m", "6h/30m", "1d/2h", "3d/6h"])],
)
def test_what_a_short_period_leaves_out_is_noticed(period: str, left_out: list[str]) -> None:
    """Each default pair that is longer than the period is told; policies of one's own have no windows to leave out."""
    text = SLO.replace("PERIOD", period) + "---\n" + SLI
    found = [str(notice) for notice in read_slos(read_documents("slos.yml", text), load_windows()).notices]
    over = [re.search(r"there is no alert over (\S+):", notice) for notice in found]
    assert [match[1] for match in over if match] == left_out


def test_no_files_are_fine() -> None:
    """Without SLO files there is nothing to do, over the default windows."""
    setup = load_slos(SloConfig())
    assert setup.specs == ()
    assert isinstance(setup.windows, AlertWindows)
    assert len(setup.windows.periods[0].pairs) == 4


def test_a_spec_keeps_the_period_of_the_windows(tmp_path: Path) -> None:
    """The first AlertWindows document of a file is the period of every Sloth SLO."""
    windows = tmp_path / "windows.yaml"
    windows.write_text(
        "apiVersion: sloth.slok.dev/v1\nkind: AlertWindows\nspec:\n  sloPeriod: 1h\n"
        "  page: &pairs\n    quick: {errorBudgetPercent: 24, shortWindow: 1m, longWindow: 5m}\n"
        "    slow: {errorBudgetPercent: 30, shortWindow: 2m, longWindow: 10m}\n  ticket: *pairs\n"
    )
    (tmp_path / "slos.yml").write_text(SLOTH)
    (spec,) = load_slos(SloConfig(files=(str(tmp_path / "slos.yml"),), windows=windows)).specs
    assert spec.period == Rolling(3_600_000)
    assert check_slo([windows]) == []
