"""Sloth's and Pyrra's own files, from checkouts that WATCHHOUSE_SLOTH_DIR and WATCHHOUSE_PYRRA_DIR name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.yamlfile import Document, load_documents
from slo.files import read_slos
from slo.sloth import is_sloth
from slo.windows import load_windows

SLOTH = Path(os.environ.get("WATCHHOUSE_SLOTH_DIR", "../shared/oracles/sloth"))
PYRRA = Path(os.environ.get("WATCHHOUSE_PYRRA_DIR", "../shared/oracles/pyrra"))
REFUSED = {
    # by the end of a file's path: why it is refused. What is not here must load.
    "contrib-denominator-corrected.yaml": "the SLO plugin 'sloth.dev/contrib/denominator_corrected_rules/v1'",
    "contrib-slo-plugins.yml": "the SLO plugin 'sloth.dev/contrib/info_labels/v1'",
    "plugin-getting-started.yml": "the SLI plugin 'getting_started_availability'",
    # a key of the other form, which Sloth does not see: the alerts lose their labels
    "plugin-k8s-getting-started.yml": "did you mean 'pageAlert'?",
    "victoria-metrics.yml": "slos[0].labels.actual_le",
}
SLOTHS = sorted(path for path in (SLOTH / "examples").glob("*.y*ml") if all(map(is_sloth, load_documents(path))))
PYRRAS = sorted(
    path
    for path in (PYRRA / "examples").rglob("*.yaml")
    if "\nkind: ServiceLevelObjective\n" in path.read_text(encoding="utf-8")
)


def read(path: Path) -> int:
    """How many SLOs there are in a file."""
    documents: list[Document] = load_documents(path)
    specs = read_slos(documents, load_windows()).specs
    assert len({spec.id for spec in specs}) == len(specs)
    return len(specs)


if SLOTHS:

    @pytest.mark.parametrize("path", SLOTHS, ids=lambda path: path.name)
    def test_sloths_examples_are_read(path: Path) -> None:
        """Every example is as many SLOs as it says, or is refused for the plugin or key named."""
        if path.name not in REFUSED:
            assert read(path) == path.read_text(encoding="utf-8").count("objective: ")
            return
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert REFUSED[path.name] in str(caught.value)


if PYRRAS:

    @pytest.mark.parametrize("path", PYRRAS, ids=lambda path: str(path.relative_to(PYRRA)))
    def test_pyrras_examples_are_read(path: Path) -> None:
        """Every example is read, one SLO an object."""
        assert read(path) == path.read_text(encoding="utf-8").count("kind: ServiceLevelObjective\n")
