"""OpenSLO's and go-sdk's own files, where WATCHHOUSE_OPENSLO_DIR says they are: read, or refused for a reason named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.yamlfile import load_documents, read_documents
from slo.openslo import load_objects, openslo_specs, to_yaml
from tests.unit.openslo_windows import Windows

FOLDER = Path(os.environ.get("WATCHHOUSE_OPENSLO_DIR", "../shared/oracles/openslo"))
UNREAD = ("is not read here",)
RATIO_OP = ("forbidden for a ratioMetric",)
UNNAMED = ("there is no ",)
REFUSED = {
    # by the end of a file's path: why it is refused. What is not here must load.
    "budgeting-method/occurences-slo.yaml": UNREAD,
    "budgeting-method/ratio-timeslices.yaml": RATIO_OP,
    "budgeting-method/timeslices-slo.yaml": RATIO_OP,
    "treat-low-traffic-as-equally-important/timeslices-slo.yaml": RATIO_OP,
    "v1/examples/alert_policies.yaml": UNNAMED,
    "v1/examples/services.yaml": ("is there already",),
    "v1/examples/slis.yaml": UNREAD,
    "v1/examples/slos.yaml": RATIO_OP,
    "inline/inputs/v1_slo_invalid_policy.yaml": (*UNNAMED, "required for a thresholdMetric"),
    "inline/inputs/v1_slo_invalid_target.yaml": (*UNNAMED, "required for a thresholdMetric"),
    "inline/inputs/v1_slo_invalid_sli.yaml": UNNAMED,
    "inline/inputs/v1_alert_policies_invalid_condition.yaml": UNNAMED,
    "inline/inputs/v1_alert_policies_invalid_target.yaml": UNNAMED,
    "inline/inputs/custom_config.yaml": UNNAMED,
    "inline/outputs/custom_config.yaml": UNNAMED,
    "export/inputs/custom_config.yaml": UNNAMED,
    "export/inputs/v1_alert_policies.yaml": UNNAMED,
    "export/inputs/v1_slo.yaml": UNNAMED,
    "export/outputs/custom_config.yaml": UNNAMED,
    "export/outputs/v1_alert_policies.yaml": UNNAMED,
    "export/outputs/v1_slo.yaml": UNNAMED,
}
# the projects' files are not part of this repository: without them there is nothing to skip
THEIRS = sorted(path for path in FOLDER.rglob("*.yaml") if "openslo/v1\n" in path.read_text(encoding="utf-8"))
OTHERS = sorted(path for path in FOLDER.rglob("*.yaml") if "openslo.com/v2alpha" in path.read_text(encoding="utf-8"))


if THEIRS:

    @pytest.mark.parametrize("path", THEIRS, ids=lambda path: str(path.relative_to(FOLDER)))
    def test_their_files_load_or_are_refused_for_a_reason(path: Path) -> None:
        """A file becomes SLOs, or every problem in it is of the kind expected of it."""
        reasons = next((why for end, why in REFUSED.items() if path.as_posix().endswith(end)), ())
        documents = load_documents(path)
        if not reasons:
            openslo_specs(documents, Windows())
            return
        with pytest.raises(ConfigError) as caught:
            openslo_specs(documents, Windows())
        for reason in reasons:
            assert any(reason in problem.message for problem in caught.value.problems)
        for problem in caught.value.problems:
            assert any(reason in problem.message for reason in reasons), problem

    @pytest.mark.parametrize("path", THEIRS, ids=lambda path: str(path.relative_to(FOLDER)))
    def test_their_objects_survive_printing(path: Path) -> None:
        """Objects read, printed as OpenSLO v1 and read again are equal."""
        entries = load_objects(load_documents(path)).entries
        objects = [entry.object for entry in entries if entry.object]
        again = [entry.object for entry in load_objects(read_documents("again", to_yaml(objects))).entries]
        assert again == objects
        assert len(objects) == len(entries)


if OTHERS:

    @pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(FOLDER)))
    def test_another_version_is_refused_by_its_name(path: Path) -> None:
        """OpenSLO v2alpha is not read, and said so."""
        with pytest.raises(ConfigError, match=r"openslo\.com/v2alpha is not read here, only openslo/v1"):
            openslo_specs(load_documents(path), Windows())
